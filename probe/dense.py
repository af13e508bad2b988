"""The dense probe: a ridge regression from feature maps to masks, the fewest parameters that can segment.

Its rank of encoders says more of fine-tuning than neighbours do, since it asks the question that a decoder asks: does
a position's feature vector say whether the position is lesion? It has a closed form and no learning rate, so nothing
but the features differs between two encoders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl import scores
from dermssl.cache import PixelCache
from dermssl.manifest import Manifest
from dermssl.masks import read_mask
from probe.features import FrozenEncoder
from probe.intervals import Interval, class_mean

STRIDE = (
    4  # of the grid, pixels of the input; at 224 px a perfect map keeps an IoU of 0.98 on it (200 masks of ISIC 2018)
)
FOLDS = 5
PENALTIES = tuple(10.0**power for power in range(-6, 3))


@dataclass(frozen=True)
class Masked:
    """The pictures with masks that the probe is fitted on, in the order that smaller fits take, and scored on."""

    manifest: Manifest
    train: tuple[int, ...]  # rows of the manifest
    val: tuple[int, ...]

    @property
    def without(self) -> int:
        """How many pictures have no mask, or one that is broken."""
        return len(self.manifest) - len(self.train) - len(self.val)

    def mask(self, row: int) -> Path:
        """The file of a row's mask."""
        return self.manifest.root / str(self.manifest.table["mask_path"].iloc[row])

    def lesions(self, rows: Sequence[int]) -> list[str]:
        """The lesion of each of these rows."""
        return self.manifest.table["lesion_id"].iloc[list(rows)].tolist()

    @property
    def refusal(self) -> str:
        """Why nothing can be fitted; nothing where it can."""
        if not self.train and not self.val:
            return "no masks"
        if len(set(self.lesions(self.train))) < 2 or not self.val:
            return (
                f"{len(self.train)} masks to fit on and {len(self.val)} to score; two lesions and one mask are needed"
            )
        return ""


def masked(manifest: Manifest, train: Sequence[str], val: Sequence[str]) -> Masked:
    """The images of either side whose mask is there and whole."""
    table = manifest.table
    whole = (table["mask_path"] != "") & (table["problem"] == "")
    row_of = {image: row for row, image in enumerate(table["image_id"]) if whole.iloc[row]}
    kept = [tuple(row_of[image] for image in side if image in row_of) for side in (train, val)]
    return Masked(manifest, kept[0], kept[1])


def probe_dense(eye: FrozenEncoder, images: PixelCache, pictures: Masked, sizes: Sequence[int]) -> pd.DataFrame:
    """Fits on the first so many training pictures, for each of `sizes`, and scores every held-out picture.

    Args:
        eye: The encoder.
        images: All pictures, in the manifest's order.
        pictures: Those with masks.
        sizes: Numbers of training pictures, none above what there is.

    Returns:
        A row a held-out picture and size: image_id, lesion_id, n_train, and `dermssl.scores.row` at native size.
    """
    heads = fit(eye, images, pictures, sizes)
    columns = torch.stack([heads[size] for size in sizes], dim=1)  # (C + 1, sizes)
    table = pictures.manifest.table
    rows = []
    for row, stages in zip(pictures.val, eye.stages(images, pictures.val), strict=True):
        truth = read_mask(pictures.mask(row))
        maps = predict(stages, eye.image_size // STRIDE, columns, truth.shape)  # (sizes, H, W)
        names = {"image_id": table["image_id"].iloc[row], "lesion_id": table["lesion_id"].iloc[row]}
        for size, lesion in zip(sizes, (maps > 0.5).cpu().numpy(), strict=True):
            rows.append(names | {"n_train": size} | scores.row(scores.count(truth, lesion)))
    return pd.DataFrame(rows)


def summaries(table: pd.DataFrame, seed: int) -> dict[int, Interval]:
    """Mean Jaccard over held-out pictures, by the number of pictures that the probe was fitted on."""
    return {
        int(str(size)): class_mean(part["jaccard"], np.zeros(len(part)), part["lesion_id"], seed)
        for size, part in table.groupby("n_train")
    }


def fit(eye: FrozenEncoder, images: PixelCache, pictures: Masked, sizes: Sequence[int]) -> Mapping[int, Tensor]:
    """Weights and offset, (C + 1,), of the ridge on the first so many pictures, for each of `sizes`.

    Picture by picture only sums are kept, one matrix a fold, so memory does not grow with the pictures; a smaller fit
    is taken from the sums on the way to the larger one.
    """
    rows = pictures.train[: max(sizes)]
    folds = {lesion: place % FOLDS for place, lesion in enumerate(dict.fromkeys(pictures.lesions(rows)))}
    moments: Tensor | None = None  # (FOLDS, C + 2, C + 2)
    heads = {}
    side = eye.image_size // STRIDE
    for seen, (row, stages) in enumerate(zip(rows, eye.stages(images, rows), strict=True), start=1):
        added = moment(grid(stages, side), coverage(pictures.mask(row), side))
        moments = added.new_zeros(FOLDS, *added.shape) if moments is None else moments
        moments[folds[pictures.lesions([row])[0]]] += added
        if seen in sizes:
            heads[seen] = ridge_by_folds(moments)
    return heads


def grid(stages: Sequence[Tensor], side: int) -> Tensor:
    """All stages at `side` x `side` positions, (side * side, C): finer ones averaged, coarser ones interpolated."""
    even = [
        F.adaptive_avg_pool2d(stage, side)
        if stage.shape[-1] > side
        else F.interpolate(stage, size=(side, side), mode="bilinear", align_corners=False)
        for stage in stages
    ]
    return torch.cat(even, dim=1)[0].flatten(1).T.double()


def coverage(mask: Path, side: int) -> Tensor:
    """The share of each grid cell that is lesion, in [0, 1], (side * side,)."""
    whole = read_mask(mask).astype(np.float32)
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


def predict(stages: Sequence[Tensor], side: int, columns: Tensor, size: tuple[int, ...]) -> Tensor:
    """The regression's maps at a picture's native size, (heads, H, W); above 0.5 is lesion.

    Args:
        stages: The picture's feature maps.
        side: Of the grid.
        columns: Weights and offset of each head, (C + 1, heads).
        size: Height and width of the mask, pixels.
    """
    coarse = grid(stages, side) @ columns[:-1] + columns[-1]  # (side * side, heads)
    maps = coarse.T.reshape(1, -1, side, side)
    return F.interpolate(maps, size=(size[0], size[1]), mode="bilinear", align_corners=False)[0]


def clamped(sizes: Sequence[int], there: int) -> tuple[int, ...]:
    """These numbers of pictures, ascending, each once, none above what is there."""
    return tuple(sorted({min(size, there) for size in sizes}))
