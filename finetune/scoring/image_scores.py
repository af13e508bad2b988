"""Scores of the held-out images, each at its native size, and what is kept to look at them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import pandas as pd

from dermssl.data.images import Pixels
from dermssl.data.manifest import Manifest
from dermssl.data.masks import read_mask
from dermssl.data.pixel_cache import PixelCache
from dermssl.scores.counts import measures
from dermssl.scores.plots import thumbnail
from finetune.scoring.calibration import BinShares, bin_shares, calibration_table
from finetune.scoring.inference import Cut, Predictor, Probability

Element = TypeVar("Element")


class MaskThumbnails(NamedTuple):
    """Truth and prediction of an image as PNGs of their thumbnails: a few hundred bytes, for there may be thousands."""

    truth: bytes
    prediction: bytes


class ImageScores(NamedTuple):
    """What the held-out images gave."""

    table: pd.DataFrame
    """A row an image: ids, native size, and all of `dermssl.scores.counts.measures`."""
    calibration: pd.DataFrame
    """`finetune.scoring.calibration.calibration_table` of all their pixels."""
    masks: list[MaskThumbnails]
    """Of each image, in the order of the table."""


def score(predictor: Predictor, cut: Cut, val: Manifest, pixels: PixelCache, threads: int = 1) -> ImageScores:
    """Scores every held-out image.

    Args:
        predictor: Gives probabilities at native size.
        cut: Makes masks of them.
        val: The held-out images, at least one.
        pixels: Their pictures, in the same order.
        threads: Images that are measured side by side, while the network waits; so many are in memory at native size.
    """
    table, paths = val.table, val.paths("mask_path")
    sizes = list(zip(table["height"].tolist(), table["width"].tolist(), strict=True))

    def judged(found: tuple[int, Probability]) -> tuple[dict[str, float], BinShares, MaskThumbnails]:
        index, probability = found
        truth, mask = read_mask(paths[index]), cut(probability)
        return (
            measures(truth, mask),
            bin_shares(probability, truth),
            MaskThumbnails(*(png_bytes(".png", thumbnail(one)) for one in (truth, mask))),
        )

    rows, masks, total = [], [], np.zeros(())
    with ThreadPoolExecutor(threads) as pool:
        for some in batched(predictor.probabilities(lambda i: np.asarray(pixels[i]), sizes), threads):
            for row, shares, drawn in pool.map(judged, some):
                rows.append(row)
                masks.append(drawn)
                total = total + shares
    known = table[["image_id", "lesion_id", "width", "height"]].reset_index(drop=True)
    return ImageScores(pd.concat([known, pd.DataFrame(rows)], axis=1), calibration_table(total / len(rows)), masks)


def batched(items: Iterable[Element], size: int) -> Iterator[list[Element]]:
    """The items in lists of `size`, the last one perhaps shorter."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some


def mask_table(scored: ImageScores) -> pd.DataFrame:
    """Truth and prediction of every image for a report, so that it can show any of them and needs no network.

    Returns:
        A row an image, in the order of the scores: `image_id`; `truth` and `prediction`, the bytes of PNGs of 0 and 255
        with the longer side at most 256 pixels, some hundreds of bytes each.
    """
    masks = pd.DataFrame(scored.masks, columns=list(MaskThumbnails._fields))
    masks.insert(0, "image_id", scored.table["image_id"].to_numpy())
    return masks


def png_bytes(suffix: str, picture: Pixels) -> bytes:
    """A picture as the bytes of its file; not by imwrite, which says nothing of a full disk."""
    return cv2.imencode(suffix, picture)[1].tobytes()
