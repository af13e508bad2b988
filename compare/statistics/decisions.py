"""Paired statistics for two arms that scored the same images: intervals, tests and a verdict.

An arm's scores are an array (seeds, images): every fine-tuning seed scores every image. Two things are then random and
neither is the single score: which lesions were photographed, and how a training happened to go. A t-test over runs
treats runs on the same images as independent worlds; a t-test over all seeds x images counts one lesion several times
and every training hundreds of times. Both find differences that are not there. Here lesions and seeds are the units,
and every number comes from the difference of two arms on the same image under the same seed.

`python -m benchmarks.statistics` simulates studies with a known truth and holds the interval, p and the verdict to it.
"""

from collections.abc import Sequence
from math import isfinite, nan
from typing import Literal

import numpy as np

from compare.statistics.bootstrap import Bootstrap, Interval, hierarchical_bootstrap
from compare.statistics.paired import FloatArray
from compare.statistics.permutation import paired_permutation

Verdict = Literal["better", "worse", "equivalent", "undecided"]

__all__ = [
    "Bootstrap",
    "FloatArray",
    "Interval",
    "Verdict",
    "equivalence",
    "equivalence_p",
    "hierarchical_bootstrap",
    "holm",
    "paired_permutation",
    "verdict",
]


def holm(p_values: Sequence[float] | FloatArray) -> FloatArray:
    """Holm-adjusted p-values, in the order given (Holm 1979, https://www.jstor.org/stable/4615733).

    nan marks a comparison that could not be made: it stays nan and does not count in the family.
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p), nan)
    compared = np.flatnonzero(~np.isnan(p))
    order = compared[np.argsort(p[compared], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def equivalence(interval90: Interval, margin: float) -> bool:
    """Whether two one-sided tests at 5 % both reject a difference beyond `margin` (Schuirmann 1987).

    Same as the 90 % interval lying inside (-margin, margin), https://doi.org/10.1007/BF01068419. False for nan.
    """
    return -margin < interval90.low and interval90.high < margin


def equivalence_p(bootstrap: Bootstrap, margin: float) -> float:
    """The p of two one-sided tests (Schuirmann 1987, https://doi.org/10.1007/BF01068419), on the bootstrap's draws.

    The larger of the two: below 0.05 exactly where the 90 % interval lies inside (-margin, margin), up to a draw.
    Never below 1 / (draws + 1); nan for a single lesion.
    """
    if not isfinite(bootstrap.standard_error):
        return nan
    means = bootstrap.difference + bootstrap.deviations
    outside = max(int((means >= margin).sum()), int((means <= -margin).sum()))
    return (outside + 1) / (len(means) + 1)


def verdict(interval95: Interval, interval90: Interval, margin: float, adjusted_p: float) -> Verdict:
    """One word for a contrast of a against b.

    * better, worse: the 95 % interval excludes 0 and the Holm-adjusted p is below 0.05. Both, because only p knows how
      many contrasts were looked at, and because they come from different resamplings of the lesions.
    * equivalent: neither of these, and the 90 % interval lies inside the margin. A difference can thus be certain and
      smaller than the margin; it is then called better or worse, and its size stands beside the word.
    * undecided: all else, and wherever a number is nan. It means that the study was too small to tell, not "no effect".
    """
    if adjusted_p < 0.05 and interval95.low > 0:
        return "better"
    if adjusted_p < 0.05 and interval95.high < 0:
        return "worse"
    return "equivalent" if equivalence(interval90, margin) else "undecided"
