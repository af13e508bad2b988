"""The hierarchical bootstrap: an interval that knows of other lesions and of other trainings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import isfinite, nan
from typing import NamedTuple

import numpy as np

from compare.statistics.paired import Components, FloatArray, Lesions, components, lesion_sums, paired_gap, seed_part

CHUNK = 4_000_000  # numbers held at once while resampling: 32 MB, whatever the size of the study


class Interval(NamedTuple):
    """Two ends on the scale of the scores; nan where there is nothing to resample."""

    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """A mean paired difference and the uncertainty that resampling gives it."""

    difference: float
    """Mean over images and seeds of `scores_a - scores_b`."""
    standard_error: float
    """Root of the variance due to lesions and to seeds together; nan for a single lesion."""
    degrees_of_freedom: float
    """Satterthwaite's, of the lesion and the seed variance together; near seeds - 1 where seeds dominate."""
    deviations: FloatArray
    """Resampled means minus `difference`, and their mirror images, (4 x draws,), or (2 x draws,) for one seed."""
    components: Components | None = None
    """What the standard error is made of; None for a single lesion."""
    lesion_part: FloatArray | None = None
    """Resampled means over lesions minus `difference`, without the seeds' part, (draws,); None for a single lesion."""

    @property
    def draws(self) -> int:
        """Resamples of the lesions; 1 for a single lesion."""
        return 1 if self.lesion_part is None else len(self.lesion_part)

    def interval(self, level: float = 0.95) -> Interval:
        """Percentile interval of this level, as far to one side as to the other; nan for a single lesion."""
        if not isfinite(self.standard_error):
            return Interval(nan, nan)
        tail = (1 - level) / 2
        low, high = self.difference + np.quantile(self.deviations, [tail, 1 - tail])
        return Interval(float(low), float(high))

    def judged_by(self, parts: Components, rng: np.random.Generator) -> "Bootstrap":
        """The same resample of lesions with the seeds' part of other components, as those moderated by `smyth`."""
        if self.lesion_part is None:
            return self
        deviations = _with_seeds(self.lesion_part, parts, rng)
        error, freedom = parts.standard_error, parts.degrees_of_freedom
        return replace(self, standard_error=error, degrees_of_freedom=freedom, deviations=deviations, components=parts)

    def false_claim(self) -> float:
        """Probability that the arm which looks better is not better.

        Christodoulou et al. 2025 (https://arxiv.org/abs/2505.04720) have it from Student's t on one training's images,
        with a flat prior; here it knows of lesions and seeds as the interval does. From 0 to about 0.5; half at a
        difference of 0, nan for a single lesion. It is the posterior of a flat prior: for a reader who holds large
        differences unlikely it is too low.
        """
        if not isfinite(self.standard_error):
            return nan
        beyond = np.sign(self.difference) * self.deviations <= -abs(self.difference)
        ties = self.deviations == -self.difference
        return float((beyond.sum() - 0.5 * ties.sum()) / len(ties))


def hierarchical_bootstrap(
    scores_a: FloatArray,
    scores_b: FloatArray,
    lesions: Lesions,
    rng: np.random.Generator,
    draws: int = 10_000,
) -> Bootstrap:
    """Resample lesions, with all their images, then seeds, for the mean of `scores_a - scores_b`.

    Each draw has two parts that are added, since lesions and seeds are crossed (every seed scores every lesion):

    * Of n lesions n - 1 are drawn, which makes the variance unbiased (McCarthy and Snowden 1985; Rao and Wu 1988,
      https://doi.org/10.1080/01621459.1988.10478591), and spread as Student's t is (Hesterberg 2015,
      https://doi.org/10.1080/00031305.2015.1089789, section 5.3). Differences averaged over a few seeds vary by lesion
      also because each training makes its own mistakes; that part belongs to the seeds, and is taken out by scale.
    * Two to five seeds are too few to resample: they have two to five values. So theirs is a parametric bootstrap, from
      the distribution of their mean in `compare.statistics.paired.SeedPart`, in equal steps of probability.

    Deviations are taken with their mirror images (Hall 1988, Journal of the Royal Statistical Society B 50): where
    some images fail altogether differences are skewed, and percentiles of a skewed resample lean to the wrong side.

    Drawing both with replacement and multiplying their counts would count what neither lesions nor seeds explain three
    times (Owen 2007, https://doi.org/10.1214/07-AOAS122).

    Args:
        scores_a: Scores of the first arm, (seeds, images), no nan.
        scores_b: Scores of the second arm on the same images under the same seeds.
        lesions: Lesion of each image, (images,); images of one lesion stay together.
        rng: Source of the draws.
        draws: Resamples of the lesions; each is taken with a seeds' part to both sides.

    Returns:
        The difference with its uncertainty. With one seed the uncertainty is that of lesions alone; with one lesion
        `standard_error` and every interval are nan.

    Raises:
        ValueError: If the arrays are empty, not paired, or hold nan.
    """
    gap = paired_gap(scores_a, scores_b, lesions)  # (seeds, images)
    sums, images = lesion_sums(gap, lesions)  # (seeds, lesions), (lesions,)
    difference = float(gap.mean())
    if len(images) < 2:
        return Bootstrap(difference, nan, nan, np.full(draws, nan))
    parts = components(sums, images)
    lesion_part = np.sqrt(parts.share) * resampled_lesions(sums.mean(axis=0), images, draws, rng)
    deviations = _with_seeds(lesion_part, parts, rng)
    return Bootstrap(difference, parts.standard_error, parts.degrees_of_freedom, deviations, parts, lesion_part)


def _with_seeds(lesion_part: FloatArray, parts: Components, rng: np.random.Generator) -> FloatArray:
    """Deviations of lesions and seeds together, and their mirror images."""
    if parts.seed_freedom:
        seeds = rng.permutation(seed_part(parts).upper_half(len(lesion_part)))
        lesion_part = np.concatenate([lesion_part + seeds, lesion_part - seeds])
    return np.concatenate([lesion_part, -lesion_part])


def resampled_lesions(sums: FloatArray, images: FloatArray, draws: int, rng: np.random.Generator) -> FloatArray:
    """Means over resampled lesions minus the mean over all, spread as Student's t is wider than the normal, (draws,).

    Args:
        sums: Of each lesion, over its images, (lesions,), two or more.
        images: Of each lesion, (lesions,).
        draws: Resamples.
        rng: Source of the draws.
    """
    count = len(images)
    means = []
    for size in chunks(draws, count):
        drawn = _drawn_counts(count, size, rng)  # (size, lesions)
        means.append((drawn @ sums) / (drawn @ images))
    widening = np.sqrt((count - 1) / rng.chisquare(count - 1, draws))
    return np.asarray((np.concatenate(means) - sums.sum() / images.sum()) * widening)


def chunks(draws: int, width: int) -> Iterator[int]:
    """Sizes that add up to `draws`, each times `width` within memory."""
    step = max(1, CHUNK // width)
    for start in range(0, draws, step):
        yield min(step, draws - start)


def _drawn_counts(units: int, draws: int, rng: np.random.Generator) -> FloatArray:
    """How often each unit was drawn in `draws` samples of units - 1 with replacement, (draws, units)."""
    drawn = rng.integers(units, size=(draws, units - 1))
    # counting is nine times faster than rng.multinomial at 2594 units
    flat = (drawn + units * np.arange(draws)[:, None]).ravel()
    return np.bincount(flat, minlength=draws * units).reshape(draws, units).astype(float)
