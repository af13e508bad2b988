"""Ridge regression from feature maps to masks: its sums picture by picture, its closed form, its maps."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.data.masks import Lesion

PENALTIES = tuple(10.0**power for power in range(-6, 3))


def at_grid(stages: Sequence[Tensor], side: int) -> Tensor:
    """All stages at `side` x `side` positions, (side * side, C): finer ones averaged, coarser ones interpolated."""
    even = [
        F.adaptive_avg_pool2d(stage, side)
        if stage.shape[-1] > side
        else F.interpolate(stage, size=(side, side), mode="bilinear", align_corners=False)
        for stage in stages
    ]
    return torch.cat(even, dim=1)[0].flatten(1).T.double()


def coverage(mask: Lesion, side: int) -> Tensor:
    """The share of each grid cell that is lesion, in [0, 1], (side * side,)."""
    whole = mask.astype(np.float32)
    return torch.from_numpy(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA)).double().flatten()


def moment(features: Tensor, target: Tensor) -> Tensor:
    """Z'Z of Z = [features, 1, target], (C + 2, C + 2): all that least squares needs to know of these positions.

    In float64, so that means can be subtracted afterwards.
    """
    z = torch.cat([features, torch.ones_like(features[:, :1]), target.to(features.device)[:, None]], dim=1)
    return z.T @ z


def ridge_by_folds(moments: Tensor) -> Tensor:
    """The ridge over all folds, (C + 1,), with the penalty that predicts each fold best from the others.

    The squared error of weights w and offset b on a fold is v'Mv with v = [w, b, -1] and the fold's matrix M, so the
    choice needs no second look at any picture. A fold without pictures adds 0 to the error of every penalty.

    Args:
        moments: Of each fold, (folds, C + 2, C + 2); pictures in at least two folds.
    """
    whole = moments.sum(dim=0)
    errors = torch.zeros(len(PENALTIES), dtype=whole.dtype, device=whole.device)
    for fold in moments:
        solutions = torch.stack([ridge(whole - fold, penalty) for penalty in PENALTIES])  # (penalties, C + 1)
        v = torch.cat([solutions, -torch.ones_like(solutions[:, :1])], dim=1)
        errors += ((v @ fold) * v).sum(dim=1)
    return ridge(whole, PENALTIES[int(errors.argmin())])


def ridge(moments: Tensor, penalty: float) -> Tensor:
    """Weights and offset, (C + 1,), of least mean squared error + penalty * |w of standardised features|^2.

    The mean and not the sum of squares, so that a penalty means the same for ten pictures as for two hundred. Features
    that never change get weight 0.

    Args:
        moments: `moment` of the positions, (C + 2, C + 2).
        penalty: Above 0, in units of the features' variance, which is 1.
    """
    count = moments[-2, -2]
    means = moments[-2] / count  # of features, 1 and target
    covariance = moments / count - torch.outer(means, means)
    deviations = covariance.diagonal()[:-2].clamp(min=0).sqrt()
    constant = deviations <= 1e-6 * means[:-2].abs()  # what is left of a constant after rounding; 0 included
    scale = torch.where(constant, torch.inf, deviations)
    correlation = covariance[:-2, :-2] / torch.outer(scale, scale)
    correlation.diagonal().add_(penalty)
    factor = torch.linalg.cholesky(correlation)
    weights = torch.cholesky_solve((covariance[:-2, -1] / scale)[:, None], factor)[:, 0] / scale
    return torch.cat([weights, (means[-1] - means[:-2] @ weights)[None]])


def predicted_maps(stages: Sequence[Tensor], side: int, columns: Tensor, size: tuple[int, ...]) -> Tensor:
    """The regression's maps at a picture's native size, (heads, H, W); above 0.5 is lesion.

    Args:
        stages: The picture's feature maps.
        side: Of the grid.
        columns: Weights and offset of each head, (C + 1, heads).
        size: Height and width of the mask, pixels.
    """
    coarse = at_grid(stages, side) @ columns[:-1] + columns[-1]  # (side * side, heads)
    maps = coarse.T.reshape(1, -1, side, side)
    return F.interpolate(maps, size=(size[0], size[1]), mode="bilinear", align_corners=False)[0]
