"""Scores as whole pixel counts, which are small to keep; every score of counts follows from them to the last bit."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.errors import UserError
from dermssl.scores.counts import ISIC_THRESHOLD

COUNTS = ("tp", "fp", "fn", "tn")


def counts_of_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores with their pixel counts as whole numbers.

    Raises:
        UserError: If they have none, as those of runs of an earlier version.
    """
    absent = [name for name in COUNTS if name not in scores or scores[name].isna().any()]
    if absent:
        raise UserError(f"scores.parquet: has no pixel counts ({', '.join(absent)}); run the study anew to keep it")
    return scores.astype(dict.fromkeys(COUNTS, "int32"))


def scores_from_counts(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores that follow from the pixel counts of a kept study, as `dermssl.scores.counts` has them."""
    tp, fp, fn, tn = (scores[name].to_numpy(np.int64) for name in COUNTS)
    jaccard = ratios(tp, tp + fp + fn)
    return scores.assign(
        jaccard=jaccard,
        isic_jaccard=np.where(jaccard >= ISIC_THRESHOLD, jaccard, 0.0),
        dice=ratios(2 * tp, 2 * tp + fp + fn),
        sensitivity=ratios(tp, tp + fn),
        specificity=ratios(tn, tn + fp),
        accuracy=ratios(tp + tn, tp + fp + fn + tn),
    )


def ratios(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """`part / whole`, and 1 where there is nothing to find."""
    return np.divide(part, whole, out=np.ones(len(part)), where=whole > 0)
