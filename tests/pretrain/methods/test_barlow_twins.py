from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import pytest
import torch
from lightly.loss import BarlowTwinsLoss
from torch import Tensor

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.barlow_twins import BarlowTwins, barlow_twins_loss, off_diagonal_squares, three_layer_projector
from pretrain.recipes import BarlowTwinsConfig
from pretrain.views.batch import Batch

Starts = Callable[..., Start]
SMALL = BarlowTwinsConfig(projection_dim=16, batch_size=4)
HADAMARD = torch.tensor([[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]], dtype=torch.float64)  # columns of mean 0


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_of(images: int, seed: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 * images, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Batch(views, views[:0], torch.eye(2, 3).repeat(2 * images, 1, 1), torch.arange(images))


def barlow(start: Start, config: BarlowTwinsConfig = SMALL) -> BarlowTwins:
    torch.manual_seed(1)
    return BarlowTwins(start, config, steps=10)


def loss_by_loops(z_a: Tensor, z_b: Tensor, redundancy: float) -> float:
    """Eq. 1 and 2, each mean, deviation and correlation written out."""
    a, b, images, width = z_a.tolist(), z_b.tolist(), len(z_a), z_a.shape[1]

    def column(z: list[list[float]], d: int) -> list[float]:
        values = [row[d] for row in z]
        mean = sum(values) / images
        deviation = sqrt(sum((value - mean) ** 2 for value in values) / images + 1e-5)  # of BatchNorm
        return [(value - mean) / deviation for value in values]

    loss = 0.0
    for i in range(width):
        for j in range(width):
            correlation = sum(x * y for x, y in zip(column(a, i), column(b, j), strict=True)) / images
            loss += (1 - correlation) ** 2 if i == j else redundancy * correlation**2
    return loss


@pytest.mark.parametrize(("images", "width"), [(2, 1), (3, 7), (5, 5), (9, 4)])  # either matrix is the smaller one
def test_the_loss_matches_its_definition(images: int, width: int) -> None:
    a, b = draw(images, width, seed=1) * 3 + 1, draw(images, width, seed=2)
    assert barlow_twins_loss(a, b, 0.3).item() == pytest.approx(loss_by_loops(a, b, 0.3), rel=1e-9)


@pytest.mark.parametrize("width", [3, 12])
def test_the_loss_is_lightlys_in_one_process(width: int) -> None:
    a, b = draw(6, width, seed=1), draw(6, width, seed=2)
    assert barlow_twins_loss(a, b, 5e-3).item() == pytest.approx(BarlowTwinsLoss()(a, b).item(), rel=1e-9)


def test_equal_views_of_uncorrelated_dimensions_cost_nothing() -> None:
    assert barlow_twins_loss(HADAMARD, HADAMARD, 1.0).item() == pytest.approx(0, abs=1e-8)


def test_opposite_views_cost_four_in_each_dimension() -> None:
    assert barlow_twins_loss(HADAMARD, -HADAMARD, 1.0).item() == pytest.approx(12, rel=1e-4)


def test_constant_embeddings_cost_one_in_each_dimension() -> None:
    assert barlow_twins_loss(torch.ones(4, 7), torch.ones(4, 7), 1.0).item() == pytest.approx(7)


def test_a_dimension_that_repeats_another_costs_the_redundancy() -> None:
    z = HADAMARD[:, [0, 0]]
    assert barlow_twins_loss(z, z, 0.25).item() == pytest.approx(2 * 0.25, rel=1e-4)


def test_scale_and_shift_of_a_dimension_do_not_matter() -> None:
    a, b = draw(5, 3, seed=1), draw(5, 3, seed=2)
    moved = a * torch.tensor([2.0, 30.0, 5.0]) - torch.tensor([1.0, 0.0, 9.0])
    assert barlow_twins_loss(moved, b, 0.1).item() == pytest.approx(barlow_twins_loss(a, b, 0.1).item(), rel=1e-3)


@pytest.mark.parametrize(("images", "width"), [(3, 6), (6, 3)])
def test_both_forms_of_the_squares_have_the_gradient_of_the_matrix(images: int, width: int) -> None:
    x, y = draw(2, images, width, seed=1).requires_grad_(), draw(2, images, width, seed=2).requires_grad_()
    product = x.mT @ y
    plain = (product * (1 - torch.eye(width))).square().sum(dim=(1, 2))
    ours = off_diagonal_squares(x, y)
    assert torch.allclose(ours, plain)
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64)
    for one, other in zip(
        torch.autograd.grad(plain @ weights, (x, y)), torch.autograd.grad(ours @ weights, (x, y)), strict=True
    ):
        assert torch.allclose(one, other)


