from collections.abc import Callable
from math import exp, log

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from dermssl.features.representation import spread
from dermssl.weights.encoder import Start, pooled
from pretrain.methods.dino import DINO, DINOHead, clip_each, entropy, sharpened
from pretrain.methods.method import Method
from pretrain.methods.swav import crop_features, swapped_prediction
from pretrain.recipes import DINOConfig
from pretrain.shared.momentum import momentum_schedule
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


def small_config(**options: object) -> DINOConfig:
    small = {"batch_size": B, "hidden_dim": 16, "bottleneck_dim": D, "prototypes": K}
    return DINOConfig(**(small | options))  # type: ignore[arg-type]


def dino(start: Start, kind: type[DINO] = DINO, **options: object) -> DINO:
    torch.manual_seed(1)
    return kind(start, small_config(**options), 10)


class InSecondEpoch(DINO):
    current_epoch = 1  # type: ignore[assignment]


class InFifthStep(DINO):
    global_step = 5  # type: ignore[assignment]


def softmax_of(values: list[float]) -> list[float]:
    whole = sum(exp(value) for value in values)
    return [exp(value) / whole for value in values]


def dino_by_loops(teacher: list[list[list[float]]], student: list[list[list[float]]], centre: list[float]) -> float:
    """Algorithm 1 of the paper with Python's floats; logits by crop, image and prototype, temperatures 0.04 and 0.1."""
    losses = []
    for view in range(len(teacher)):
        for crop in range(len(student)):
            for image in range(len(student[0])):
                if crop != view:
                    said = softmax_of([(t - c) / 0.04 for t, c in zip(teacher[view][image], centre, strict=True)])
                    predicted = softmax_of([s / 0.1 for s in student[crop][image]])
                    losses.append(-sum(t * log(s) for t, s in zip(said, predicted, strict=True)))
    return sum(losses) / len(losses)


# The loss.


@pytest.mark.parametrize("local", [0, 1, 3])
def test_the_loss_matches_its_definition(local: int) -> None:
    teacher, student, centre = 0.3 * draw(2, 3, 5), 0.3 * draw(2 + local, 3, 5, seed=1), 0.1 * draw(5, seed=2)
    loss = swapped_prediction(sharpened(teacher, centre, 0.04), student / 0.1)
    expected = dino_by_loops(teacher.tolist(), student.tolist(), centre.tolist())
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_a_uniform_teacher_and_student_cost_log_of_the_prototypes() -> None:
    targets = sharpened(torch.ones(2, 3, 7), torch.zeros(7), 0.04)
    assert swapped_prediction(targets, torch.ones(4, 3, 7)).item() == pytest.approx(log(7))
    assert entropy(targets).item() == pytest.approx(log(7))


def test_a_student_that_says_what_the_teacher_says_pays_the_teachers_entropy() -> None:
    logits = draw(1, 3, 5).repeat(2, 1, 1)
    targets = sharpened(logits, torch.zeros(5), 0.5)
    loss = swapped_prediction(targets, (logits / 0.5).repeat(2, 1, 1))
    assert loss.item() == pytest.approx(entropy(targets).item())


def test_a_teacher_without_doubt_has_no_entropy() -> None:
    targets = sharpened(torch.eye(3), torch.zeros(3), 1e-3)
    assert torch.equal(targets, torch.eye(3))
    assert entropy(targets).item() == 0


def test_centring_takes_away_what_all_images_have_in_common() -> None:
    logits, common = draw(4, 5), 3 * draw(5, seed=1)
    torch.testing.assert_close(sharpened(logits + common, common, 0.1), sharpened(logits, torch.zeros(5), 0.1))


def test_a_lower_temperature_is_sharper() -> None:
    doubts = [entropy(sharpened(draw(4, 5), torch.zeros(5), temperature)) for temperature in (0.04, 0.4, 4.0)]
    assert doubts == sorted(doubts)


def test_the_teacher_speaks_in_float32_under_bf16() -> None:
    logits = draw(4, 5).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        targets = sharpened(logits, torch.zeros(5), 0.04)
    assert torch.equal(targets, sharpened(logits.float(), torch.zeros(5), 0.04))


# Clipping.


