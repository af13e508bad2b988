"""The loss of fine-tuning, in float32 whatever the network computes in.

segmentation-models-pytorch's Dice pools the batch, has no gradient where all masks are empty, and is NaN in half
precision from 256 px on.
"""

import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1.0  # pixels; what an empty prediction of an empty mask scores by


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Dice of each image, averaged over the batch (Milletari et al. 2016, per image).

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.

    Returns:
        A scalar in [0, 1); near 0 for an empty prediction of an empty mask, with a gradient towards it.
    """
    probabilities, truth = logits.float().sigmoid().flatten(1), truth.float().flatten(1)  # (B, H * W)
    overlap = (probabilities * truth).sum(dim=1)
    total = probabilities.sum(dim=1) + truth.sum(dim=1)
    return (1 - (2 * overlap + SMOOTH) / (total + SMOOTH)).mean()


def dice_and_bce(logits: Tensor, truth: Tensor) -> Tensor:
    """The sum of `dice_loss` and the mean binary cross entropy over pixels (Isensee et al. 2021, nnU-Net)."""
    return dice_loss(logits, truth) + F.binary_cross_entropy_with_logits(logits.float(), truth.float())
