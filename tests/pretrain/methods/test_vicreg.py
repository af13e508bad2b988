from collections.abc import Callable
from math import sqrt

import pytest
import torch
from lightly.loss import VICRegLoss
from torch import Tensor

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.vicreg import VICReg, covariance, variance, vicreg_terms
from pretrain.recipes import VICRegConfig
from pretrain.views.batch import Batch

Starts = Callable[..., Start]
HADAMARD = torch.tensor([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], dtype=torch.float64)  # columns of mean 0


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_of(images: int, seed: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 * images, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Batch(views, views[:0], torch.eye(2, 3).repeat(2 * images, 1, 1), torch.arange(images))


def vicreg(start: Start, **options: object) -> VICReg:
    torch.manual_seed(1)
    return VICReg(start, VICRegConfig(**({"projection_dim": 16, "batch_size": 4} | options)), steps=10)


def terms_by_loops(z_a: Tensor, z_b: Tensor) -> list[float]:
    """Eq. 1 to 5 with the means of the paper's code, everything written out."""
    images, width = z_a.shape

    def covary(z: list[list[float]], i: int, j: int) -> float:
        mean_i, mean_j = (sum(row[d] for row in z) / images for d in (i, j))
        return sum((row[i] - mean_i) * (row[j] - mean_j) for row in z) / (images - 1)

    invariance = hinge = off = 0.0
    for one, other in zip(z_a.tolist(), z_b.tolist(), strict=True):
        invariance += sum((x - y) ** 2 for x, y in zip(one, other, strict=True)) / (images * width)
    for z in (z_a.tolist(), z_b.tolist()):
        for i in range(width):
            hinge += max(0.0, 1 - sqrt(covary(z, i, i) + 1e-4)) / width / 2
            off += sum(covary(z, i, j) ** 2 for j in range(width) if j != i) / width
    return [invariance, hinge, off]


@pytest.mark.parametrize(("images", "width"), [(2, 1), (3, 7), (5, 5), (9, 4)])  # either matrix is the smaller one
def test_the_terms_match_their_definition(images: int, width: int) -> None:
    a, b = draw(images, width, seed=1) * 0.9 + 1, draw(images, width, seed=2) * 0.5
    assert vicreg_terms(a, b).tolist() == pytest.approx(terms_by_loops(a, b), rel=1e-9)


def test_the_terms_of_places_are_the_means_over_the_places() -> None:
    a, b = draw(5, 3, 4, seed=1), draw(5, 3, 4, seed=2) * 0.5
    each = torch.tensor([terms_by_loops(a[:, place], b[:, place]) for place in range(3)], dtype=torch.float64)
    assert torch.allclose(vicreg_terms(a, b), each.mean(dim=0))


@pytest.mark.parametrize("width", [3, 12])
def test_the_weighed_terms_are_lightlys_in_one_process(width: int, tiny_start: Starts) -> None:
    a, b = draw(6, width, seed=1) * 0.7, draw(6, width, seed=2)
    ours = vicreg(tiny_start()).weighed(vicreg_terms(a, b))
    assert ours.item() == pytest.approx(VICRegLoss()(a, b).item(), rel=1e-6)


def test_equal_views_of_varied_and_uncorrelated_dimensions_cost_nothing() -> None:
    assert vicreg_terms(HADAMARD, HADAMARD).tolist() == pytest.approx([0, 0, 0], abs=1e-12)


def test_collapse_costs_the_hinge_alone() -> None:
    assert vicreg_terms(torch.ones(4, 7), torch.ones(4, 7)).tolist() == pytest.approx([0, 0.99, 0])


def test_a_shift_between_the_views_is_seen_by_invariance_alone() -> None:
    assert vicreg_terms(HADAMARD, HADAMARD + 2).tolist() == pytest.approx([4, 0, 0], abs=1e-12)


def test_a_dimension_that_repeats_another_is_seen_by_covariance_alone() -> None:
    z = HADAMARD[:, [0, 0]]  # their covariance is 4 / 3, on both sides of the diagonal
    assert vicreg_terms(z, z).tolist() == pytest.approx([0, 0, 2 * (4 / 3) ** 2])


def test_the_hinge_pulls_only_where_the_deviation_is_below_one() -> None:
    z = (HADAMARD * torch.tensor([0.1, 0.5, 2.0])).requires_grad_()
    variance(z).backward()
    assert z.grad is not None
    assert (z.grad.abs().sum(dim=0) > 0).tolist() == [True, True, False]


def test_the_gradient_is_finite_where_all_is_collapsed() -> None:
    z = torch.ones(4, 3, requires_grad=True)
    vicreg_terms(z, z * 1).sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


def test_half_precision_embeddings_are_compared_in_float32() -> None:
    a, b = draw(8, 16, seed=1).bfloat16(), draw(8, 16, seed=2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        terms = vicreg_terms(a, b)
    assert terms.dtype == torch.float32
    assert terms.tolist() == pytest.approx(vicreg_terms(a.double(), b.double()).tolist(), rel=1e-4)


@pytest.mark.parametrize(("a", "b"), [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3, 4), (3, 5))])
def test_a_single_image_and_unequal_shapes_are_refused(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"needs two \(B >= 2, ..., D\) tensors"):
        vicreg_terms(torch.ones(a), torch.ones(b))


def test_the_step_weighs_and_shows_the_three_terms(tiny_start: Starts) -> None:
    module, batch = vicreg(tiny_start(), invariance=2.0, variance=3.0, covariance=5.0), batch_of(4)
    shown = module.training_step(batch, 0)
    z_a, z_b = (module.expander(pooled(module.encoder, module.normalise(half))) for half in batch.views.chunk(2))
    terms = vicreg_terms(z_a, z_b).tolist()
    assert [shown[name].item() for name in ("invariance", "variance", "covariance")] == pytest.approx(terms, rel=1e-4)
    assert shown["loss"].item() == pytest.approx(2 * terms[0] + 3 * terms[1] + 5 * terms[2], rel=1e-4)
    assert [name for name, value in shown.items() if value.requires_grad] == ["loss"]


def test_the_weights_are_the_configs_and_in_no_checkpoint(tiny_start: Starts) -> None:
    module = vicreg(tiny_start())
    assert module.weights.tolist() == [25, 25, 1]
    assert "weights" not in module.state_dict()


def test_a_fixed_batch_is_learned(tiny_start: Starts) -> None:
    module, batch = vicreg(tiny_start()), batch_of(6)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(module.training_step(batch, 0)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.5 * losses[0].item()


def test_without_the_hinge_the_embeddings_shrink_and_with_it_they_grow(tiny_start: Starts) -> None:
    spreads = {}
    for weight in (0.0, 25.0):
        module, batch = vicreg(tiny_start(), variance=weight), batch_of(6)
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
        for _ in range(30):
            optimizer.zero_grad()
            module.training_step(batch, 0)["loss"].backward()
            optimizer.step()
        spreads[weight] = module.training_step(batch, 0)["variance"].item()
    assert spreads[0.0] > 0.8
    assert spreads[25.0] < 0.3


def test_covariance_is_taken_between_dimensions_and_not_between_images() -> None:
    z = draw(6, 3, seed=1)
    assert covariance(z[torch.randperm(6)]).item() == pytest.approx(covariance(z).item())
    assert covariance(z[:, :1]).item() == pytest.approx(0)
