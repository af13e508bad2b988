"""Scores of segmentation: per image, from pixel counts and boundaries at the image's native size."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.data.masks import border_share
from dermssl.scores.surfaces import surface_scores

ISIC_THRESHOLD = 0.65  # below it the challenge counts a mask as failed (Codella et al. 2019, arXiv:1902.03368)


@dataclass(frozen=True)
class Counts:
    """Pixels of one image by truth and prediction."""

    tp: int
    fp: int
    fn: int
    tn: int


def count(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> Counts:
    """Counts pixels of two masks (H, W).

    Raises:
        ValueError: If the sizes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape} and prediction {prediction.shape}; both must have the native size")
    tp = int(np.count_nonzero(truth & prediction))
    fp, fn = int(np.count_nonzero(prediction)) - tp, int(np.count_nonzero(truth)) - tp
    return Counts(tp, fp, fn, truth.size - tp - fp - fn)


def ratio(part: int, whole: int) -> float:
    """`part / whole`, and 1 where there is nothing to find: empty against empty is right."""
    return part / whole if whole else 1.0


def jaccard(counts: Counts) -> float:
    """Intersection over union in [0, 1]; 1 where both masks are empty."""
    return ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def isic_jaccard(counts: Counts) -> float:
    """The threshold Jaccard of ISIC 2018 Task 1: the Jaccard where it is at least 0.65, else 0."""
    value = jaccard(counts)
    return value if value >= ISIC_THRESHOLD else 0.0


def dice(counts: Counts) -> float:
    """Twice the intersection over the sum of areas, in [0, 1]; 1 where both masks are empty."""
    return ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def sensitivity(counts: Counts) -> float:
    """Share of the lesion that was found, in [0, 1]; 1 where there is no lesion."""
    return ratio(counts.tp, counts.tp + counts.fn)


def specificity(counts: Counts) -> float:
    """Share of the skin that was left alone, in [0, 1]; 1 where there is no skin."""
    return ratio(counts.tn, counts.tn + counts.fp)


def accuracy(counts: Counts) -> float:
    """Share of all pixels that are right, in [0, 1]; skin is most of them, so it says little of the lesion."""
    return ratio(counts.tp + counts.tn, counts.tp + counts.fp + counts.fn + counts.tn)


SCORES = {
    "jaccard": jaccard,
    "isic_jaccard": isic_jaccard,
    "dice": dice,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "accuracy": accuracy,
}
SURFACE_SCORES = ("surface_dice", "hd95", "hd95_share")


def scores_of_counts(counts: Counts) -> dict[str, float]:
    """Counts of one image and every score that follows from them."""
    return vars(counts) | {name: score(counts) for name, score in SCORES.items()}


def measures(truth: NDArray[np.bool_], prediction: NDArray[np.bool_]) -> dict[str, float]:
    """Everything that is measured of one image, as scores.parquet holds it; never nan.

    `scores_of_counts`, `surface_scores`, and what the masks are like by themselves: `area` and `area_predicted`, the
    lesion's share of the image, and `border` and `border_predicted`, its share of the pixels at the frame; all in
    [0, 1], and 0 where the mask is empty.

    Args:
        truth: (H, W), at the image's native size.
        prediction: (H, W).

    Raises:
        ValueError: If the sizes differ.
    """
    counts = count(truth, prediction)
    masks = {
        "area": (counts.tp + counts.fn) / truth.size,
        "area_predicted": (counts.tp + counts.fp) / truth.size,
        "border": border_share(truth),
        "border_predicted": border_share(prediction),
    }
    return {**scores_of_counts(counts), **surface_scores(truth, prediction), **masks}


def summary(table: pd.DataFrame) -> Mapping[str, float]:
    """Means over images of the scores that the table has, the median of HD95, and the failure rate.

    The failure rate is the share of images with a Jaccard below 0.65. The median stands beside the mean of HD95 because
    an image without any prediction adds its whole diagonal to the mean.

    Raises:
        ValueError: If the table has no image.
    """
    if table.empty:
        raise ValueError("the table of scores has no image; a summary needs at least one")
    means = {name: float(table[name].mean()) for name in (*SCORES, *SURFACE_SCORES) if name in table}
    medians = {"hd95_median": float(table["hd95"].median())} if "hd95" in table else {}
    return {**means, **medians, "failure_rate": float((table["jaccard"] < ISIC_THRESHOLD).mean())}
