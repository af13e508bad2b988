"""Which runs of two arms can be held against each other, and what is left out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from compare.statistics.decisions import FloatArray

BoolArray = NDArray[np.bool_]


class Pairs(NamedTuple):
    """The complete part of two arms, averaged over cells, and what had to be left out."""

    scores_a: FloatArray  # (seeds, images)
    scores_b: FloatArray  # (seeds, images)
    cells: BoolArray  # used, of the cells given
    seeds: BoolArray  # used, of the seeds given
    images: BoolArray  # used, of the images given
    left_out: int  # pairs of runs (cell x seed) of the design that are not used
    by_cell: FloatArray  # mean difference in each cell used, (cells, seeds)


def complete_pairs(scores_a: FloatArray, scores_b: FloatArray) -> Pairs:
    """Average over cells, with equal weight, what both arms scored in full.

    A run is missing where all its images are nan. Averaging needs a full rectangle of cells x seeds, since else a seed
    would stand for other cells in one arm than in its neighbour: the rectangle with most pairs of runs is taken, and
    of two equal ones that with more cells. Then images that lack a score anywhere in it are dropped.

    Args:
        scores_a: Scores of the first arm, (cells, seeds, images), nan where missing.
        scores_b: Scores of the second arm, same shape and order.

    Returns:
        Averages (seeds, images) over the cells used; both empty where no pair is complete.
    """
    missing = np.isnan(scores_a) | np.isnan(scores_b)
    present: BoolArray = np.asarray((~missing).any(axis=2))  # (cells, seeds)
    best = _largest_rectangle(present)
    cells, seeds = np.asarray(best.any(axis=1)), np.asarray(best.any(axis=0))
    images = np.asarray(~missing[np.ix_(cells, seeds)].any(axis=(0, 1)) & cells.any())
    left_out = int(present.size - best.sum())
    if not cells.any():
        return Pairs(np.zeros((0, 0)), np.zeros((0, 0)), cells, seeds, images, left_out, np.zeros((0, 0)))
    kept_a, kept_b = (scores[np.ix_(cells, seeds, images)] for scores in (scores_a, scores_b))
    by_cell = (kept_a - kept_b).mean(axis=2)
    return Pairs(kept_a.mean(axis=0), kept_b.mean(axis=0), cells, seeds, images, left_out, by_cell)


def _largest_rectangle(present: BoolArray) -> BoolArray:
    """The set of cells and seeds, all present in full, that has most pairs of runs, as a mask like `present`."""
    # its seeds are those that one cell has, or those that several cells share
    shared: set[frozenset[int]] = set()
    for row in present:
        own = frozenset(np.flatnonzero(row).tolist())
        shared |= {own} | {own & other for other in shared}
    best = np.zeros_like(present)
    for chosen in sorted(shared, key=sorted):
        wanted = np.isin(np.arange(present.shape[1]), list(chosen))
        block = np.outer((present >= wanted).all(axis=1), wanted)
        if (block.sum(), block.any(axis=1).sum()) > (best.sum(), best.any(axis=1).sum()):
            best = block
    return best
