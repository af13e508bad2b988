"""The boundary loss: what is wrong costs by how far it lies from the lesion's boundary.

Kervadec et al. 2019, Boundary loss for highly unbalanced segmentation, https://arxiv.org/abs/1812.07032.
"""

from math import hypot, inf

import cv2
import numpy as np
import torch
from torch import Tensor

from finetune.losses.float32 import loss_in_float32


@loss_in_float32
def boundary_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """The mean over pixels of distance to the true boundary times what is missing of the right probability.

    That is equation 4 of the paper, with the term in it that the network cannot change (and so with the gradient of
    signed distance times probability): `|d| * |p - y|` is `d * p` less `d * y`, as d is negative within the lesion.
    So it is 0 for the truth itself, and the distance is a share of the picture's diagonal and not pixels.

    The paper adds it to a loss of regions, such as `dice+boundary`, for alone it may call all pixels skin: those far
    from the boundary decide, and the few near it hardly count.

    Args:
        logits: (B, 1, H, W), any float type.
        truth: (B, 1, H, W), 0 or 1.

    Returns:
        A scalar in [0, 1]. A mask without boundary, empty or full, has it a diagonal away from every pixel.
    """
    errors = torch.where(truth > 0, -logits, logits).sigmoid()
    height, width = truth.shape[2:]
    lesion = truth[:, 0] > 0
    pixels = distances_to_boundary_by_cv2(lesion) if lesion.device.type == "cpu" else distances_to_boundary(lesion)
    return (errors[:, 0] * (pixels / hypot(height, width)).clamp(max=1)).mean()


@torch.no_grad()
def distances_to_boundary(lesion: Tensor) -> Tensor:
    """How far each pixel is from the boundary, which runs between pixels, in pixels; exact, and on the device.

    First the nearest pixel of the other kind in the same column, then over the columns of all distances: the square of
    a distance is the sum of the squares of both.

    Args:
        lesion: (B, H, W), bool.

    Returns:
        (B, H, W), at least 0.5: the distance to the nearest pixel of the other kind, less half a pixel; infinite where
        there is none.
    """
    other_kind = torch.stack([~lesion, lesion])  # (2, B, H, W): what is looked for, by lesion and by skin
    squares = torch.minimum(along_columns(other_kind), along_columns(other_kind.flip(2)).flip(2)).square()
    nearest = squares.clone()
    for step in range(1, lesion.shape[-1]):
        torch.minimum(nearest[..., step:], squares[..., :-step] + step**2, out=nearest[..., step:])
        torch.minimum(nearest[..., :-step], squares[..., step:] + step**2, out=nearest[..., :-step])
    return torch.where(lesion, nearest[0], nearest[1]).sqrt() - 0.5


def along_columns(targets: Tensor) -> Tensor:
    """Rows since the last one in which a column of (..., H, W) was True; infinite before the first."""
    rows = torch.arange(targets.shape[-2], dtype=torch.float32, device=targets.device)[:, None]
    return rows - torch.where(targets, rows, -inf).cummax(dim=-2).values


@torch.no_grad()
def distances_to_boundary_by_cv2(lesion: Tensor) -> Tensor:
    """The distances of `distances_to_boundary`, on a CPU ten times faster."""
    distances = np.empty(lesion.shape, np.float32)
    for index, mask in enumerate(lesion.numpy().astype(np.uint8)):
        if mask.min() == mask.max():
            distances[index] = np.inf
        else:
            inside, outside = (
                cv2.distanceTransform(kind, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for kind in (mask, 1 - mask)
            )
            distances[index] = inside + outside - 0.5
    return torch.from_numpy(distances)
