"""The threshold that gives the best masks on images kept out of the training, found in one pass over them."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.parallel import of_all

Mask = NDArray[np.bool_]
Probability = NDArray[np.float32]

THRESHOLDS = np.round(np.arange(1, 100) / 100, 2)
ROUNDING = 1e-12  # of a mean over images, whose order must not decide


def best_threshold(probabilities: Iterable[Probability], truths: Iterable[Mask]) -> float:
    """The threshold in 0.01, 0.02 ... 0.99 with the highest mean Jaccard over images.

    Of thresholds that are equally good it is the nearest to 0.5, and the lower one of two that are equally near. Never
    choose it on images that are scored afterwards: it would be fitted to them.

    Args:
        probabilities: Probabilities of each image, (H, W) at its native size.
        truths: Masks of the same images in the same order, (H, W). Both are read once, an image at a time.

    Raises:
        ValueError: If there is no image, one more of either, or a size that differs.
    """
    return best_on_curve(threshold_curve(probabilities, truths))


def best_on_curve(curve: pd.DataFrame) -> float:
    """The best threshold of a curve, as `best_threshold` chooses it."""
    good = curve.loc[curve["jaccard"] >= curve["jaccard"].max() - ROUNDING, "threshold"]
    return float(good.iloc[int((good - 0.5).abs().round(2).argmin())])


def threshold_curve(probabilities: Iterable[Probability], truths: Iterable[Mask]) -> pd.DataFrame:
    """The mean Jaccard over images at every threshold: `threshold`, `jaccard`, `images`, a row a threshold, rising.

    A pixel is lesion where its probability is above the threshold, compared in float32 as masks are cut. Processes that
    train together give the images of `own_part` each, and all get the curve of all images.

    Args:
        probabilities: See `best_threshold`.
        truths: See `best_threshold`.

    Raises:
        ValueError: See `best_threshold`.
    """
    scores = of_all([jaccards(probability, truth) for probability, truth in zip(probabilities, truths, strict=True)])
    if not scores:
        raise ValueError("no image to find a threshold on; a search needs at least one")
    total = sum(scores, start=np.zeros(len(THRESHOLDS)))
    return pd.DataFrame({"threshold": THRESHOLDS, "jaccard": total / len(scores), "images": len(scores)})


def jaccards(probability: Probability, truth: Mask) -> NDArray[np.float64]:
    """The Jaccard of one image at every threshold, (99,); 1 where neither mask nor truth has a pixel."""
    if probability.shape != truth.shape:
        raise ValueError(f"probabilities are {probability.shape} and truth {truth.shape}; both must have one size")
    # How many thresholds each pixel is above, 0 to 99: two histograms then hold all that the thresholds can ask.
    # What is nan is above none, as where masks are cut: the network of a training that diverged gives nothing else.
    numbers = np.nan_to_num(probability.astype(np.float32, copy=False), nan=0.0)
    passed = np.searchsorted(THRESHOLDS.astype(np.float32), numbers, side="left")
    intersection = above(passed[truth])
    predicted = above(passed.ravel())
    union = predicted + np.count_nonzero(truth) - intersection
    values: NDArray[np.float64] = np.divide(intersection, union, out=np.ones(len(THRESHOLDS)), where=union > 0)
    return values


def above(passed: NDArray[np.intp]) -> NDArray[np.int64]:
    """How many of these pixels lie above each threshold, (99,)."""
    counts = np.bincount(passed, minlength=len(THRESHOLDS) + 1)
    return counts[::-1].cumsum()[::-1][1:]