def test_the_squares_keep_their_digits_in_float32_at_the_width_of_the_recipe() -> None:
    x = draw(16, 8192, seed=1) / 4
    exact = off_diagonal_squares(x, x).item()
    assert off_diagonal_squares(x.float(), x.float()).item() == pytest.approx(exact, rel=1e-5)


def test_half_precision_embeddings_are_correlated_in_float32() -> None:
    a, b = draw(8, 16, seed=1).bfloat16(), draw(8, 16, seed=2).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = barlow_twins_loss(a, b, 0.1)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(barlow_twins_loss(a.double(), b.double(), 0.1).item(), rel=1e-4)


@pytest.mark.parametrize(("a", "b"), [((1, 4), (1, 4)), ((3, 4), (2, 4)), ((3, 4), (3, 5))])
def test_a_single_image_and_unequal_shapes_are_refused(a: tuple[int, int], b: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"needs two \(B >= 2, D\) tensors"):
        barlow_twins_loss(torch.ones(a), torch.ones(b), 0.1)


def test_the_projector_has_three_layers_and_a_bias_only_in_its_norms() -> None:
    head = three_layer_projector(5, 7)
    shapes = [tuple(p.shape) for p in head.parameters() if p.ndim > 1]
    assert shapes == [(7, 5), (7, 7), (7, 7)]
    assert sum(p.ndim == 1 for p in head.parameters()) == 4
    assert (head(torch.randn(4, 5)) < 0).any()  # nothing cuts the last layer


def test_the_step_compares_the_first_views_with_the_second(tiny_start: Starts) -> None:
    module, batch = barlow(tiny_start()), batch_of(4)
    shown = module.training_step(batch, 0)
    z_a, z_b = (module.head(pooled(module.encoder, module.normalise(half))) for half in batch.views.chunk(2))
    assert shown["loss"].item() == pytest.approx(barlow_twins_loss(z_a, z_b, 0.005).item(), rel=1e-5)
    assert shown.keys() == {"loss", "spread"}


def test_norms_see_one_view_at_a_time(tiny_start: Starts) -> None:
    module, batch = barlow(tiny_start()), batch_of(4)
    darker = batch.views.clone()
    darker[4:] //= 2  # a change of the second views that BatchNorm takes out, unless it mixes them with the first
    first, second = module.normalise(batch.views)[:4], module.normalise(darker)[4:]
    module.training_step(batch._replace(views=darker), 0)
    assert module.encoder.norm.num_batches_tracked == 2
    means = [module.encoder.convolve(view).mean(dim=(0, 2, 3)) for view in (first, second)]
    expected = 0.9 * (0.1 * means[0]) + 0.1 * means[1]
    assert torch.allclose(module.encoder.norm.running_mean, expected, atol=1e-5)


def test_a_fixed_batch_is_learned(tiny_start: Starts) -> None:
    module, batch = barlow(tiny_start()), batch_of(6)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(module.training_step(batch, 0)["loss"])
        losses[-1].backward()
        optimizer.step()
    assert losses[-1].item() < 0.5 * losses[0].item()


def test_weights_and_flat_parameters_rise_and_fall_together_to_rates_of_their_own(tiny_start: Starts) -> None:
    made = barlow(tiny_start(), replace(SMALL, batch_size=512, warmup=0.3)).configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(10):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    weights, flat = zip(*rates, strict=True)
    assert max(weights) == pytest.approx(0.2 * 512 / 256)
    assert [rate / 0.2 for rate in weights] == pytest.approx([rate / 0.0048 for rate in flat])
    assert weights[0] < weights[2] > weights[9]


def test_lars_scales_weights_by_their_norms_and_flat_parameters_not_at_all(tiny_start: Starts) -> None:
    module = barlow(tiny_start(), replace(SMALL, batch_size=256, warmup=0.0))
    optimizer = module.configure_optimizers()["optimizer"]
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    module.training_step(batch_of(4), 0)["loss"].backward()
    rate, flat_rate = (group["lr"] for group in optimizer.param_groups)
    optimizer.step()
    for name, parameter in module.named_parameters():
        moved, slope = before[name] - parameter.detach(), parameter.grad
        if parameter.ndim == 1:
            assert torch.allclose(moved, flat_rate * slope, atol=1e-6), name
        else:
            assert moved.norm().item() == pytest.approx(rate * 0.001 * before[name].norm().item(), rel=1e-2), name
