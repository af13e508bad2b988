import pytest
import torch

from pretrain.config import MoCoConfig, SimCLRConfig
from pretrain.monitors import spread
from pretrain.rate import scaled_lr


def test_collapsed_projections_have_no_spread() -> None:
    assert spread(torch.ones(8, 16)).item() == pytest.approx(0, abs=1e-6)


def test_projections_that_fill_the_sphere_have_a_spread_of_one() -> None:
    z = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    assert spread(z).item() == pytest.approx(1, abs=0.02)


def test_spread_does_not_ask_how_long_the_rows_are() -> None:
    z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    assert spread(7 * z).item() == pytest.approx(spread(z).item(), rel=1e-5)


def test_lars_takes_the_root_of_the_batch_and_sgd_the_batch() -> None:
    assert scaled_lr(SimCLRConfig(lr=0.075, batch_size=64)) == pytest.approx(0.6)
    assert scaled_lr(MoCoConfig(lr=0.03, batch_size=512)) == pytest.approx(0.06)
    assert scaled_lr(SimCLRConfig(lr=3e-4, lr_scaling="none")) == 3e-4
