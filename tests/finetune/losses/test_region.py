"""What ties the losses of regions to each other and to the scores that they stand for."""

from itertools import product
from math import log

import numpy as np
import pytest
import torch
from torch import Tensor

from finetune.losses.lovasz import growth, lovasz_loss
from finetune.losses.pixel import bce_loss, focal_loss
from finetune.losses.region import dice_loss, jaccard_loss, mcc_loss, tversky_loss

ALL = [torch.tensor(cells, dtype=torch.float32).reshape(1, 1, 2, 2) for cells in product([0, 1], repeat=4)]


def draw(seed: int, side: int = 9) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, 1, side, side, generator=generator)
    return logits, torch.randint(0, 2, (1, 1, side, side), generator=generator)


def sure(mask: Tensor) -> Tensor:
    """Logits whose probabilities are the mask."""
    return 200 * (2 * mask - 1)


@pytest.mark.parametrize("truth", ALL)
def test_lovasz_is_one_minus_the_jaccard_of_every_mask(truth: Tensor) -> None:
    for mask in ALL:
        union = torch.maximum(mask, truth).sum()
        jaccard = (mask * truth).sum() / union if union else 1.0
        assert lovasz_loss(sure(mask), truth).item() == pytest.approx(float(1 - jaccard), abs=1e-6)


def test_lovasz_is_convex_between_predictions() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 2, (1, 1, 5, 5), generator=generator)
    for _ in range(50):
        a, b = torch.rand(2, 1, 1, 5, 5, generator=generator).clamp(0.01, 0.99)
        between = lovasz_loss(((a + b) / 2).logit(), truth)
        assert between <= (lovasz_loss(a.logit(), truth) + lovasz_loss(b.logit(), truth)) / 2 + 1e-6


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
def test_the_growth_of_the_jaccard_loss_keeps_its_digits_at_512_px(share: float) -> None:
    truth = (torch.rand(1, 512 * 512, generator=torch.Generator().manual_seed(0)) < share).double()
    missed, wrong = truth.cumsum(1), (1 - truth).cumsum(1)
    losses = (missed + wrong) / (truth.sum() + wrong)  # 1 - (lesion - missed) / (lesion + wrong), in float64
    exact = losses.diff(dim=1, prepend=torch.zeros(1, 1))
    assert torch.allclose(growth(truth.float()).double(), exact, rtol=1e-4, atol=1e-14)


@pytest.mark.parametrize("seed", range(5))
def test_dice_is_twice_the_jaccard_over_one_and_the_jaccard(seed: int) -> None:
    logits, truth = draw(seed)
    j = 1 - jaccard_loss(logits, truth).item()
    assert 1 - dice_loss(logits, truth).item() == pytest.approx(2 * j / (1 + j), rel=1e-6)


@pytest.mark.parametrize("over", ["image", "batch"])
def test_tversky_is_dice_at_a_half_and_jaccard_at_one(over: str) -> None:
    logits, truth = (torch.cat(pair) for pair in zip(draw(0), draw(1), strict=True))
    pairs = [(tversky_loss(logits, truth, over, 0.5, 0.5), dice_loss(logits, truth, over))]
    pairs += [(tversky_loss(logits, truth, over, 1, 1), jaccard_loss(logits, truth, over))]
    assert all(ours.item() == pytest.approx(other.item(), rel=1e-6) for ours, other in pairs)


def test_tversky_fears_what_is_missed_more_than_what_is_too_much() -> None:
    truth = torch.zeros(1, 1, 8, 8)
    truth[..., 2:6, 2:6] = 1
    small, large = torch.zeros_like(truth), torch.zeros_like(truth)
    small[..., 2:6, 3:6], large[..., 2:6, 1:6] = 1, 1  # four pixels missed, four too many
    assert tversky_loss(sure(small), truth).item() == pytest.approx(2.8 / 15.3, rel=1e-5)
    assert tversky_loss(sure(large), truth).item() == pytest.approx(1.2 / 17.7, rel=1e-5)


@pytest.mark.parametrize("truth", ALL)
def test_mcc_is_the_correlation_of_every_mask_and_two_pixels_that_are_right(truth: Tensor) -> None:
    for mask in ALL:
        both = [np.append(cells.flatten().numpy(), [1, 0]) for cells in (mask, truth)]
        assert mcc_loss(sure(mask), truth).item() == pytest.approx(1 - np.corrcoef(*both)[0, 1], abs=1e-6)


def test_mcc_of_a_prediction_that_says_nothing_is_about_one() -> None:
    truth = draw(0, side=100)[1]
    assert mcc_loss(torch.zeros(truth.shape), truth).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(("probability", "times"), [(0.9, 100), (0.968, 1000)])
def test_a_pixel_that_is_surely_right_counts_as_little_as_the_paper_says(probability: float, times: float) -> None:
    logits = torch.full((1, 1, 2, 2), probability).logit()
    truth = torch.ones(1, 1, 2, 2)
    assert bce_loss(logits, truth) / focal_loss(logits, truth) == pytest.approx(times, rel=0.03)


def test_focal_without_focus_is_cross_entropy_and_alpha_weighs_lesion() -> None:
    logits, truth = draw(0)
    assert focal_loss(logits, truth, gamma=0).item() == pytest.approx(bce_loss(logits, truth).item(), rel=1e-6)
    unsure = torch.zeros(1, 1, 2, 2)
    assert focal_loss(unsure, torch.ones(1, 1, 2, 2), gamma=0, alpha=0.25).item() == pytest.approx(0.25 * log(2))
    assert focal_loss(unsure, torch.zeros(1, 1, 2, 2), gamma=0, alpha=0.25).item() == pytest.approx(0.75 * log(2))
