from math import exp, log

import pytest
import torch
from torch import Tensor

from finetune.losses import dice_and_bce, dice_loss


def draw(images: int, side: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(images, 1, side, side, generator=generator)
    return logits, torch.randint(0, 2, (images, 1, side, side), generator=generator, dtype=torch.uint8)


def dice_by_loop(logits: Tensor, truth: Tensor) -> float:
    """Per image: one minus twice the overlap over the sum of areas, both with a pixel of smoothing."""
    losses = []
    for image, mask in zip(logits, truth, strict=True):
        overlap = total = 0.0
        for logit, lesion in zip(image.flatten().tolist(), mask.flatten().tolist(), strict=True):
            probability = 1 / (1 + exp(-logit))
            overlap += probability * lesion
            total += probability + lesion
        losses.append(1 - (2 * overlap + 1) / (total + 1))
    return sum(losses) / len(losses)


def bce_by_loop(logits: Tensor, truth: Tensor) -> float:
    pairs = zip(logits.flatten().tolist(), truth.flatten().tolist(), strict=True)
    losses = [-log(1 / (1 + exp(-logit)) if lesion else 1 - 1 / (1 + exp(-logit))) for logit, lesion in pairs]
    return sum(losses) / len(losses)


def test_dice_matches_its_definition() -> None:
    logits, truth = draw(images=3, side=7)
    assert dice_loss(logits, truth).item() == pytest.approx(dice_by_loop(logits, truth), rel=1e-5)


def test_the_loss_is_dice_and_cross_entropy() -> None:
    logits, truth = draw(images=2, side=5)
    expected = dice_by_loop(logits, truth) + bce_by_loop(logits, truth)
    assert dice_and_bce(logits, truth).item() == pytest.approx(expected, rel=1e-5)


def test_every_image_counts_alike_whatever_its_lesion_measures() -> None:
    truth = torch.zeros(2, 1, 16, 16)
    truth[0, :, :2, :2] = 1
    truth[1] = 1
    logits = torch.full_like(truth, 20.0)  # all is called lesion: nearly all wrong in one, all right in the other
    assert dice_loss(logits, truth).item() == pytest.approx((1 - 9 / 261) / 2, rel=1e-5)


def test_a_perfect_prediction_costs_nothing() -> None:
    _, truth = draw(images=2, side=16)
    assert dice_and_bce(40.0 * (2.0 * truth - 1), truth).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("value", "direction"), [(0, 1), (1, -1)])
def test_an_empty_and_a_full_mask_push_the_right_way(value: int, direction: int) -> None:
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    dice_loss(logits, torch.full((2, 1, 8, 8), value, dtype=torch.uint8)).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad.sign() == direction).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("lesion", ["none", "all", "some"])
def test_half_precision_at_512_px_is_as_good_as_float32(dtype: torch.dtype, lesion: str) -> None:
    logits, truth = draw(images=1, side=512)
    truth = {"none": torch.zeros_like(truth), "all": torch.ones_like(truth), "some": truth}[lesion]
    half = logits.to(dtype).requires_grad_()
    loss = dice_and_bce(half, truth)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(dice_and_bce(half.detach().float(), truth).item(), rel=1e-5)
    assert half.grad is not None
    assert half.grad.isfinite().all()
