"""Scores of the held-out images, each at its native size, and what is kept to look at them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache
from dermssl.parallel import of_all, own_part
from dermssl.scores.counts import measures
from dermssl.scores.thumbnails import png_bytes, thumbnail
from finetune.scoring.calibration import BinShares, bin_shares, calibration_table
from finetune.scoring.inference import Cut, Predictor, Probability

Element = TypeVar("Element")


class MaskThumbnails(NamedTuple):
    """Truth and prediction of an image as PNGs of their thumbnails: a few hundred bytes, for there may be thousands."""

    truth: bytes
    prediction: bytes


class ImageScores(NamedTuple):
    """The scores of the images that were scored, and what a report shows of them."""

    table: pd.DataFrame
    """A row an image: ids, native size, and all of `dermssl.scores.counts.measures`."""
    calibration: pd.DataFrame
    """`finetune.scoring.calibration.calibration_table` of all their pixels."""
    masks: list[MaskThumbnails]
    """Thumbnails of each image, in the order of the table."""


def score(predictor: Predictor, cut: Cut, val: Manifest, pixels: PixelCache, threads: int = 1) -> ImageScores:
    """Scores every held-out image; processes that train together share them, and all get all scores.

    Args:
        predictor: Gives probabilities at native size.
        cut: Makes masks of them.
        val: The held-out images, at least one.
        pixels: Pictures of these images, in the same order.
        threads: Images that are measured side by side, while the network waits; so many are in memory at native size.
    """
    own, pictures = own_images(val, pixels)

    def scores_of(prediction: tuple[int, Probability]) -> tuple[dict[str, float], BinShares, MaskThumbnails]:
        index, probability = prediction
        truth, mask = own.lesion(index), cut(probability)
        return (
            measures(truth, mask),
            bin_shares(probability, truth),
            MaskThumbnails(*(png_bytes(thumbnail(pixels)) for pixels in (truth, mask))),
        )

    with ThreadPoolExecutor(threads) as pool:
        probabilities = predictor.probabilities(lambda i: np.asarray(pictures[i]), own.native_sizes)
        scored = [each for batch in batched(probabilities, threads) for each in pool.map(scores_of, batch)]
    rows, shares, masks = zip(*of_all(scored), strict=True)
    total = sum(shares, start=np.zeros(()))
    ids = val.table[["image_id", "lesion_id", "width", "height"]].reset_index(drop=True)
    return ImageScores(pd.concat([ids, pd.DataFrame(rows)], axis=1), calibration_table(total / len(rows)), list(masks))


def own_images(images: Manifest, pixels: PixelCache) -> tuple[Manifest, PixelCache]:
    """The part of these images that this process works on, with their pixels; all of them where it is alone."""
    rows = own_part(range(len(images)))
    return images.take(images.table["image_id"].iloc[list(rows)].tolist()), pixels.take(rows)


def batched(items: Iterable[Element], size: int) -> Iterator[list[Element]]:
    """The items in lists of `size`, the last one perhaps shorter."""
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def mask_table(scored: ImageScores) -> pd.DataFrame:
    """Truth and prediction of every image for a report, so that it can show any of them and needs no network.

    Returns:
        A row an image, in the order of the scores: `image_id`; `truth` and `prediction`, the bytes of PNGs of 0 and 255
        with the longer side at most 256 pixels, some hundreds of bytes each.
    """
    masks = pd.DataFrame(scored.masks, columns=list(MaskThumbnails._fields))
    masks.insert(0, "image_id", scored.table["image_id"].to_numpy())
    return masks
