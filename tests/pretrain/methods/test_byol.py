import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.byol import BYOL, normalised_mse
from pretrain.recipes import BYOLConfig
from pretrain.shared.momentum import momentum_schedule
from pretrain.views.batch import Batch

Starts = Callable[..., Start]


@pytest.fixture
def byol(tiny_start: Starts) -> BYOL:
    """A small one whose target is away from the online network, as it is from the second step on."""
    torch.manual_seed(1)
    module = BYOL(tiny_start(), BYOLConfig(batch_size=6, hidden_dim=16, projection_dim=4), steps=10)
    move(module.encoder, module.projector)
    return module


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@torch.no_grad()
def move(*modules: nn.Module) -> None:
    for parameter in (parameter for module in modules for parameter in module.parameters()):
        parameter.add_(0.3 * torch.randn_like(parameter))


def draw_batch(images: int = 6) -> Batch:
    views = torch.randint(0, 256, (2 * images, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    views = (views * torch.linspace(0.1, 1, 2 * images).view(-1, 1, 1, 1)).byte()
    return Batch(views, views[:0], torch.zeros(2 * images, 2, 3), torch.arange(images))


def swapped(batch: Batch) -> Batch:
    return batch._replace(views=batch.views.roll(len(batch.images), dims=0))


@pytest.mark.parametrize(("factor", "expected"), [(3.0, 0.0), (-0.1, 4.0)])
def test_only_the_direction_of_a_prediction_counts(factor: float, expected: float) -> None:
    targets = draw(5, 3, seed=0)
    assert normalised_mse(factor * targets, targets).item() == pytest.approx(expected, abs=1e-12)


def test_a_prediction_at_right_angles_is_two_away() -> None:
    assert normalised_mse(torch.eye(4), torch.eye(4).roll(1, dims=0)).item() == pytest.approx(2)


def test_the_distance_matches_its_definition() -> None:
    predictions, targets = draw(5, 3, seed=1), draw(5, 3, seed=2)
    expected = 0.0
    for p, t in zip(predictions.tolist(), targets.tolist(), strict=True):
        size_p, size_t = sum(x * x for x in p) ** 0.5, sum(x * x for x in t) ** 0.5
        expected += sum((x / size_p - y / size_t) ** 2 for x, y in zip(p, t, strict=True)) / 5
    assert normalised_mse(predictions, targets).item() == pytest.approx(expected)


def loss_by_the_paper(module: BYOL, batch: Batch, *, stopped: bool = True) -> Tensor:
    """Both directions, network by network; the target is `module`'s as it will have moved."""
    first, second = module.normalise(batch.views).chunk(2)
    with torch.set_grad_enabled(not stopped):
        targets = [F.normalize(module.target_projector(pooled(module.target_encoder, v))) for v in (second, first)]
    loss = torch.zeros(())
    for view, target in zip((first, second), targets, strict=True):
        prediction = F.normalize(module.predictor(module.projector(pooled(module.encoder, view))))
        loss = loss + (prediction - target).square().sum(dim=1).mean()
    return loss


def test_a_step_is_the_symmetric_loss_against_the_target_that_has_moved(byol: BYOL) -> None:
    moved = copy.deepcopy(byol)
    for slow, fast in ((moved.target_encoder, byol.encoder), (moved.target_projector, byol.projector)):
        for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
            old.data = 0.99 * old.data + 0.01 * new.data
    assert byol.training_step(draw_batch(), 0)["loss"].item() == pytest.approx(
        loss_by_the_paper(moved, draw_batch()).item()
    )


def test_the_views_may_change_places(byol: BYOL) -> None:
    other = copy.deepcopy(byol)
    loss, mirrored = byol.training_step(draw_batch(), 0)["loss"], other.training_step(swapped(draw_batch()), 0)["loss"]
    assert loss.item() == pytest.approx(mirrored.item())


def test_the_target_learns_nothing_by_gradient(byol: BYOL) -> None:
    byol.training_step(draw_batch(), 0)["loss"].backward()
    for name, parameter in byol.named_parameters():
        assert (parameter.grad is None) == name.startswith("target_"), name


def test_a_gradient_through_the_target_would_be_another_one(byol: BYOL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a network that is its own target, where a missing stop would be felt."""
    monkeypatch.setattr("pretrain.methods.byol.follow", lambda *_: None)  # it has not to be moved towards itself
    byol.target_encoder, byol.target_projector = byol.encoder, byol.projector
    weight = byol.projector.layers[-1].weight
    [ours] = torch.autograd.grad(byol.training_step(draw_batch(), 0)["loss"], weight)
    [stopped] = torch.autograd.grad(loss_by_the_paper(byol, draw_batch()), weight)
    [flowing] = torch.autograd.grad(loss_by_the_paper(byol, draw_batch(), stopped=False), weight)
    torch.testing.assert_close(ours, stopped)
    assert (flowing - stopped).norm() > 0.1 * stopped.norm()


def test_the_target_starts_as_the_online_network(tiny_start: Starts) -> None:
    module = BYOL(tiny_start(), BYOLConfig(hidden_dim=16, projection_dim=4), steps=10)
    module.training_step(draw_batch(), 0)
    pairs = [(module.target_encoder, module.encoder), (module.target_projector, module.projector)]
    for slow, fast in pairs:
        for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
            assert torch.equal(old, new)


@pytest.mark.parametrize(("step", "kept"), [(0, 0.99), (5, 0.995), (10, 1.0)])
def test_the_target_follows_ever_more_slowly(
    step: int, kept: float, byol: BYOL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert momentum_schedule(0.99, step, 10) == pytest.approx(kept)
    monkeypatch.setattr(BYOL, "global_step", step)
    before = byol.target_projector.layers[0].weight.clone()
    byol.training_step(draw_batch(), 0)
    expected = kept * before + (1 - kept) * byol.projector.layers[0].weight
    torch.testing.assert_close(byol.target_projector.layers[0].weight, expected)


def test_batch_norm_sees_a_view_at_a_time(byol: BYOL) -> None:
    byol.training_step(draw_batch(), 0)
    norms = [module for module in byol.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert len(norms) == 5  # encoder, projector and predictor, and the slow copies of the first two
    assert [int(norm.num_batches_tracked) for norm in norms] == [2] * 5


def test_both_heads_are_the_papers(byol: BYOL) -> None:
    for head in (byol.projector, byol.predictor):
        assert [type(layer) for layer in head.layers] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert [byol.projector.layers[0].out_features, byol.predictor.layers[0].out_features] == [16, 16]
    assert [byol.projector.layers[-1].out_features, byol.predictor.layers[-1].out_features] == [4, 4]
