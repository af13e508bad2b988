from collections.abc import Callable
from math import exp, log

import pytest
import torch
from torch import Tensor

from dermssl.encoder import Start, pooled
from pretrain.config import SimCLRConfig
from pretrain.simclr import SimCLR, nt_xent


def draw(count: int, dim: int, seed: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed))


def nt_xent_by_double_loop(z_a: Tensor, z_b: Tensor, temperature: float) -> float:
    """Equation 1 of the paper, written as it stands there, in Python's floats."""
    z = [row.tolist() for row in torch.cat([z_a, z_b])]
    images, losses = len(z_a), []

    def similarity(i: int, j: int) -> float:
        dot = sum(x * y for x, y in zip(z[i], z[j], strict=True))
        return dot / (sum(x * x for x in z[i]) ** 0.5 * sum(y * y for y in z[j]) ** 0.5)

    for i in range(2 * images):
        others = sum(exp(similarity(i, k) / temperature) for k in range(2 * images) if k != i)
        losses.append(-log(exp(similarity(i, (i + images) % (2 * images)) / temperature) / others))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("images", [2, 5])
def test_constant_projections_give_log_of_the_candidates(images: int) -> None:
    z = torch.ones(images, 8)
    assert nt_xent(z, z, temperature=0.1).item() == pytest.approx(log(2 * images - 1))


@pytest.mark.parametrize("images", [2, 3, 7])
def test_nt_xent_matches_its_definition(images: int) -> None:
    a, b = draw(images, 5, seed=1), draw(images, 5, seed=2)
    assert nt_xent(a, b, 0.3).item() == pytest.approx(nt_xent_by_double_loop(a, b, 0.3), rel=1e-5)


def test_nt_xent_does_not_ask_how_long_the_rows_are() -> None:
    a, b = draw(4, 6, seed=1), draw(4, 6, seed=2)
    lengths = torch.tensor([[0.01], [1.0], [5.0], [300.0]])
    assert nt_xent(lengths * a, b, 0.1).item() == pytest.approx(nt_xent(a, b, 0.1).item(), rel=1e-5)


def test_nt_xent_is_symmetric_in_the_views() -> None:
    a, b = draw(5, 6, seed=1), draw(5, 6, seed=2)
    assert nt_xent(a, b, 0.1).item() == pytest.approx(nt_xent(b, a, 0.1).item(), rel=1e-6)


def test_views_that_agree_and_differ_from_all_others_cost_nothing() -> None:
    z = torch.eye(4)
    assert nt_xent(z, z, 0.05).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("a", "b"), [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3, 4), (3, 5))])
def test_nt_xent_refuses_what_has_no_negative_or_no_partner(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"needs two \(B >= 2, D\) tensors"):
        nt_xent(torch.ones(a), torch.ones(b), 0.1)


def test_half_precision_projections_are_compared_in_float32() -> None:
    a, b = draw(8, 16, seed=1).bfloat16(), draw(8, 16, seed=2).bfloat16()
    loss = nt_xent(a, b, 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(nt_xent(a.double(), b.double(), 0.1).item(), rel=1e-5)


def test_the_gradient_is_finite_also_where_a_projection_is_zero() -> None:
    a, b = draw(3, 4, seed=1), draw(3, 4, seed=2)
    a[0] = 0
    a.requires_grad_()
    nt_xent(a, b, 0.05).backward()
    assert a.grad is not None
    assert a.grad.isfinite().all()
    assert a.grad[1:].abs().sum() > 0


def test_a_fixed_batch_is_learned(tiny_start: Callable[..., Start]) -> None:
    torch.manual_seed(0)
    module = SimCLR(tiny_start(), SimCLRConfig(hidden_dim=16, projection_dim=8, batch_size=6), steps=40)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    pictures = torch.randint(0, 256, (6, 3, 8, 8))
    views = torch.cat([pictures, (pictures + 20).clamp(max=255)]).byte()
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(module.training_step(views, 0)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.5 * losses[0].item()


def test_the_first_half_of_a_batch_meets_the_second(tiny_start: Callable[..., Start]) -> None:
    module = SimCLR(tiny_start(norm=False), SimCLRConfig(hidden_dim=16, projection_dim=8), steps=1).eval()
    views = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    z_a, z_b = (module.head(pooled(module.encoder, module.normalise(half))) for half in (views[:4], views[4:]))
    loss = module.training_step(views, 0)["loss"]
    assert loss.item() == pytest.approx(nt_xent(z_a, z_b, 0.1).item(), rel=1e-5)
