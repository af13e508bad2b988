"""Losses that judge each pixel by itself; they are means over pixels, whatever picture a pixel is of."""

import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.losses.float32 import loss_in_float32


@loss_in_float32
def bce_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Binary cross entropy (B, 1, H, W), (B, 1, H, W) -> (), nats; log 2 for logits of 0."""
    return F.binary_cross_entropy_with_logits(logits, truth)


@loss_in_float32
def focal_loss(logits: Tensor, truth: Tensor, gamma: float = 2.0, alpha: float | None = None) -> Tensor:
    """Cross entropy in which a pixel counts less the surer it is right.

    Lin et al. 2017, Focal loss for dense object detection, eq. 5, https://arxiv.org/abs/1708.02002. The paper divides
    by the number of objects' anchors; here it is a mean over pixels, as a picture without lesion has none.

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.
        gamma: Power of one minus the probability of what is true; 0 is `bce_loss`.
        alpha: Weight of lesion, where skin weighs 1 - alpha; None weighs both 1.

    Returns:
        A scalar in nats, at least 0.
    """
    margin = torch.where(truth > 0, logits, -logits)  # above 0 where the pixel is right
    # As a power of e: a power of 1 - sigmoid has no gradient where that is 0 and gamma is below 1.
    surprise = -(gamma * F.logsigmoid(-margin)).exp() * F.logsigmoid(margin)
    if alpha is not None:
        surprise = surprise * torch.where(truth > 0, alpha, 1 - alpha)
    return surprise.mean()
