"""Whether a probability means what it says: of the pixels called lesion with 0.8, eight in ten should be."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS = 15  # of equal width in [0, 1], as Guo et al. 2017, https://arxiv.org/abs/1706.04599

BinShares = NDArray[np.float64]  # (3, BINS): shares of an image's pixels; of those that are lesion; sums of probability


def bin_shares(probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> BinShares:
    """One image's pixels by their probability, as shares of the image, so that every image weighs the same in a mean.

    Args:
        probability: (H, W), in [0, 1]; a bin holds its lower edge, and the last one 1 as well. What is nan counts as 0,
            as it does where masks are cut: the network of a training that diverged gives nothing else.
        truth: (H, W), where lesion is.

    Returns:
        (3, BINS); the first row adds up to 1, the second to the lesion's share, the third to the mean probability.
    """
    probability = np.nan_to_num(probability, nan=0.0)
    bins = np.minimum((probability * np.float32(BINS)).astype(np.uint8), BINS - 1).ravel()
    counts = [
        np.bincount(bins, minlength=BINS),
        np.bincount(bins[truth.ravel()], minlength=BINS),
        np.bincount(bins, weights=probability.ravel(), minlength=BINS),
    ]
    return np.stack(counts) / probability.size


def calibration_table(mean: BinShares) -> pd.DataFrame:
    """The mean of `bin_shares` over images as a table, a row a bin.

    Its columns are `low` and `high`, the edges; `pixels`, the share of all; `probability`, their mean; and `lesion`,
    the share of them that is. The last two are nan where no pixel lies.
    """
    edges = np.linspace(0, 1, BINS + 1)
    pixels, lesion, probability = mean
    occupied = np.where(pixels > 0, pixels, np.nan)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "pixels": pixels,
            "probability": probability / occupied,
            "lesion": lesion / occupied,
        }
    )


def calibration_error(table: pd.DataFrame) -> float:
    """The expected calibration error in [0, 1]: how far probability and share lie apart in a bin, on average."""
    return float((table["pixels"] * (table["probability"] - table["lesion"]).abs()).sum())
