import copy
from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.weights.encoder import Start, pooled
from pretrain.methods.swav import SwAV, crop_features, sinkhorn, swapped_prediction
from pretrain.recipes import SwAVConfig
from pretrain.views.batch import Batch

Starts = Callable[..., Start]
B, D, K = 4, 6, 10


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw_batch(local: int = 2, seed: int = 3) -> Batch:
    """Four pictures of different brightness, as 8 x 8 views and 6 x 6 small crops."""
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(0, 256, (2 * B, 3, 8, 8), generator=generator)
    small = torch.randint(0, 256, (local * B, 3, 6, 6), generator=generator)
    dim = torch.linspace(0.2, 1, B).view(-1, 1, 1, 1)
    maps = torch.zeros((2 + local) * B, 2, 3)
    return Batch(
        (views * dim.repeat(2, 1, 1, 1)).byte(), (small * dim.repeat(local, 1, 1, 1)).byte(), maps, torch.arange(B)
    )


def swav(start: Start, kind: type[SwAV] = SwAV, **options: object) -> SwAV:
    small = {"batch_size": B, "hidden_dim": 16, "projection_dim": D, "prototypes": K, "queue_size": 8, "queue_from": 0}
    torch.manual_seed(1)
    return kind(start, SwAVConfig(**(small | options)), 10)  # type: ignore[arg-type]


class InSecondEpoch(SwAV):
    current_epoch = 1  # type: ignore[assignment]


def sinkhorn_by_loops(scores: list[list[float]], epsilon: float, steps: int) -> list[list[float]]:
    """Appendix A.1 of the paper with Python's floats: exponentials, divided by their sums in turn."""
    q = [[exp(score / epsilon) for score in row] for row in scores]
    images, prototypes = len(q), len(q[0])
    for _ in range(steps):
        for k in range(prototypes):
            column = sum(q[n][k] for n in range(images))
            for n in range(images):
                q[n][k] /= column * prototypes
        for n in range(images):
            row = sum(q[n])
            q[n] = [share / row / images for share in q[n]]
    return [[share * images for share in row] for row in q]


def swapped_by_loops(targets: list[list[list[float]]], logits: list[list[list[float]]]) -> float:
    """Equations 2 and 6 of the paper: the mean over views, other crops and images of a cross entropy written out."""
    losses = []
    for view in range(2):
        for crop in range(len(logits)):
            for image in range(len(logits[0])):
                if crop != view:
                    whole = log(sum(exp(logit) for logit in logits[crop][image]))
                    pairs = zip(targets[view][image], logits[crop][image], strict=True)
                    losses.append(-sum(target * (logit - whole) for target, logit in pairs))
    return sum(losses) / len(losses)


# Sinkhorn.


@pytest.mark.parametrize(("images", "prototypes", "steps"), [(5, 3, 1), (4, 7, 3), (6, 6, 10)])
def test_sinkhorn_matches_its_definition(images: int, prototypes: int, steps: int) -> None:
    scores = draw(images, prototypes)
    expected = sinkhorn_by_loops(scores.tolist(), 0.3, steps)
    torch.testing.assert_close(sinkhorn(scores, 0.3, steps), torch.tensor(expected, dtype=torch.float64))


def test_every_image_gives_as_much_and_every_prototype_takes_nearly_as_much() -> None:
    scores = F.normalize(draw(40, 8), dim=1) @ F.normalize(draw(5, 8, seed=1), dim=1).T
    shares = sinkhorn(scores.float(), 0.05, 3)
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(40))
    alone = (scores / 0.05).softmax(dim=1).sum(dim=0)
    assert (shares.sum(dim=0) - 8).abs().max() < 0.5 * (alone - 8).abs().max()


def test_after_many_rounds_every_prototype_takes_as_much() -> None:
    torch.testing.assert_close(sinkhorn(draw(12, 4), 0.5, 200).sum(dim=0), torch.full((4,), 3.0, dtype=torch.float64))


def test_equal_scores_are_shared_by_all_prototypes() -> None:
    assert torch.allclose(sinkhorn(torch.full((6, 4), 0.3), 0.05, 3), torch.tensor(0.25))


def test_a_prototype_that_all_images_like_gets_no_more_than_the_others() -> None:
    scores = draw(6, 4)
    torch.testing.assert_close(sinkhorn(scores + torch.tensor([5.0, 0, 0, 0]), 0.3, 3), sinkhorn(scores, 0.3, 3))


