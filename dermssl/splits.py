"""Splits: which images train and which are held out, by lesion, with nested label fractions."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from dermssl.errors import UserError
from dermssl.files import short_hash, write_json
from dermssl.manifest import Manifest


@dataclass(frozen=True)
class Split:
    """Image ids that train and that are held out; no lesion is on both sides.

    `train` is in the order in which label fractions take it: 10 % is the head of 50 %.
    """

    seed: int
    grouped_by: str
    train: tuple[str, ...]
    val: tuple[str, ...]

    @property
    def hash(self) -> str:
        """Ten hex digits of the ids on either side."""
        return short_hash(asdict(self))

    def labelled(self, fraction: float) -> tuple[str, ...]:
        """The first `fraction` of the training images, at least one; nested, so 1 % lies inside 10 %."""
        return self.train[: max(1, math.ceil(fraction * len(self.train) - 1e-9))]

    def write(self, path: Path, fractions: Sequence[float] = (1.0,)) -> None:
        """Writes the split file."""
        counts = {str(fraction): len(self.labelled(fraction)) for fraction in fractions}
        write_json(path, asdict(self) | {"hash": self.hash, "label_fractions": counts})


def make_split(manifest: Manifest, val_fraction: float, seed: int) -> Split:
    """Holds out `val_fraction` of the lesions, and shuffles the rest into the order that label fractions take.

    Args:
        manifest: The data set; its lesion ids group the images (an image without one is its own lesion).
        val_fraction: Share of the lesions to hold out, in (0, 1); at least one lesion is, and one is not.
        seed: Of the shuffle; nothing else changes the split.

    Raises:
        UserError: If there are fewer than two lesions.
    """
    lesions = manifest.table.groupby("lesion_id", sort=True)["image_id"].apply(list)
    if len(lesions) < 2:
        raise UserError(f"{manifest.root}: {len(lesions)} lesion cannot be split into training and held-out images")
    order = np.random.default_rng([seed, 0x5711]).permutation(len(lesions))
    held = min(max(1, round(val_fraction * len(lesions))), len(lesions) - 1)
    groups = [lesions.iloc[i] for i in order]
    val = tuple(image for group in groups[:held] for image in group)
    train = tuple(image for group in groups[held:] for image in group)
    grouped_by = "lesion" if (manifest.table["lesion_id"] != manifest.table["image_id"]).any() else "image"
    return Split(seed, grouped_by, train, val)


def limited(split: Split, limit: int | None) -> Split:
    """The heads of both sides, in their proportion and at least one of each: what is held out stays held out."""
    count = len(split.train) + len(split.val)
    if limit is None or limit >= count:
        return split
    held = min(max(1, round(limit * len(split.val) / count)), limit - 1)
    return replace(split, train=split.train[: limit - held], val=split.val[:held])
