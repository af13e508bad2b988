from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, pooled
from pretrain.methods import simclr
from pretrain.methods.nt_xent import nt_xent
from pretrain.methods.simclr import SimCLR, first_and_second, micro_batches
from pretrain.recipes import SimCLRConfig
from pretrain.views.batch import Batch

Starts = Callable[..., Start]


def small(start: Start, **options: object) -> SimCLR:
    torch.manual_seed(1)
    config = {"hidden_dim": 16, "projection_dim": 8, "batch_size": 8}
    return SimCLR(start, SimCLRConfig(**(config | options)), steps=40)  # type: ignore[arg-type]


def batch_of(views: Tensor) -> Batch:
    B = len(views) // 2
    return Batch(views, torch.empty(0, 3, 8, 8, dtype=torch.uint8), torch.zeros(2 * B, 2, 3), torch.arange(B))


def pixels(count: int) -> Tensor:
    drawn = torch.randint(0, 256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    return (drawn * torch.linspace(0.1, 1, count).view(-1, 1, 1, 1)).byte()


def gradients(module: SimCLR, views: Tensor) -> Tensor:
    module.zero_grad()
    module.training_step(batch_of(views), 0)["loss"].backward()
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None])


def gap(ours: Tensor, theirs: Tensor) -> float:
    return ((ours - theirs).norm() / theirs.norm()).item()


def test_a_fixed_batch_is_learned(tiny_start: Starts) -> None:
    module = small(tiny_start())
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    pictures = torch.randint(0, 256, (6, 3, 8, 8))
    batch = batch_of(torch.cat([pictures, (pictures + 20).clamp(max=255)]).byte())
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(module.training_step(batch, 0)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.5 * losses[0].item()


@pytest.mark.parametrize("micro_batch", [0, 2])
def test_the_first_half_of_a_batch_meets_the_second(micro_batch: int, tiny_start: Starts) -> None:
    module = small(tiny_start(norm=False), micro_batch=micro_batch).eval()
    views = pixels(8)
    z_a, z_b = (module.head(pooled(module.encoder, module.normalise(half))) for half in (views[:4], views[4:]))
    loss = module.training_step(batch_of(views), 0)["loss"]
    assert loss.item() == pytest.approx(nt_xent(z_a, z_b, 0.1).item(), rel=1e-5)


@pytest.mark.parametrize("micro_batch", [2, 4, 8])
def test_micro_batches_have_the_gradients_of_the_whole_batch(micro_batch: int, tiny_start: Starts) -> None:
    whole, parts = small(tiny_start(norm=False)), small(tiny_start(norm=False), micro_batch=micro_batch)
    for module in (whole, parts):
        module.head.eval()  # its BatchNorm would see a micro-batch
    assert gap(gradients(parts, pixels(16)), gradients(whole, pixels(16))) < 1e-5


def test_batchnorm_sees_a_micro_batch(tiny_start: Starts) -> None:
    module, reference = small(tiny_start(), micro_batch=4), small(tiny_start())
    found = gradients(module, pixels(16))
    reference.zero_grad()
    projections = [reference(part) for part in micro_batches(pixels(16), 4)]
    reference.loss(projections).backward()
    wanted = torch.cat([p.grad.flatten() for p in reference.parameters() if p.grad is not None])
    assert gap(found, wanted) < 1e-5
    assert gap(found, gradients(reference, pixels(16))) > 1e-3


def test_a_micro_batch_holds_both_views_of_its_images() -> None:
    views = torch.arange(16).view(16, 1, 1, 1)  # image i is i and 8 + i
    parts = micro_batches(views, 2)
    assert [part.flatten().tolist() for part in parts] == [
        [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
    ]  # fmt: skip
    firsts, seconds = first_and_second(parts)
    assert torch.equal(firsts + 8, seconds)


def test_processes_together_have_the_micro_batches_of_one() -> None:
    views = torch.arange(16).view(16, 1, 1, 1)
    first, second = (torch.cat([half.chunk(2)[rank] for half in views.chunk(2)]) for rank in (0, 1))
    together = zip(micro_batches(first, 1), micro_batches(second, 1), strict=True)
    alone = micro_batches(views, 2)
    assert [sorted(torch.cat(parts).flatten().tolist()) for parts in together] == [
        sorted(part.flatten().tolist()) for part in alone
    ]


def test_a_micro_batch_that_processes_cannot_share_is_refused(
    tiny_start: Starts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simclr, "world", lambda: 4)
    with pytest.raises(UserError, match="--micro_batch 2: cannot be shared equally by 4 processes"):
        small(tiny_start(), micro_batch=2)
