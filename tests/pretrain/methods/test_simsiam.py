import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.simsiam import SimSiam, negative_cosine
from pretrain.recipes import SimSiamConfig
from pretrain.views.batch import Batch

Builds = Callable[..., SimSiam]


@pytest.fixture
def build(tiny_start: Callable[..., Start]) -> Builds:
    """A small one, with other options on wish."""

    def built(**options: object) -> SimSiam:
        torch.manual_seed(1)
        small = {"batch_size": 6, "projection_dim": 16, "prediction_dim": 4}
        return SimSiam(tiny_start(), SimSiamConfig(**(small | options)), steps=10)  # type: ignore[arg-type]

    return built


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_batch(images: int = 6) -> Batch:
    views = torch.randint(0, 256, (2 * images, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    views = (views * torch.linspace(0.1, 1, 2 * images).view(-1, 1, 1, 1)).byte()
    return Batch(views, views[:0], torch.zeros(2 * images, 2, 3), torch.arange(images))


def swapped(batch: Batch) -> Batch:
    return batch._replace(views=batch.views.roll(len(batch.images), dims=0))


@pytest.mark.parametrize(("factor", "expected"), [(3.0, -1.0), (-0.1, 1.0)])
def test_only_the_direction_of_a_prediction_counts(factor: float, expected: float) -> None:
    projections = draw(5, 3, seed=0)
    assert negative_cosine(factor * projections, projections).item() == pytest.approx(expected)


def test_the_loss_matches_its_definition() -> None:
    predictions, projections = draw(5, 3, seed=1), draw(5, 3, seed=2)
    expected = 0.0
    for p, z in zip(predictions.tolist(), projections.tolist(), strict=True):
        sizes = sum(x * x for x in p) ** 0.5 * sum(x * x for x in z) ** 0.5
        expected -= sum(x * y for x, y in zip(p, z, strict=True)) / sizes / 5
    assert negative_cosine(predictions, projections).item() == pytest.approx(expected)


def test_projections_stand_still() -> None:
    predictions, projections = draw(5, 3, seed=1).requires_grad_(), draw(5, 3, seed=2).requires_grad_()
    negative_cosine(predictions, projections).backward()
    assert predictions.grad is not None
    assert projections.grad is None


def loss_by_the_paper(module: SimSiam, batch: Batch, *, stopped: bool = True) -> Tensor:
    """Both directions, network by network."""
    views = module.normalise(batch.views).chunk(2)
    z = [module.projector(pooled(module.encoder, view)) for view in views]
    unit_p = [F.normalize(module.predictor(one)) for one in z]
    unit_z = [F.normalize(one.detach() if stopped else one) for one in z]
    return -((unit_p[0] * unit_z[1]).sum(dim=1).mean() + (unit_p[1] * unit_z[0]).sum(dim=1).mean()) / 2


def test_a_step_is_the_symmetric_loss(build: Builds) -> None:
    expected = loss_by_the_paper(build(), draw_batch()).item()
    assert build().training_step(draw_batch(), 0)["loss"].item() == pytest.approx(expected)


def test_the_views_may_change_places(build: Builds) -> None:
    loss, mirrored = (build().training_step(batch, 0)["loss"] for batch in (draw_batch(), swapped(draw_batch())))
    assert loss.item() == pytest.approx(mirrored.item())


def test_a_gradient_without_the_stop_would_be_another_one(build: Builds) -> None:
    module = build()
    weight = module.projector.layers[0].weight
    [ours] = torch.autograd.grad(module.training_step(draw_batch(), 0)["loss"], weight)
    [stopped] = torch.autograd.grad(loss_by_the_paper(module, draw_batch()), weight)
    [flowing] = torch.autograd.grad(loss_by_the_paper(module, draw_batch(), stopped=False), weight)
    torch.testing.assert_close(ours, stopped)
    assert (flowing - stopped).norm() > 0.1 * stopped.norm()


def rates(module: SimSiam) -> dict[bool, list[float]]:
    """The learning rate at each of ten steps, of the predictor (True) and of the rest (False)."""
    settings = module.configure_optimizers()
    optimizer, schedule = settings["optimizer"], settings["lr_scheduler"]["scheduler"]
    seen: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(10):
        module.training_step(draw_batch(), 0)["loss"].backward()
        module.on_before_optimizer_step(optimizer)
        for predicts in seen:
            [rate] = {group["lr"] for group in optimizer.param_groups if group.get("keeps_rate", False) == predicts}
            seen[predicts].append(rate)
        optimizer.step()
        schedule.step()
    return seen


def test_the_predictor_keeps_its_rate_while_the_rest_decays(build: Builds) -> None:
    peak = 0.05 * 6 / 256
    seen = rates(build(warmup=0.0))
    assert seen[True] == pytest.approx([peak] * 10)
    assert seen[False][0] == pytest.approx(peak)
    assert all(later < earlier for earlier, later in zip(seen[False], seen[False][1:], strict=False))


def test_the_predictor_does_not_warm_up_either(build: Builds) -> None:
    seen = rates(build(warmup=0.5))
    assert seen[True] == pytest.approx([0.05 * 6 / 256] * 10)
    assert seen[False][0] < seen[False][3]


def test_the_groups_that_keep_their_rate_are_the_predictors(build: Builds) -> None:
    module = build()
    groups = module.configure_optimizers()["optimizer"].param_groups
    keeping = {p for group in groups if group.get("keeps_rate") for p in group["params"]}
    assert keeping == set(module.predictor.parameters())


def test_projections_have_mean_zero_and_deviation_one_over_the_batch(build: Builds) -> None:
    module = build()
    z = module.projector(draw(6, 8, seed=3).float())
    torch.testing.assert_close(z.mean(dim=0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var(dim=0, correction=0), torch.ones(16), atol=1e-2, rtol=0)
    assert not list(module.projector.layers[-1].parameters())


def test_both_heads_are_the_papers(build: Builds) -> None:
    module, block = build(), [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(layer) for layer in module.projector.layers] == block * 2 + [nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in module.predictor.layers] == [*block, nn.Linear]
    assert module.predictor.layers[0].out_features == 4


def test_batch_norm_sees_a_view_at_a_time(build: Builds) -> None:
    module = copy.deepcopy(build())
    module.training_step(draw_batch(), 0)
    norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert [int(norm.num_batches_tracked) for norm in norms] == [2] * 5
