"""Classes of images: where they are read, and which of them a probe can be asked about."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.data.manifest import Manifest
from dermssl.data.metadata import refuse_stranger
from dermssl.data.tables import Join, column_name, is_placeholder, joined, needed_column, read_table
from dermssl.errors import UserError
from dermssl.log import say
from dermssl.splits.drawn import Split


@dataclass(frozen=True)
class Side:
    """One side of the split: the rows of the features that a class is known for."""

    rows: NDArray[np.int64]  # (n,), into the features
    classes: NDArray[np.int64]  # (n,), into the names of the classes
    lesions: NDArray[np.str_]  # (n,)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class ClassSplit:
    """The images that the probes of classes are fitted on and scored on."""

    names: tuple[str, ...]
    train: Side
    val: Side
    left_out: Mapping[str, str]
    """Classes that cannot be probed, with the reason."""
    unknown: int
    """Images of either side without a class."""

    @property
    def refusal(self) -> str:
        """Why no class can be probed; nothing where it can."""
        if len(self.names) >= 2:
            return ""
        if not self.names and not self.left_out:
            return "no image has a class; give --labels CSV:COLUMN"
        why = "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
        return f"fewer than two classes to tell apart{f' ({why})' if why else ''}"


def labels_of(manifest: Manifest, option: str | None) -> dict[str, str]:
    """The class of every image that has one; says of a file which of its rows are of images here.

    Args:
        manifest: The whole data set.
        option: `CSV:COLUMN` of --labels, a table with a column of image ids; None takes the classes of the manifest.

    Raises:
        UserError: If the file or its column is missing, no row is of an image, or two say different things of one.
    """
    if option is None:
        own = dict(zip(manifest.table["image_id"], manifest.table["label"], strict=True))
        return {image: label for image, label in own.items() if label}
    path, colon, column = option.rpartition(":")
    if not colon or not path or not column:
        raise UserError(
            f"--labels {option}: expected a file and one of its columns, FILE:COLUMN, such as metadata.csv:dx"
        )
    join = joined_classes(Path(path), column, manifest)
    say(f"classes: {join.sentence}")
    words = join.table.frame[column_name(column)]
    return one_class_each(join, words)


def joined_classes(path: Path, column: str, manifest: Manifest) -> Join:
    """The rows of a table of classes, each with its image."""
    if not path.is_file():
        raise UserError(f"--labels {path}: no such file; give a CSV with columns image_id and {column}")
    table = read_table(path, "--labels")
    needed_column(table, column, "--labels")
    if not table.column("image_id"):
        needed_column(table, "image_id", "--labels")
    join = joined(table, manifest.table["image_id"].tolist())
    if not (join.image_of != "").any():
        refuse_stranger(join, manifest.table["image_id"].tolist())
    return join


def one_class_each(join: Join, words: "pd.Series[str]") -> dict[str, str]:
    """Image -> class, where the rows that are its own say one."""
    labels: dict[str, str] = {}
    for image, word in zip(join.image_of, words, strict=True):
        if image and not is_placeholder(word) and labels.setdefault(image, word) != word:
            raise UserError(
                f"--labels {join.table.path}: says that image {image} is {labels[image]}, and in another row {word}; "
                "keep one row"
            )
    return labels


def class_split(manifest: Manifest, split: Split, labels: Mapping[str, str]) -> ClassSplit:
    """The images of either side whose class can be probed.

    A class needs two lesions to train on, or its own images could not be held out from one another, and an image to be
    scored on. The others are left out on both sides, with the reason, so that a rare diagnosis does not stop the rest.
    """
    lesion_of = dict(zip(manifest.table["image_id"], manifest.table["lesion_id"], strict=True))
    left_out = {}
    for name in sorted(set(labels.values())):
        lesions = {lesion_of[image] for image in split.train if labels.get(image) == name}
        scored = sum(labels.get(image) == name for image in split.val)
        if len(lesions) < 2 or not scored:
            left_out[name] = f"{len(lesions)} lesions to train on, of 2 needed; {scored} images to score, of 1 needed"
    names = tuple(sorted(set(labels.values()) - set(left_out)))
    row_of = {image: row for row, image in enumerate(manifest.table["image_id"])}

    def side(images: tuple[str, ...]) -> Side:
        classed = [image for image in images if labels.get(image) in names]
        return Side(
            np.array([row_of[image] for image in classed], np.int64),
            np.array([names.index(labels[image]) for image in classed], np.int64),
            np.array([lesion_of[image] for image in classed], np.str_),
        )

    unknown = sum(image not in labels for image in split.train + split.val)
    return ClassSplit(names, side(split.train), side(split.val), left_out, unknown)
