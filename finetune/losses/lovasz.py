"""The Lovasz extension of the Jaccard loss: the score itself at masks, and convex between them.

Berman, Rannen Triki and Blaschko 2018, The Lovasz-Softmax loss, https://arxiv.org/abs/1705.08790.
"""

import torch
from torch import Tensor

from dermssl.parallel import gathered
from finetune.losses.float32 import loss_in_float32
from finetune.losses.region import flat_pixels
from finetune.options.loss import Over


@loss_in_float32
def lovasz_loss(logits: Tensor, truth: Tensor, over: Over = "image") -> Tensor:
    """The Lovasz-softmax of two classes, of which lesion counts (sections 2.2 and 3.2); nothing is smoothed.

    Where all probabilities are 0 or 1 it is one minus the Jaccard; where a mask is empty, the largest probability.

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.
        over: What is one picture, each image (the paper's choice where images are scored one by one) or the batch.

    Returns:
        A scalar in [0, 1].
    """
    if over == "batch":
        logits, truth = gathered(logits), gathered(truth)  # the order of all processes' errors is no sum of theirs
    logits, truth = flat_pixels(logits, over), flat_pixels(truth, over)
    errors = torch.where(truth > 0, -logits, logits).sigmoid()  # |truth - probability|, without its rounding
    errors, order = errors.sort(dim=1, descending=True)
    return (errors * growth(truth.gather(1, order))).sum(dim=1).mean()


@torch.no_grad()
def growth(truth: Tensor) -> Tensor:
    """By how much the Jaccard loss grows with each pixel that is wrong as well, in this order (algorithm 1).

    Its closed form, as the difference of two neighbours near 1 keeps few digits at 512 px.

    Args:
        truth: (G, N), 0 or 1, the worst pixel first.

    Returns:
        (G, N), at least 0; the sum of a row is 1.
    """
    lesion = truth.sum(dim=1, keepdim=True)
    intersection = lesion - truth.cumsum(dim=1)  # lesion that is right still
    union = lesion + (1 - truth).cumsum(dim=1)
    steps = torch.where(truth > 0, 1 / union, intersection / (union * (union - 1).clamp(min=1)))
    steps[:, :1] = torch.where(lesion > 0, steps[:, :1], 1)  # no lesion: the first wrong pixel is as bad as all
    return steps
