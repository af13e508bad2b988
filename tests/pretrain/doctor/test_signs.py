import pytest
import torch
from torch import Tensor, nn

from pretrain.doctor.signs import constant_share, duplicate_share, gradient_norm, relative_distance
from pretrain.methods.method import scaled_lr
from pretrain.recipes import MoCoConfig, SimCLRConfig


def draw(count: int, dim: int, seed: int = 0) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def test_views_of_the_same_pixels_are_counted() -> None:
    views = torch.randint(0, 256, (8, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views[4] = views[0]
    assert duplicate_share(views).item() == 0.25


def test_views_of_one_colour_are_counted_whatever_the_colour() -> None:
    views = torch.randint(0, 256, (4, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    views[2] = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
    assert constant_share(views).item() == 0.25


def test_the_norm_of_gradients_is_that_of_all_numbers_in_a_row() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    assert gradient_norm(net.parameters()).item() == 0
    net(draw(5, 3)).square().sum().backward()
    whole = torch.cat([parameter.grad.flatten() for parameter in net.parameters() if parameter.grad is not None])
    assert gradient_norm(net.parameters()).item() == pytest.approx(whole.norm().item(), rel=1e-6)


def test_distance_is_a_share_of_the_second_ones_length() -> None:
    assert relative_distance([torch.tensor([3.0, 0.0])], [torch.tensor([0.0, 4.0])]).item() == pytest.approx(5 / 4)


def test_lars_takes_the_root_of_the_batch_and_sgd_the_batch() -> None:
    assert scaled_lr(SimCLRConfig(lr=0.075, batch_size=64)) == pytest.approx(0.6)
    assert scaled_lr(MoCoConfig(lr=0.03, batch_size=512)) == pytest.approx(0.06)
    assert scaled_lr(SimCLRConfig(lr=3e-4, lr_scaling="none")) == 3e-4
