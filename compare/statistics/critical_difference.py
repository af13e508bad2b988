"""Several arms over many cells: mean ranks, whether they differ, and which cannot be told apart (Demšar 2006)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from compare.statistics.paired import FloatArray


class CriticalDifference(NamedTuple):
    """Ranks of arms over cells, 1 for the best, and what may be read from them."""

    ranks: pd.DataFrame
    """A row an arm, best first: `arm`, `mean_rank`, `wins` (a shared first place by its share), `score` (its mean)."""
    cells: int
    """Cells in which every arm was scored."""
    friedman_p: float
    """The p of Friedman's test of "all arms rank alike"; nan for fewer than two arms or two cells."""
    distance: float
    """Mean ranks that differ by less cannot be told apart, by Nemenyi; nan as above."""
    groups: list[tuple[str, ...]]
    """Longest runs of neighbouring arms that cannot be told apart, two arms or more, best first."""


def critical_difference(arms: Sequence[str], scores: FloatArray, alpha: float = 0.05) -> CriticalDifference:
    """Friedman's test with Nemenyi's after it, over the cells in which every arm has a score.

    Friedman 1937 as Iman and Davenport (1980) correct it, and Nemenyi 1963, both in Demšar 2006 (section 3.2,
    https://jmlr.org/papers/v7/demsar06a.html). Tied scores share the mean of their ranks, and Friedman's statistic is
    corrected for ties (Conover 1999, section 5.8). The unit is the cell, not the image: decoders and label fractions of
    one study share images and seeds, so that p is a description of the study and no claim about other data; the
    contrasts carry the claims.

    Args:
        arms: Names.
        scores: Mean IoU of each arm in each cell, (cells, arms), nan where missing; higher is better.
        alpha: Of Nemenyi's test.

    Raises:
        ValueError: If there is not a column an arm.
    """
    if scores.ndim != 2 or scores.shape[1] != len(arms):
        raise ValueError(f"scores are (cells, arms), got {scores.shape} for {len(arms)} arms")
    whole = scores[~np.isnan(scores).any(axis=1)]
    ranks = stats.rankdata(-whole, axis=1) if whole.size else np.zeros((0, len(arms)))
    cells, count = ranks.shape
    table = pd.DataFrame({"arm": list(arms), "mean_rank": ranks.mean(axis=0) if cells else np.nan})
    first = ranks == ranks.min(axis=1, keepdims=True) if ranks.size else ranks.astype(bool)
    table["wins"] = (first / np.maximum(first.sum(axis=1, keepdims=True), 1)).sum(axis=0)
    table["score"] = whole.mean(axis=0) if cells else np.nan
    table = table.sort_values("mean_rank", kind="stable", ignore_index=True)
    if cells < 2 or count < 2:
        return CriticalDifference(table, cells, float("nan"), float("nan"), [])
    distance = nemenyi_distance(count, cells, alpha)
    return CriticalDifference(table, cells, friedman_p(ranks), distance, _longest_groups(table, distance))


def friedman_p(ranks: FloatArray) -> float:
    """The p of Friedman's test in the form of Iman and Davenport, of ranks (cells, arms) in which ties share theirs.

    1 where all cells are tied throughout, 0 where all cells rank the arms alike and without end.
    """
    cells, count = ranks.shape
    scatter = float(((ranks - (count + 1) / 2) ** 2).sum())  # cells x count x (count^2 - 1) / 12 less the ties
    if scatter == 0:
        return 1.0
    between = cells * float(((ranks.mean(axis=0) - (count + 1) / 2) ** 2).sum())
    if np.isclose(between, scatter):
        return 0.0
    f = (cells - 1) * between / (scatter - between)
    return float(stats.f.sf(f, count - 1, (count - 1) * (cells - 1)))


def nemenyi_distance(arms: int, cells: int, alpha: float = 0.05) -> float:
    """The critical difference of mean ranks, q / sqrt 2 x sqrt(arms (arms + 1) / 6 cells) (Demšar 2006, 3.2.2)."""
    q = float(stats.studentized_range.ppf(1 - alpha, arms, np.inf)) / 2**0.5
    return float(q * (arms * (arms + 1) / (6 * cells)) ** 0.5)


def _longest_groups(table: pd.DataFrame, distance: float) -> list[tuple[str, ...]]:
    ranks, arms = table["mean_rank"].to_numpy(float), table["arm"].tolist()
    last = -1  # place of the last arm in a group so far: a group within another one says nothing new
    groups = []
    for start, rank in enumerate(ranks):
        end = int(np.flatnonzero(ranks - rank < distance).max())
        if end > max(start, last):
            groups.append(tuple(arms[start : end + 1]))
            last = end
    return groups
