from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.nt_xent import nt_xent
from pretrain.shared.gradient_cache import cached_loss

Starts = Callable[..., Start]


class Network(nn.Module):
    """An encoder of one convolution, dropout and a head, that counts how many images it sees at once."""

    def __init__(self, start: Start, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder, self.dropout, self.head = start.encoder, nn.Dropout(dropout), nn.Linear(8, 6)
        self.most = 0

    def forward(self, images: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.most = max(self.most, len(images))
        projections: Tensor = self.head(self.dropout(pooled(self.encoder, images)))
        return projections


def images(count: int, side: int = 6) -> Tensor:
    drawn = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(3))
    return drawn * torch.linspace(0.1, 2, count).view(-1, 1, 1, 1)  # parts that differ in their statistics


def contrast(projections: Sequence[Tensor]) -> Tensor:
    return nt_xent(*torch.cat([part.float() for part in projections]).chunk(2), 0.2)


def directly(network: nn.Module, parts: Sequence[Tensor]) -> Tensor:
    """The loss with all graphs in memory at once."""
    return contrast([network(part) for part in parts])


def gradients(network: nn.Module, loss: Tensor) -> Tensor:
    network.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def gap(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


@pytest.mark.parametrize("parts", [1, 2, 5, 10])
def test_without_batchnorm_gradients_are_those_of_the_whole_batch(parts: int, tiny_start: Starts) -> None:
    network, batch = Network(tiny_start(norm=False)), images(20)
    loss, projections = cached_loss(network, batch.chunk(parts), contrast)
    whole = directly(network, [batch])
    assert loss.item() == pytest.approx(whole.item(), rel=1e-6)
    assert gap(gradients(network, loss), gradients(network, whole)) < 1e-5
    assert network(batch).allclose(torch.cat(projections), atol=1e-6)


def test_4096_images_have_the_gradients_of_the_whole_batch(tiny_start: Starts) -> None:
    network, batch = Network(tiny_start(norm=False)), images(2 * 4096, side=4)
    loss, _ = cached_loss(network, batch.split(512), contrast)
    assert gap(gradients(network, loss), gradients(network, directly(network, [batch]))) < 1e-5


def test_batchnorm_sees_the_parts(tiny_start: Starts) -> None:
    network, batch = Network(tiny_start()), images(20)
    found = gradients(network, cached_loss(network, batch.chunk(4), contrast)[0])
    assert gap(found, gradients(network, directly(network, batch.chunk(4)))) < 1e-5
    assert gap(found, gradients(network, directly(network, [batch]))) > 1e-2  # and this is not the whole batch's


def test_running_statistics_move_once(tiny_start: Starts) -> None:
    network, reference = Network(tiny_start()), Network(tiny_start())
    cached_loss(network, images(20).chunk(4), contrast)[0].backward()
    directly(reference, images(20).chunk(4))
    for ours, theirs in zip(network.buffers(), reference.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert network.encoder.norm.num_batches_tracked == 4


def test_both_passes_of_a_part_drop_the_same(tiny_start: Starts) -> None:
    network, batch = Network(tiny_start(), dropout=0.5), images(20)
    torch.manual_seed(7)
    found = gradients(network, cached_loss(network, batch.chunk(4), contrast)[0])
    next_draw = torch.rand(1)
    torch.manual_seed(7)
    assert gap(found, gradients(network, directly(network, batch.chunk(4)))) < 1e-5
    assert torch.equal(next_draw, torch.rand(1))


def test_no_more_than_a_part_has_a_graph(tiny_start: Starts) -> None:
    network = Network(tiny_start())
    cached_loss(network, images(20).chunk(5), contrast)[0].backward()
    assert network.most == 4


def test_the_loss_may_be_scaled_and_gradients_may_add_up(tiny_start: Starts) -> None:
    network, parts = Network(tiny_start(norm=False)), images(12).chunk(3)
    once = gradients(network, cached_loss(network, parts, contrast)[0])
    (cached_loss(network, parts, contrast)[0] / 4).backward()  # as with accumulated batches
    again = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    torch.testing.assert_close(again, 1.25 * once)


def test_under_bf16_every_parameter_gets_its_gradient(tiny_start: Starts) -> None:
    network, parts = Network(tiny_start()), images(20).chunk(4)
    with torch.autocast("cpu", torch.bfloat16):
        loss, projections = cached_loss(network, parts, contrast)
        whole = directly(network, parts)
    assert projections[0].dtype == torch.bfloat16
    assert loss.dtype == torch.float32
    found, wanted = gradients(network, loss), gradients(network, whole)
    assert found.shape == wanted.shape
    assert gap(found, wanted) < 2e-2


def test_a_parameter_without_a_say_has_no_gradient(tiny_start: Starts) -> None:
    network = Network(tiny_start())
    network.idle = nn.Linear(2, 2)
    network.encoder.convolve.bias.requires_grad_(False)
    cached_loss(network, images(8).chunk(2), contrast)[0].backward()
    assert network.idle.weight.grad is None
    assert network.encoder.convolve.bias.grad is None
    assert network.head.weight.grad is not None


@pytest.fixture
def one_process() -> Iterator[None]:
    """A group of one, in which DDP has all its hooks."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


class Step(nn.Module):
    """What DDP wraps: a step that returns the cached loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        return cached_loss(self.network, parts, contrast)[0]


@pytest.mark.usefixtures("one_process")
def test_ddp_hears_of_every_parameter_once(tiny_start: Starts) -> None:
    network, parts = Network(tiny_start(norm=False)), images(12).chunk(3)
    step = DistributedDataParallel(Step(network))
    for _ in range(2):  # DDP tells of a parameter that it missed or met twice in the next step
        found = gradients(network, step(parts))
    assert gap(found, gradients(network, directly(network, parts))) < 1e-5


def test_a_cache_that_forgets_the_other_parts_would_be_seen(tiny_start: Starts) -> None:
    network, parts = Network(tiny_start(norm=False)), images(12).chunk(3)
    apart = torch.stack([contrast([F.normalize(network(part))]) for part in parts]).mean()
    whole = gradients(network, directly(network, parts))
    assert gap(gradients(network, apart), whole) > 0.1
