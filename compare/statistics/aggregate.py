"""Numbers that stand for many runs and are not moved by a few of them (Agarwal et al. 2021)."""

import numpy as np
from scipy import stats

from compare.statistics.paired import FloatArray


def interquartile_mean(scores: FloatArray) -> float:
    """Mean of the middle half of all scores, whatever their shape (Agarwal et al. 2021, https://arxiv.org/abs/2108.13264).

    A quarter of the scores, rounded down, is cut at each end, ties cut as they fall: fewer than four keep all. A failed
    training does not move it, as it does not the median, and it uses half of the runs, which the median does not.

    Args:
        scores: Mean IoU of runs, such as (cells, seeds); nan where a run is missing, which is left out.

    Returns:
        On the scale of the scores; nan where there are none.
    """
    there = scores[~np.isnan(scores)]
    return float(stats.trim_mean(there, 0.25)) if there.size else float("nan")


def probability_of_improvement(scores_a: FloatArray, scores_b: FloatArray) -> float:
    """How likely a run of the first arm beats one of the second in the same cell (Agarwal et al. 2021, section 4.3).

    In each cell the share of pairs of runs that the first arm wins, a tie counting half: Mann and Whitney's U by the
    number of pairs (1947, https://doi.org/10.1214/aoms/1177730491). Cells count equally. It says how often and not by
    how much, and with two or three seeds a cell has four or nine pairs: it is for reading a table.

    Args:
        scores_a: Mean IoU of the first arm's runs, (cells, seeds), nan where a run is missing.
        scores_b: Of the second arm's, (cells, seeds); the numbers of seeds may differ.

    Returns:
        A share in [0, 1], 0.5 for arms that are the same; nan where no cell has a run of both.

    Raises:
        ValueError: If the arrays do not have the same cells.
    """
    if scores_a.ndim != 2 or scores_b.ndim != 2 or len(scores_a) != len(scores_b):
        raise ValueError(f"runs are two (cells, seeds) arrays of the same cells, got {scores_a.shape} {scores_b.shape}")
    gaps = scores_a[:, :, None] - scores_b[:, None, :]  # (cells, seeds, seeds)
    wins = np.where(np.isnan(gaps), np.nan, (np.sign(gaps) + 1) / 2).reshape(len(gaps), -1)
    there = wins[~np.isnan(wins).all(axis=1)] if wins.size else wins
    return float(np.nanmean(there, axis=1).mean()) if there.size else float("nan")