def test_each_gradient_is_clipped_as_torch_clips_one_alone() -> None:
    gradients = [scale * draw(4, 3, seed=seed) for seed, scale in enumerate((0.01, 1.0, 100.0))]
    parameters = [nn.Parameter(torch.zeros(4, 3, dtype=torch.float64)) for _ in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
        nn.utils.clip_grad_norm_([parameter], 3.0)
    clipped = [gradient.clone() for gradient in gradients]
    clip_each(clipped, 3.0)
    for parameter, gradient in zip(parameters, clipped, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)
    assert torch.equal(clipped[0], gradients[0])  # to the bit: it was short enough, however long the others are
    assert clipped[2].norm().item() == pytest.approx(3.0, rel=1e-5)


def test_a_gradient_of_zero_stays_zero() -> None:
    gradient = torch.zeros(3)
    clip_each([gradient, torch.ones(2)], 0.1)
    assert torch.equal(gradient, torch.zeros(3))


def test_a_step_clips_by_its_options(tiny_start: Starts) -> None:
    longest = {}
    for clip in (0.0, 1e-3):
        module = dino(tiny_start(), clip=clip)
        module.training_step(draw_batch(), 0)["loss"].backward()
        module.on_after_backward()
        longest[clip] = max(p.grad.norm().item() for p in module.parameters() if p.grad is not None)
    assert longest[0.0] > 0.01
    assert longest[1e-3] == pytest.approx(1e-3)


# The head.


def test_the_prototypes_are_weight_normalised_with_a_norm_of_one() -> None:
    """Values and gradients are those of torch's weight norm whose length is 1."""
    head = DINOHead(8, small_config(), norm=True)
    reference = weight_norm(nn.Linear(D, K, bias=False))
    norms = reference.parametrizations.weight
    with torch.no_grad():
        norms.original0.fill_(1.0)
        norms.original1.copy_(head.prototypes.weight)
    unit, towards = F.normalize(draw(5, D).float(), dim=1), draw(5, K).float()
    ours, theirs = head.logits(unit), reference(unit)
    torch.testing.assert_close(ours, theirs)
    (ours * towards).sum().backward()
    (theirs * towards).sum().backward()
    torch.testing.assert_close(head.prototypes.weight.grad, norms.original1.grad)


def test_logits_are_cosines() -> None:
    head = DINOHead(8, small_config(), norm=False)
    for scale in (1.0, 1e6):
        torch.testing.assert_close(head.unit(scale * draw(7, 8).float()).norm(dim=1), torch.ones(7))
    rows = F.normalize(head.prototypes.weight, dim=1)
    torch.testing.assert_close(head.logits(rows).diagonal(), torch.ones(K))


def test_the_mlp_starts_with_small_weights_and_no_biases() -> None:
    head = DINOHead(512, small_config(hidden_dim=512), norm=False)
    layers = [layer for layer in head.mlp.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 3
    assert all(layer.weight.std().item() == pytest.approx(0.02, rel=0.05) for layer in layers)
    assert not any(layer.bias.any() for layer in layers)


def test_logits_are_computed_in_float32_under_bf16() -> None:
    head, unit = DINOHead(8, small_config(), norm=True), F.normalize(draw(5, D).float(), dim=1)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head.logits(unit)
    assert torch.equal(logits, head.logits(unit))


@pytest.mark.parametrize("norm", [True, False])
def test_the_head_has_batch_normalisation_where_the_encoder_has(tiny_start: Starts, norm: bool) -> None:
    module = dino(tiny_start(norm=norm))
    layers = [layer for layer in module.head.modules() if isinstance(layer, nn.BatchNorm1d)]
    assert len(layers) == (2 if norm else 0)


# The step.


def test_the_teacher_starts_as_a_copy_of_the_student_and_no_gradient_moves_it(tiny_start: Starts) -> None:
    module = dino(tiny_start())
    for fast, slow in ((module.encoder, module.teacher), (module.head, module.teacher_head)):
        ours, theirs = fast.state_dict(), slow.state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) and ours[key] is not theirs[key] for key in ours)
    module.training_step(draw_batch(), 0)["loss"].backward()
    slow_ones = [*module.teacher.parameters(), *module.teacher_head.parameters()]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in slow_ones)
    fast_ones = [*module.encoder.parameters(), *module.head.parameters()]
    assert all(parameter.grad is not None for parameter in fast_ones)


