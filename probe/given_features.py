"""Features that were made elsewhere, by `python -m probe.embed` or an encoder of one's own, in the place of weights."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from torch import nn

from dermssl.data.manifest import Manifest
from dermssl.data.tables import ImageNames
from dermssl.errors import UserError, first_ten
from dermssl.features.frozen import Features
from dermssl.files import sha256_of
from dermssl.splits.drawn import Split
from dermssl.weights.encoder import IMAGENET_MEAN, IMAGENET_STD, Start
from dermssl.weights.encoder_file import EncoderCard
from dermssl.wording import counted

ENDINGS = (".parquet", ".npz", ".csv")
VECTORS = ("features", "vectors", "embeddings", "embedding")  # what a column, or an array, of vectors is called
LAYOUT = (
    "a file of features has a row a picture: image_id, and vectors in a column `features` (parquet), an array "
    "`features` (npz), or columns of numbers (csv)"
)


def is_feature_file(init: str) -> bool:
    """Whether an init names a file of features, and no weights."""
    return init.lower().endswith(ENDINGS)


def start_of_features(path: Path) -> Start:
    """What stands for an encoder of which nothing but its features is known.

    Raises:
        UserError: If the file is not there.
    """
    if not path.is_file():
        raise UserError(f"--init {path}: no such file; {LAYOUT}")
    card = EncoderCard(encoder="", method=path.stem, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return Start(nn.Identity(), card, sha256_of(path))


@dataclass(frozen=True)
class GivenFeatures:
    """Vectors of some images of a data set."""

    path: Path
    row_of: Mapping[str, int]
    """The image's row among the vectors."""
    vectors: Features
    strangers: int
    """Rows of the file that are no image here."""

    def of(self, manifest: Manifest) -> Features:
        """The vectors of these images, all of which have one, (N, C)."""
        return self.vectors[[self.row_of[image] for image in manifest.table["image_id"]]]

    def sentence(self, manifest: Manifest) -> str:
        """What is known, what is left out, and which probes that leaves."""
        without = len(manifest) - len(self.row_of)
        left_out = f"; {counted(without, 'image')} without a vector left out of every probe" * (without > 0)
        unused = f"; {counted(self.strangers, 'row')} of other images not used" * (self.strangers > 0)
        return (
            f"features: {self.vectors.shape[1]} numbers each for {counted(len(self.row_of), 'image')} from "
            f"{self.path}{left_out}{unused}; masks, two views and stages take an encoder, and are left out for these"
        )


def covered_split(split: Split, given: Mapping[str, GivenFeatures]) -> Split:
    """The split of the images that every file of features has a vector of.

    Raises:
        UserError: If that leaves a side without images.
    """
    covered = split.of_images(*(features.row_of for features in given.values()))
    empty = [side for side, images in (("trained on", covered.train), ("held out", covered.val)) if not images]
    if empty:
        raise UserError(
            f"--init {' '.join(given)}: no vector of any image that is {empty[0]}; give features of all of --data"
        )
    return covered


def given_features(path: Path, manifest: Manifest) -> GivenFeatures:
    """The vectors that a file has of the images of a data set.

    Raises:
        UserError: If it cannot be read as features, has two vectors of one image, or none of any image here.
    """
    words, vectors = read_features(path)
    names = ImageNames(manifest.table["image_id"])
    matches = [names.matching(word) for word in words]
    places = [(str(min(match)), row) for row, match in enumerate(matches) if len(match) == 1]
    twice = [image for image, count in Counter(image for image, _ in places).items() if count > 1]
    if twice:
        raise UserError(f"--init {path}: several rows of {first_ten(sorted(twice))}; keep one of each")
    if not places:
        raise UserError(
            f"--init {path}: none of its {counted(len(words), 'row')} ({first_ten(words)}) is an image of "
            f"{manifest.place}; give --data the folder that they are of"
        )
    return GivenFeatures(path, dict(places), vectors, len(words) - len(places))


def read_features(path: Path) -> tuple[list[str], Features]:
    """The ids and vectors of a file, (N,) and (N, C) of finite numbers.

    Raises:
        UserError: If they are not there, or not numbers.
    """
    readers = {".parquet": read_parquet_features, ".npz": read_npz_features, ".csv": read_csv_features}
    try:
        ids, vectors = readers[path.suffix.lower()](path)
    except (OSError, ValueError, KeyError, TypeError) as error:  # as their readers put it, all of them
        raise UserError(f"--init {path}: cannot be read as features ({library_words(error)}); {LAYOUT}") from error
    if vectors.ndim != 2 or not vectors.shape[1] or len(ids) != len(vectors) or not len(ids):
        raise UserError(f"--init {path}: {len(ids)} ids and vectors of shape {vectors.shape}; {LAYOUT}")
    if not np.isfinite(vectors).all():
        broken = [ids[row] for row in np.flatnonzero(~np.isfinite(vectors).all(axis=1))]
        raise UserError(
            f"--init {path}: no finite numbers for {first_ten(broken)}; make their features anew, or leave them out"
        )
    return ids, vectors


def library_words(error: Exception) -> str:
    """What a library says, without its lines."""
    return " ".join(str(error).split())[:120]


def read_parquet_features(path: Path) -> tuple[list[str], Features]:
    """A column of lists, or a column a number."""
    names = pq.read_schema(path).names
    named = next((name for name in VECTORS if name in names), None)
    table = pd.read_parquet(path, columns=["image_id", named] if named else None)
    return with_ids(table) if named is None else (words_in(table["image_id"]), stacked(table[named]))


def read_csv_features(path: Path) -> tuple[list[str], Features]:
    """A column a number."""
    return with_ids(pd.read_csv(path, dtype={"image_id": str}))


def read_npz_features(path: Path) -> tuple[list[str], Features]:
    """An array of ids and one of vectors."""
    with np.load(path, allow_pickle=False) as arrays:
        named = next((name for name in VECTORS if name in arrays), None)
        if named is None:
            raise KeyError(f"arrays {json.dumps(list(arrays))}")
        return words_in(pd.Series(arrays["image_id"])), np.asarray(arrays[named], np.float32)


def with_ids(table: pd.DataFrame) -> tuple[list[str], Features]:
    """Ids and the columns of numbers; `f0`, `f1` and so on alone where there are such, for others may stand beside."""
    own = [name for name in table if str(name).startswith("f") and str(name)[1:].isdecimal()]
    numbers = table[own] if own else table.drop(columns="image_id").select_dtypes("number")
    return words_in(table["image_id"]), numbers.to_numpy(np.float32)


def words_in(column: "pd.Series[str]") -> list[str]:
    """Ids as text."""
    return [str(word) for word in column]


def stacked(column: Iterable[Sequence[float]]) -> Features:
    """Vectors of one length, a row each."""
    return np.stack([np.asarray(vector, np.float32) for vector in column])
