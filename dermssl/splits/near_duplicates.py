"""Near-duplicates: pictures of one lesion on one occasion, however coloured, turned or mirrored.

What looks alike by hash and tones (`dermssl.splits.fingerprints`) is confirmed twice: the pictures must lie on top of
one another (`dermssl.splits.alignment`), and an encoder's feature maps of the two must agree.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dermssl.data.images import Pixels, grey_of, read_rgb
from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest
from dermssl.data.roles import file_at
from dermssl.files import short_hash
from dermssl.runs.control_group import usable_cores
from dermssl.runs.parquet import write_parquet
from dermssl.splits.alignment import SIDE, GreyPicture, aligned_correlation, evened
from dermssl.splits.fingerprints import TURNS, look_alikes, looks_of
from dermssl.weights.encoder import Start, feature_maps, start_from
from dermssl.weights.hub import OFFLINE

ALIGNED = 0.87  # least correlation of pictures laid on one another; of ISIC 2018 with HAM10000 none is above 0.855
LIKENESS = 0.60  # least correlation of feature maps; most strangers that pass the former fail here
STAGE = 3  # of the encoder, stride 16: fine enough to know where things lie
BATCH = 64
PLANES = 512  # evened views kept in memory, 64 kB each
COLUMNS = ["image_a", "image_b", "distance", "similarity"]
FORMAT = 1  # raised when another rule finds other pairs

TurnedFile = tuple[Path, int]  # a picture's file and its turn


def near_pairs(manifest: Manifest) -> pd.DataFrame:
    """Confirmed near-duplicates inside a data set, kept beside it, so that they are searched for once.

    Of several files with the same bytes, each is paired with the first only.

    Returns:
        A row a pair: `image_a`, `image_b` (ids, the first comes first in the manifest), `distance` (bits of 256) and
        `similarity` (of feature maps, at most 1).
    """
    table = manifest.table[manifest.table["phash"] != ""]
    name = short_hash([FORMAT, table["image_id"].tolist(), table["sha256"].tolist()])
    file = kept_folder(manifest.root) / f"near-{name}.parquet"
    if file.exists():
        return pd.read_parquet(file)
    pairs = pd.concat([equal_bytes(table), confirmed_look_alikes(manifest, table)], ignore_index=True)[COLUMNS]
    write_parquet(file, pairs)
    return pairs


def equal_bytes(table: pd.DataFrame) -> pd.DataFrame:
    """Every file that repeats an earlier one's bytes, with that one."""
    first = table.groupby("sha256")["image_id"].transform("first")
    again = table["image_id"] != first
    pairs = pd.DataFrame({"image_a": first[again], "image_b": table.loc[again, "image_id"]})
    return pairs.assign(distance=0, similarity=1.0)


def confirmed_look_alikes(manifest: Manifest, table: pd.DataFrame) -> pd.DataFrame:
    """Confirmed pairs among files of different bytes."""
    single = table.drop_duplicates("sha256")
    looks = looks_of(single)
    pairs = look_alikes(looks, looks)
    pairs = pairs[pairs["a"] < pairs["b"]]
    ids, files = single["image_id"].to_numpy(), [file_at(manifest.root, path) for path in single["path"]]
    confirmed = confirm(pairs, files, files)
    return confirmed.assign(image_a=ids[confirmed["a"]], image_b=ids[confirmed["b"]])


def confirm(pairs: pd.DataFrame, files_a: Sequence[Path], files_b: Sequence[Path]) -> pd.DataFrame:
    """The pairs that lie on one another and whose feature maps agree, with their `similarity`.

    Args:
        pairs: Of `dermssl.splits.fingerprints.look_alikes`.
        files_a: The file of each row `a`.
        files_b: The file of each row `b`.
    """
    left: list[TurnedFile] = [(files_a[row], 0) for row in pairs["a"]]
    right: list[TurnedFile] = [(files_b[row], turn) for row, turn in zip(pairs["b"], pairs["turn"], strict=True)]
    aligned = np.flatnonzero(aligned_correlations(left, right) >= ALIGNED)
    similarity = likeness([left[row] for row in aligned], [right[row] for row in aligned])
    return pairs.iloc[aligned].assign(similarity=similarity).query("similarity >= @LIKENESS")


def aligned_correlations(left: Sequence[TurnedFile], right: Sequence[TurnedFile]) -> NDArray[np.float64]:
    """The `aligned_correlation` of each of `left` with the one beside it, at most 1.

    A view of many pairs is not read for each of them: those of one picture stand together in what `look_alikes` gives.
    """
    plane = lru_cache(PLANES)(evened_square)

    def laid_on(a: TurnedFile, b: TurnedFile) -> float:
        return aligned_correlation(plane(a), plane(b))

    with ThreadPoolExecutor(usable_cores()) as pool:
        return np.array(list(pool.map(laid_on, left, right)), np.float64)


def evened_square(view: TurnedFile) -> GreyPicture:
    """The view as it is laid on others."""
    return evened(grey_square(view))


def likeness(left: Sequence[TurnedFile], right: Sequence[TurnedFile]) -> NDArray[np.float64]:
    """Correlation of the feature maps of each of `left` with those of the one beside it, in [-1, 1]."""
    if not left:
        return np.zeros(0)
    views = sorted({*left, *right})
    place = {view: number for number, view in enumerate(views)}
    maps = torch.cat(list(feature_rows(views)))  # (views, C h w)
    rows = [(maps[place[a]].float() @ maps[place[b]].float()).item() for a, b in zip(left, right, strict=True)]
    return np.array(rows)


def feature_rows(views: Sequence[TurnedFile]) -> Iterator[Tensor]:
    """Feature maps of these views, centred per channel and of unit length, (B, C h w) in half precision."""
    start = start_from("imagenet", OFFLINE, 0)
    start.encoder.eval()
    with ThreadPoolExecutor(4) as pool, torch.inference_mode():
        for first in range(0, len(views), BATCH):
            pictures = list(pool.map(contrasted, views[first : first + BATCH]))
            yield unit_maps(start, np.stack(pictures)).half()


def unit_maps(start: Start, pictures: Pixels) -> Tensor:
    """(B, S, S) grey pictures to (B, C h w), so that a product of two rows is their correlation in place."""
    grey = torch.from_numpy(pictures)[:, None].expand(-1, 3, -1, -1)  # (B, 3, S, S)
    maps = feature_maps(start.encoder, start.normalise(grey))[STAGE].float()
    return F.normalize((maps - maps.mean((2, 3), keepdim=True)).flatten(1), dim=1)


def contrasted(view: TurnedFile) -> Pixels:
    """The view in one brightness and contrast, so that a camera's settings do not count."""
    grey = grey_square(view).astype(np.float32)
    even = (grey - grey.mean()) / (grey.std() + 1e-3)
    pixels: Pixels = np.clip(even * 40 + 128, 0, 255).astype(np.uint8)
    return pixels


def grey_square(view: TurnedFile) -> Pixels:
    """The view in grey, squeezed to (SIDE, SIDE)."""
    path, turn = view
    grey = grey_of(read_rgb(path))
    pixels: Pixels = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    transposed, mirrored, overturned = TURNS[turn]
    if transposed:
        pixels = pixels.T
    rows, columns = slice(None, None, -1 if overturned else 1), slice(None, None, -1 if mirrored else 1)
    square: Pixels = np.array(pixels[rows, columns], np.uint8, order="C")
    return square