def test_the_order_of_the_images_does_not_matter() -> None:
    scores, order = draw(6, 4), torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(sinkhorn(scores[order], 0.3, 3), sinkhorn(scores, 0.3, 3)[order])


def test_as_many_images_as_prototypes_pair_off() -> None:
    torch.testing.assert_close(sinkhorn(torch.eye(5), 0.05, 3), torch.eye(5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("epsilon", [1e-4, 0.005])
def test_no_score_is_too_high_or_too_low(epsilon: float) -> None:
    scores = F.normalize(draw(9, 3), dim=1).float()
    assert not torch.exp(scores / epsilon).isfinite().all()  # the plain form
    shares = sinkhorn(scores, epsilon, 3)
    assert shares.isfinite().all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(9))


def test_sinkhorn_computes_in_float32_under_bf16() -> None:
    scores = draw(9, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        shares = sinkhorn(scores, 0.3, 3)
    assert torch.equal(shares, sinkhorn(scores.float(), 0.3, 3))


def test_assignments_have_no_gradient() -> None:
    assert not sinkhorn(draw(4, 3).requires_grad_(), 0.3, 3).requires_grad


# The loss.


@pytest.mark.parametrize("local", [0, 1, 3])
def test_swapped_prediction_matches_its_definition(local: int) -> None:
    targets, logits = draw(2, 3, 5).softmax(dim=2), draw(2 + local, 3, 5, seed=1)
    expected = swapped_by_loops(targets.tolist(), logits.tolist())
    assert swapped_prediction(targets, logits).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("local", [0, 2])
def test_a_prediction_that_knows_nothing_costs_log_of_the_prototypes(local: int) -> None:
    targets = draw(2, 3, 7).softmax(dim=2)
    assert swapped_prediction(targets, torch.ones(2 + local, 3, 7)).item() == pytest.approx(log(7))


def test_a_prediction_that_is_sure_and_right_costs_nothing() -> None:
    targets = torch.eye(4).repeat(2, 1, 1)  # image n of both views is assigned to prototype n
    assert swapped_prediction(targets, 100 * torch.eye(4).repeat(5, 1, 1)).item() == pytest.approx(0)


def test_a_view_does_not_predict_its_own_target() -> None:
    targets, logits = draw(2, 3, 5).softmax(dim=2), draw(4, 3, 5, seed=1)
    changed = torch.stack([targets[0].flip(1), targets[1]])
    gradients = []
    for target in (targets, changed):
        leaf = logits.clone().requires_grad_()
        gradients.append(torch.autograd.grad(swapped_prediction(target, leaf), leaf)[0])
    differs = [not torch.equal(old, new) for old, new in zip(*gradients, strict=True)]
    assert differs == [False, True, True, True]


@pytest.mark.parametrize(
    ("targets", "logits"), [((2, 3, 4), (1, 3, 4)), ((1, 3, 4), (2, 3, 4)), ((2, 3, 4), (2, 3, 5))]
)
def test_targets_without_their_crops_are_refused(targets: tuple[int, ...], logits: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs \(2, B, K\) targets"):
        swapped_prediction(torch.ones(targets), torch.ones(logits))


# The step.


def test_crops_of_one_size_pass_the_encoder_together(tiny_start: Starts) -> None:
    start, batch = tiny_start(), draw_batch()
    twin = copy.deepcopy(start.encoder)
    parts = [pooled(twin, start.normalise(crops)) for crops in (batch.views, batch.local)]
    assert torch.equal(crop_features(start.encoder, start.normalise, batch), torch.cat(parts))
    assert start.encoder.norm.num_batches_tracked == 2


@pytest.mark.parametrize("local", [0, 2])
def test_a_step_predicts_from_every_crop_of_an_image_how_its_views_are_assigned(tiny_start: Starts, local: int) -> None:
    module, batch = swav(tiny_start(norm=False)).eval(), draw_batch(local)
    crops = [*batch.views.split(B), *batch.local.split(B)] if local else batch.views.split(B)
    prototypes = F.normalize(module.prototypes.weight.detach(), dim=1)
    z = [F.normalize(module.head(pooled(module.encoder, module.normalise(crop))), dim=1) for crop in crops]
    scores = [(rows @ prototypes.T).tolist() for rows in z]
    targets = [sinkhorn_by_loops(rows, 0.05, 3) for rows in scores[:2]]
    logits = [[[score / 0.1 for score in row] for row in rows] for rows in scores]
    loss = module.training_step(batch, 0)["loss"]
    assert loss.item() == pytest.approx(swapped_by_loops(targets, logits), rel=1e-4)


def test_prototypes_are_of_unit_length_in_every_step_and_scaling_them_changes_nothing(tiny_start: Starts) -> None:
    batch, losses = draw_batch(), []
    for scale in (1.0, 7.0):
        module = swav(tiny_start())
        with torch.no_grad():
            module.prototypes.weight.mul_(scale)
        losses.append(module.training_step(batch, 0)["loss"].item())
        torch.testing.assert_close(module.prototypes.weight.norm(dim=1), torch.ones(K))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_prototypes_stay_as_they_were_drawn_in_the_first_epochs(tiny_start: Starts) -> None:
    for kind, frozen in ((SwAV, True), (InSecondEpoch, False)):
        module = swav(tiny_start(), kind, frozen_epochs=1, optimiser="sgd", weight_decay=0.1, warmup=0.0)
        optimizer = module.configure_optimizers()["optimizer"]
        for _ in range(2):
            module.training_step(draw_batch(), 0)["loss"].backward()
            module.on_after_backward()
            before = module.prototypes.weight.clone()
            assert (module.prototypes.weight.grad is None) == frozen
            optimizer.step()
            optimizer.zero_grad()
            assert torch.equal(module.prototypes.weight, before) == frozen


# The queue.


def test_a_queue_helps_once_it_is_full(tiny_start: Starts) -> None:
    """Of twice the batch: two steps fill it, and the third one is assigned along with it."""
    module, alone = (swav(tiny_start(), queue_size=size) for size in (8, 0))
    same = []
    for seed in range(3):
        losses = [each.training_step(draw_batch(seed=seed), 0)["loss"] for each in (module, alone)]
        same.append(torch.equal(*losses))
    assert same == [True, True, False]


def test_a_full_queue_adds_rows_to_the_assignment_of_its_own_view(tiny_start: Starts) -> None:
    module = swav(tiny_start())
    module.shorten_prototypes()
    for view in range(2):
        z, earlier = (F.normalize(draw(count, D, seed=view + count), dim=1).float() for count in (B, 8))
        module.queues[view].push(earlier)
        scores = torch.cat([z, earlier]) @ module.prototypes.weight.T
        expected = torch.tensor(sinkhorn_by_loops(scores.tolist(), 0.05, 3)[:B])
        torch.testing.assert_close(module.assigned(view, z), expected, rtol=1e-3, atol=1e-6)


def test_each_view_has_its_queue(tiny_start: Starts) -> None:
    module, batch = swav(tiny_start(norm=False)).eval(), draw_batch(0)
    z = F.normalize(module.head(crop_features(module.encoder, module.normalise, batch)), dim=1)
    module.training_step(batch, 0)
    for view in range(2):
        torch.testing.assert_close(module.queues[view].keys[:B], z[view * B :][:B])
        assert not module.queues[view].keys[B:].any()


@pytest.mark.parametrize(("kind", "filled"), [(SwAV, False), (InSecondEpoch, True)])
def test_a_queue_is_filled_from_its_epoch_on(tiny_start: Starts, kind: type[SwAV], filled: bool) -> None:
    module = swav(tiny_start(), kind, queue_from=1)
    module.training_step(draw_batch(), 0)
    assert bool(module.queues[0].keys.any()) == filled


def test_a_checkpoint_carries_the_queues(tiny_start: Starts) -> None:
    first, second = swav(tiny_start()), swav(tiny_start(seed=5))
    for seed in range(2):
        first.training_step(draw_batch(seed=seed), 0)
    second.load_state_dict(first.state_dict())
    losses = [each.training_step(draw_batch(seed=7), 0)["loss"] for each in (first, second)]
    assert torch.equal(*losses)


def test_without_a_queue_there_is_nothing_to_carry(tiny_start: Starts) -> None:
    module = swav(tiny_start(), queue_size=0)
    assert not any(name.startswith("queues") for name in module.state_dict())
    assert module.training_step(draw_batch(), 0)["loss"].isfinite()


def test_what_the_step_trains_is_the_encoder_the_head_and_the_prototypes(tiny_start: Starts) -> None:
    module = swav(tiny_start())
    for seed in range(3):  # the last one with a full queue
        module.zero_grad()
        module.training_step(draw_batch(seed=seed), 0)["loss"].backward()
    parts: list[nn.Module] = [module.encoder, module.head, module.prototypes]
    trained = [parameter for part in parts for parameter in part.parameters()]
    assert {id(parameter) for parameter in module.parameters()} == {id(parameter) for parameter in trained}
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in trained)
