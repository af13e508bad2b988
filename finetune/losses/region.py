"""Losses that compare the lesion as a region: Dice, Jaccard, Tversky and Matthews' correlation, on soft counts.

A soft count is a sum of probabilities where the score has a number of pixels. It is taken over each image, and the
losses of the images are averaged, or over the whole batch as if it were one picture; there large lesions decide.
segmentation-models-pytorch's Dice pools the batch, has no gradient where all masks are empty, and is NaN in half
precision from 256 px on.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dermssl.parallel import summed
from finetune.losses.float32 import loss_in_float32
from finetune.options.loss import Over

SMOOTH = 1.0  # pixels; what an empty prediction of an empty mask scores by


class SoftCounts(NamedTuple):
    """Expected pixels by truth and prediction, (B,), or (1,) of a batch as one picture."""

    tp: Tensor
    fp: Tensor
    fn: Tensor
    tn: Tensor


def soft_counts(logits: Tensor, truth: Tensor, over: Over) -> SoftCounts:
    """Counts (B, 1, H, W), (B, 1, H, W) over each image or over the batch; none is a difference of large numbers."""
    logits, truth = flat_pixels(logits, over), flat_pixels(truth, over)
    lesion, skin = logits.sigmoid(), (-logits).sigmoid()
    products = lesion * truth, lesion * (1 - truth), skin * truth, skin * (1 - truth)
    return SoftCounts(*of_pictures(products, over))


def of_pictures(pixels: Sequence[Tensor], over: Over) -> tuple[Tensor, ...]:
    """The sum of each (G, N) over a picture, (G,); where the batch is one picture, over all processes' images."""
    sums = torch.stack([each.sum(dim=1) for each in pixels])
    return (sums if over == "image" else summed(sums)).unbind()


def flat_pixels(picture: Tensor, over: Over) -> Tensor:
    """(B, 1, H, W) as (B, H * W), or as (1, B * H * W) where the batch is one picture."""
    return picture.flatten(1) if over == "image" else picture.reshape(1, -1)


@loss_in_float32
def dice_loss(logits: Tensor, truth: Tensor, over: Over = "image") -> Tensor:
    """One minus the soft Dice (Milletari et al. 2016, https://arxiv.org/abs/1606.04797).

    With plain sums below the fraction, not with the paper's squares: then it is the Dice score where all probabilities
    are 0 or 1, and `2 * J / (1 + J)` of the soft Jaccard everywhere.

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.
        over: What is counted at once, each image or the batch.

    Returns:
        A scalar in [0, 1); near 0 for an empty prediction of an empty mask, with a gradient towards it.
    """
    probabilities, truth = flat_pixels(logits.sigmoid(), over), flat_pixels(truth, over)
    overlap, found, true = of_pictures((probabilities * truth, probabilities, truth), over)
    total = found + true
    return (1 - (2 * overlap + SMOOTH) / (total + SMOOTH)).mean()


@loss_in_float32
def jaccard_loss(logits: Tensor, truth: Tensor, over: Over = "image") -> Tensor:
    """One minus the soft intersection over union (Rahman and Wang 2016); arguments and range as `dice_loss`."""
    return overlap_loss(soft_counts(logits, truth, over), fp_weight=1, fn_weight=1)


@loss_in_float32
def tversky_loss(logits: Tensor, truth: Tensor, over: Over = "image", alpha: float = 0.3, beta: float = 0.7) -> Tensor:
    """One minus the soft Tversky index (Salehi et al. 2017, eq. 3, https://arxiv.org/abs/1706.05721).

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.
        over: What is counted at once, each image or the batch.
        alpha: Weight of a pixel wrongly called lesion, above 0.
        beta: Weight of a pixel of lesion that was missed, above 0; above alpha it favours sensitivity.

    Returns:
        A scalar in [0, 1); `dice_loss` where both weights are 0.5, `jaccard_loss` where both are 1.
    """
    return overlap_loss(soft_counts(logits, truth, over), alpha, beta)


def overlap_loss(counts: SoftCounts, fp_weight: float, fn_weight: float) -> Tensor:
    """One minus the overlap's share of itself and its weighted errors; smoothed by what Dice is, seen from here."""
    overlap = counts.tp + SMOOTH / 2
    return (1 - overlap / (overlap + fp_weight * counts.fp + fn_weight * counts.fn)).mean()


@loss_in_float32
def mcc_loss(logits: Tensor, truth: Tensor, over: Over = "image") -> Tensor:
    """One minus the soft correlation of Matthews (Abhishek and Hamarneh 2021, https://arxiv.org/abs/2010.13454).

    It counts skin that was left alone as well, which overlaps do not. A pixel of lesion and a pixel of skin are added
    that are both right: an empty or full mask has no correlation of its own, and would have no gradient.

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.
        over: What is counted at once, each image or the batch.

    Returns:
        A scalar in [0, 2]: 0 where all is right, about 1 where the prediction says nothing of the truth, and about 2
        where it is its opposite.
    """
    counts = soft_counts(logits, truth, over)
    tp, tn, fp, fn = counts.tp + SMOOTH, counts.tn + SMOOTH, counts.fp, counts.fn
    return (1 - (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()).mean()
