"""The dense probe: a ridge regression from feature maps to masks, the fewest parameters that can segment.

Its rank of encoders says more of fine-tuning than neighbours do, since it asks the question that a decoder asks: does
a position's feature vector say whether the position is lesion? It has a closed form and no learning rate, so nothing
but the features differs between two encoders.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from dermssl.data.manifest import Manifest
from dermssl.data.masks import Lesion
from dermssl.data.pixel_cache import PixelCache
from dermssl.features.frozen import FrozenEncoder
from dermssl.features.ridge import at_grid, coverage, moment, predicted_maps, ridge_by_folds
from dermssl.scores import counts

STRIDE = (
    4  # of the grid, pixels of the input; at 224 px a perfect map keeps an IoU of 0.98 on it (200 masks of ISIC 2018)
)
FOLDS = 5


@dataclass(frozen=True)
class MaskedPictures:
    """The pictures with masks that the probe is fitted on, in the order that smaller fits take, and scored on."""

    manifest: Manifest
    train: tuple[int, ...]  # rows of the manifest
    val: tuple[int, ...]

    @property
    def without(self) -> int:
        """How many pictures have no mask, or one that is broken."""
        return len(self.manifest) - len(self.train) - len(self.val)

    def mask(self, row: int) -> Lesion:
        """The mask of a row, (H, W)."""
        return self.manifest.lesion(row)

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


def masked_pictures(manifest: Manifest, train: Sequence[str], val: Sequence[str]) -> MaskedPictures:
    """The images of either side whose mask is there and whole."""
    table = manifest.table
    whole = (table["mask_path"] != "") & (table["problem"] == "")
    row_of = {image: row for row, image in enumerate(table["image_id"]) if whole.iloc[row]}
    sides = [tuple(row_of[image] for image in side if image in row_of) for side in (train, val)]
    return MaskedPictures(manifest, sides[0], sides[1])


def probe_dense(
    encoder: FrozenEncoder, images: PixelCache, pictures: MaskedPictures, sizes: Sequence[int]
) -> pd.DataFrame:
    """Fits on the first so many training pictures, for each of `sizes`, and scores every held-out picture.

    Args:
        encoder: The frozen encoder.
        images: All pictures, in the manifest's order.
        pictures: Those with masks.
        sizes: Numbers of training pictures, none above what there is.

    Returns:
        A row a held-out picture and size: image_id, lesion_id, n_train, and `scores_of_counts` at native size.
    """
    heads = fit_heads(encoder, images, pictures, sizes)
    columns = torch.stack([heads[size] for size in sizes], dim=1)  # (C + 1, sizes)
    table = pictures.manifest.table
    rows = []
    for row, stages in zip(pictures.val, encoder.stages(images, pictures.val), strict=True):
        truth = pictures.mask(row)
        maps = predicted_maps(stages, encoder.image_size // STRIDE, columns, truth.shape)  # (sizes, H, W)
        names = {"image_id": table["image_id"].iloc[row], "lesion_id": table["lesion_id"].iloc[row]}
        for size, lesion in zip(sizes, (maps > 0.5).cpu().numpy(), strict=True):
            rows.append(names | {"n_train": size} | counts.scores_of_counts(counts.count(truth, lesion)))
    return pd.DataFrame(rows)


def fit_heads(
    encoder: FrozenEncoder, images: PixelCache, pictures: MaskedPictures, sizes: Sequence[int]
) -> Mapping[int, Tensor]:
    """Weights and offset, (C + 1,), of the ridge on the first so many pictures, for each of `sizes`.

    Picture by picture only sums are kept, one matrix a fold, so memory does not grow with the pictures; a smaller fit
    is taken from the sums on the way to the larger one.
    """
    rows = pictures.train[: max(sizes)]
    folds = {lesion: place % FOLDS for place, lesion in enumerate(dict.fromkeys(pictures.lesions(rows)))}
    moments: Tensor | None = None  # (FOLDS, C + 2, C + 2)
    heads = {}
    side = encoder.image_size // STRIDE
    for count, (row, stages) in enumerate(zip(rows, encoder.stages(images, rows), strict=True), start=1):
        added = moment(at_grid(stages, side), coverage(pictures.mask(row), side))
        moments = added.new_zeros(FOLDS, *added.shape) if moments is None else moments
        moments[folds[pictures.lesions([row])[0]]] += added
        if count in sizes:
            heads[count] = ridge_by_folds(moments)
    return heads
