"""The dense probe's score by the number of pictures that it was fitted on; the probe is dermssl/features/dense.py."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dermssl.scores.intervals import ScoreInterval, class_mean


def summaries(table: pd.DataFrame, seed: int) -> dict[int, ScoreInterval]:
    """Mean Jaccard over held-out pictures, by the number of pictures that the probe was fitted on."""
    return {
        int(str(size)): class_mean(part["jaccard"], np.zeros(len(part)), part["lesion_id"], seed)
        for size, part in table.groupby("n_train")
    }


def clamped(sizes: Sequence[int], count: int) -> tuple[int, ...]:
    """These numbers of pictures, ascending, each once, none above `count`."""
    return tuple(sorted({min(size, count) for size in sizes}))
