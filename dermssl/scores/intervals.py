"""A mean with the interval that resampling lesions gives it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

DRAWS, CHUNK = 2000, 100


class ScoreInterval(NamedTuple):
    """A mean and the ends of its 95 % interval; the ends are nan where there is a single lesion."""

    mean: float
    low: float
    high: float


def class_mean(values: ArrayLike, classes: ArrayLike, lesions: ArrayLike, seed: int) -> ScoreInterval:
    """The mean over classes of the mean over their images: of hits, the balanced accuracy.

    With one class for all images it is the plain mean. Lesions are resampled, with all their images, since two
    photographs of one lesion are no two observations. Of n lesions n - 1 are drawn, which makes the variance unbiased
    for small n (Rao and Wu 1988, https://doi.org/10.1080/01621459.1988.10478591). A class that a draw misses counts
    in no mean of that draw.

    Args:
        values: A score an image, (N,), N >= 1.
        classes: Class of each image, (N,).
        lesions: Lesion of each image, (N,).
        seed: Seed of the draws.
    """
    _, class_of = np.unique(np.asarray(classes), return_inverse=True)
    names, lesion_of = np.unique(np.asarray(lesions), return_inverse=True)
    sums = np.zeros((len(names), class_of.max() + 1))
    counts = np.zeros_like(sums)
    np.add.at(sums, (lesion_of, class_of), np.asarray(values, float))
    np.add.at(counts, (lesion_of, class_of), 1.0)
    mean = float((sums.sum(axis=0) / counts.sum(axis=0)).mean())
    if len(names) < 2:
        return ScoreInterval(mean, np.nan, np.nan)

    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(DRAWS // CHUNK):
        often = rng.multinomial(len(names) - 1, np.full(len(names), 1 / len(names)), size=CHUNK)  # (CHUNK, lesions)
        weights = often @ counts
        means = np.divide(often @ sums, weights, out=np.full_like(weights, np.nan), where=weights > 0)
        resampled.append(np.nanmean(means, axis=1))
    low, high = np.quantile(np.concatenate(resampled), [0.025, 0.975])
    return ScoreInterval(mean, float(low), float(high))