@pytest.mark.parametrize("local", [0, 2])
def test_a_step_predicts_from_every_crop_of_an_image_what_the_teacher_says_of_its_views(
    tiny_start: Starts, local: int
) -> None:
    module, batch = dino(tiny_start(norm=False), momentum=0.999999), draw_batch(local)
    crops = [*batch.views.split(B), *batch.local.split(B)] if local else batch.views.split(B)
    module.centre.copy_(0.1 * draw(K, seed=4))
    centre = module.centre.tolist()
    with torch.no_grad():  # the teacher is no longer the student
        module.teacher_head.prototypes.weight.copy_(draw(K, D, seed=5))
        module.teacher.convolve.weight.mul_(-2)
        teacher = [module.teacher_head(pooled(module.teacher, module.normalise(crop))).tolist() for crop in crops[:2]]
        student = [module.head(pooled(module.encoder, module.normalise(crop))).tolist() for crop in crops]
    loss = module.training_step(batch, 0)["loss"]
    assert loss.item() == pytest.approx(dino_by_loops(teacher, student, centre), rel=1e-4)


def test_the_teacher_sees_no_small_crop(tiny_start: Starts) -> None:
    first, second = draw_batch(), draw_batch(seed=4)
    modules = [dino(tiny_start()) for _ in range(2)]
    scalars = [
        module.training_step(Batch(first.views, small, first.maps, first.images), 0)
        for module, small in zip(modules, (first.local, second.local), strict=True)
    ]
    assert torch.equal(scalars[0]["teacher_entropy"], scalars[1]["teacher_entropy"])
    assert torch.equal(modules[0].centre, modules[1].centre)
    assert not torch.equal(scalars[0]["loss"], scalars[1]["loss"])


@pytest.mark.parametrize(("kind", "step"), [(DINO, 0), (InFifthStep, 5)])
def test_the_teacher_follows_slower_and_slower(tiny_start: Starts, kind: type[DINO], step: int) -> None:
    module = dino(tiny_start(), kind, momentum=0.5)
    pairs = (
        (module.teacher.convolve, module.encoder.convolve),
        (module.teacher_head.prototypes, module.head.prototypes),
    )
    before = [slow.weight.clone() for slow, _ in pairs]
    with torch.no_grad():
        for _, fast in pairs:
            fast.weight.add_(1.0)
    module.training_step(draw_batch(), 0)
    for (slow, _), old in zip(pairs, before, strict=True):
        torch.testing.assert_close(slow.weight - old, torch.full_like(old, 1 - momentum_schedule(0.5, step, 10)))


def test_the_centre_moves_towards_the_mean_of_the_teachers_logits_after_they_were_used(tiny_start: Starts) -> None:
    module, batch = dino(tiny_start(norm=False), centre_momentum=0.75), draw_batch()
    module.centre.copy_(draw(K))
    old = module.centre.clone()
    with torch.no_grad():
        logits = module.teacher_head(pooled(module.teacher, module.normalise(batch.views)))
    targets = module.targets(batch.views)
    torch.testing.assert_close(module.centre, 0.75 * old + 0.25 * logits.mean(dim=0))
    torch.testing.assert_close(targets, sharpened(logits, old, 0.04))
    assert not targets.requires_grad


def test_prototypes_stay_as_they_were_drawn_in_the_first_epochs(tiny_start: Starts) -> None:
    for kind, frozen in ((DINO, True), (InSecondEpoch, False)):
        module = dino(tiny_start(), kind, frozen_epochs=1, weight_decay=0.1, warmup=0.0)
        before = module.head.prototypes.weight.clone()
        optimizer = module.configure_optimizers()["optimizer"]
        module.training_step(draw_batch(), 0)["loss"].backward()
        module.on_after_backward()
        optimizer.step()
        assert torch.equal(module.head.prototypes.weight, before) == frozen
        assert not torch.equal(module.encoder.convolve.weight, module.teacher.convolve.weight)


def test_a_checkpoint_carries_teacher_and_centre_to_the_bit(tiny_start: Starts) -> None:
    first, second = dino(tiny_start()), dino(tiny_start(seed=5))
    for seed in range(2):
        first.training_step(draw_batch(seed=seed), 0)
    second.load_state_dict(first.state_dict())
    assert first.centre.any()
    losses = [each.training_step(draw_batch(seed=7), 0)["loss"] for each in (first, second)]
    assert torch.equal(*losses)


def test_spread_is_that_of_the_first_views_unit_vectors(tiny_start: Starts) -> None:
    module, batch = dino(tiny_start(norm=False)), draw_batch()
    z = module.head.unit(crop_features(module.encoder, module.normalise, batch))
    assert module.training_step(batch, 0)["spread"].item() == pytest.approx(spread(z[:B]).item())


def test_the_file_gets_the_teacher(small_method: Callable[..., Method]) -> None:
    dino, byol = small_method("dino"), small_method("byol")
    assert dino.learned is dino.teacher
    assert byol.learned is byol.encoder
