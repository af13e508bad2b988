from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pretrain.methods import nt_xent as module
from pretrain.methods.nt_xent import nt_xent


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


def plain(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """The loss with all its similarities at once, as torch differentiates it."""
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)
    logits = (z @ z.T / temperature).fill_diagonal_(-torch.inf)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z_a)))


def gradients(loss: Callable[..., Tensor], z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """Of both views, (2B, D)."""
    leaves = [z.clone().requires_grad_() for z in (z_a, z_b)]
    return torch.cat(torch.autograd.grad(loss(*leaves, temperature), leaves))


@pytest.fixture(params=[1, 3, 1000], ids=lambda rows: f"{rows} anchors at once")
def chunked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has few anchors compared at once with a number of candidates."""

    def chunk(candidates: int) -> None:
        monkeypatch.setattr(module, "CHUNK", request.param * 4 * candidates)

    return chunk


@pytest.mark.parametrize("images", [2, 5])
def test_constant_projections_give_log_of_the_candidates(images: int) -> None:
    z = torch.ones(images, 8)
    assert nt_xent(z, z, temperature=0.1).item() == pytest.approx(log(2 * images - 1))


@pytest.mark.parametrize("images", [2, 3, 7])
def test_nt_xent_matches_its_definition(images: int, chunked: Callable[[int], None]) -> None:
    chunked(2 * images)
    a, b = draw(images, 5, seed=1), draw(images, 5, seed=2)
    assert nt_xent(a, b, 0.3).item() == pytest.approx(nt_xent_by_double_loop(a, b, 0.3), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_its_gradient_is_that_of_the_plain_form(temperature: float, chunked: Callable[[int], None]) -> None:
    chunked(2 * 50)
    a, b = draw(50, 16, seed=1), draw(50, 16, seed=2)
    ours, exact = gradients(nt_xent, a, b, temperature), gradients(plain, a.double(), b.double(), temperature)
    assert (ours - exact).norm() < 1e-6 * exact.norm()


def test_a_thousand_images_have_the_gradient_of_the_plain_form() -> None:
    a, b = draw(1024, 128, seed=1), draw(1024, 128, seed=2)
    ours, exact = gradients(nt_xent, a, b, 0.1), gradients(plain, a.double(), b.double(), 0.1)
    assert (ours - exact).norm() < 1e-6 * exact.norm()


def test_the_gradient_follows_what_the_loss_is_multiplied_by() -> None:
    a, b = draw(6, 4, seed=1), draw(6, 4, seed=2)
    tripled = gradients(lambda *given: 3 * nt_xent(*given), a, b, 0.1)
    torch.testing.assert_close(tripled, 3 * gradients(nt_xent, a, b, 0.1))


@pytest.mark.parametrize("world", [2, 4])
def test_the_mean_over_processes_is_the_loss_of_the_whole_batch(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = draw(8, 5, seed=1).requires_grad_(), draw(8, 5, seed=2).requires_grad_()
    shares = list(zip(a.chunk(world), b.chunk(world), strict=True))
    everyone = torch.cat([F.normalize(torch.cat(share), dim=1) for share in shares])  # what `gathered` gives
    losses = []
    monkeypatch.setattr(module, "world", lambda: world)
    for rank, share in enumerate(shares):
        monkeypatch.setattr(module, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(module, "gathered", lambda _: everyone)
        losses.append(nt_xent(*share, 0.1))
    together = torch.stack(losses).mean()
    alone = plain(a, b, 0.1)
    assert together.item() == pytest.approx(alone.item(), rel=1e-6)
    found, wanted = torch.autograd.grad(together, (a, b)), torch.autograd.grad(alone, (a, b))
    torch.testing.assert_close(torch.cat(found), torch.cat(wanted), rtol=1e-5, atol=1e-7)


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


def test_a_low_temperature_does_not_overflow() -> None:
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert nt_xent(a, -a, 0.005).item() == pytest.approx(
        400, rel=1e-6
    )  # the partner's share is exp(-400): 0 in float32


@pytest.mark.parametrize(("a", "b"), [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3, 4), (3, 5))])
def test_nt_xent_refuses_what_has_no_negative_or_no_partner(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"needs two \(B >= 2, D\) tensors"):
        nt_xent(torch.ones(a), torch.ones(b), 0.1)


def test_half_precision_projections_are_compared_in_float32() -> None:
    a, b = draw(8, 16, seed=1).bfloat16(), draw(8, 16, seed=2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(a, b, 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(plain(a.double(), b.double(), 0.1).item(), rel=1e-5)


def test_the_gradient_is_finite_also_where_a_projection_is_zero() -> None:
    a, b = draw(3, 4, seed=1), draw(3, 4, seed=2)
    a[0] = 0
    found = gradients(nt_xent, a, b, 0.05)
    assert found.isfinite().all()
    assert found[1:3].abs().sum() > 0


def test_torch_has_the_quick_product_and_it_keeps_all_digits() -> None:
    a, b = draw(40, 30, seed=1), draw(50, 30, seed=2)
    exact = a.double() @ b.double().T
    assert module.ONE_DNN
    for x, weight in [(a, b), (a.T.contiguous().T, b.T.contiguous().T)]:
        assert (module.linear(x, weight) - exact).norm() < 1e-6 * exact.norm()


def test_the_precision_of_products_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    nt_xent(draw(3, 4, seed=1), draw(3, 4, seed=2), 0.1)
    after = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(before)
    assert after == "high"
