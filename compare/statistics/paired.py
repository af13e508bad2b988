"""What two arms that scored the same images differ by, and how much of it lesions and trainings explain.

The model of a difference of seed s on lesion l, after the lesion's images are summed, is

    difference = mean + seed_s + lesion_l + rest_sl,

all but the mean random, with a variance of their own (two crossed random factors; Searle, Casella and McCulloch 1992,
Variance Components, https://doi.org/10.1002/9780470316856). Nothing else is assumed of the lesions; seeds and the mean
of many lesions are taken as normal.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

FloatArray = NDArray[np.float64]
Lesions = Sequence[str] | NDArray[np.str_]

# Power and scale of the second term in the prior of the seeds' variance, by its degrees of freedom: see `SeedPart`.
PRIOR = {1: (16.0, 0.0112), 2: (2.0, 0.313), 3: (1.5, 0.512), 4: (1.0, 0.8)}


class Components(NamedTuple):
    """Parts of the variance of the mean difference, in squares of the scores' unit."""

    lesions: float
    """Variance due to which lesions were photographed, not to what one training made of them. Never below 0."""
    seeds: float
    """Variance due to how trainings went: that of the seeds' means, by seeds; it holds `rest` too. 0 for one seed."""
    rest: float
    """Variance that neither explains. 0 for one seed, where it counts as the lesions'."""
    lesion_freedom: int
    """Lesions - 1."""
    seed_freedom: float
    """Seeds - 1; more, and not whole, where `compare.statistics.smyth` has moderated `seeds`."""

    @property
    def standard_error(self) -> float:
        """The standard error of the mean difference."""
        return float(np.sqrt(self.lesions + self.seeds))

    @property
    def share(self) -> float:
        """The part of the variance over lesions, of differences averaged over seeds, that other seeds would repeat."""
        total = self.lesions + self.rest
        return self.lesions / total if total > 0 else 1.0

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite 1946 (https://doi.org/10.2307/3002019), of the lesions' and the seeds' part together."""
        parts = [(self.lesions, self.lesion_freedom), (self.seeds, self.seed_freedom)]
        spread = sum(variance**2 / freedom for variance, freedom in parts if freedom)
        return (self.lesions + self.seeds) ** 2 / spread if spread > 0 else float("inf")


@dataclass(frozen=True)
class SeedPart:
    """How far the seeds that were drawn may lie from all seeds: a mixture of two Student's t, around 0.

    The variance of the seeds' mean is known from seeds - 1 degrees of freedom only, one for two seeds. An interval that
    plugs it in, or takes Satterthwaite's degrees of freedom, misses the truth up to 13 % of the time with two seeds and
    8 % with three, where 5 % were promised (Behrens' and Fisher's problem); Fisher's own answer misses it in 0 to 5 %.
    Here the unknown variance v has the prior 1/v (1 + lesions/v), which makes the posterior interval of the difference
    right to second order (Ghosh and Kim 2001, Canadian Journal of Statistics 29). Where lesions explain nothing this is
    Student's t on the seeds' means, exactly; where seeds do not matter, the normal interval over lesions. Second order
    is not enough for few seeds: there the bracket is 1 + (b lesions/v)^m, with m and b chosen by numerical integration
    such that the error stays nearest 5 % over all variances. With many lesions it is 4.0 to 5.7 % for two seeds, and
    4.7 to 5.3 % for three or more, whatever seeds, lesions and rest are. It keeps an error of 1 % less well: up to
    3.8 % for two seeds, 1.7 % for three and 1.3 % for more.
    """

    variance: float
    """`Components.seeds`."""
    lesions: float
    """`Components.lesions`."""
    freedom: float
    """`Components.seed_freedom`."""
    fisher: bool = False
    """Fisher's own answer, the prior 1/v: right to wide at every level, where the other is right near 5 % alone."""

    @cached_property
    def terms(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Weight, scale and degrees of freedom of the two t, (2,) each: one for each term of the bracket."""
        power, scale = second_term(self.freedom)
        m, half = np.array([0.0, power]), self.freedom / 2
        odds = special.xlogy(m, scale * self.lesions / (half * self.variance))  # -inf at the second where lesions are 0
        degrees = self.freedom + 2 * m
        scales = np.sqrt(self.freedom * self.variance / degrees)
        weights = np.array([1.0, 0.0]) if self.fisher else special.softmax(odds + special.gammaln(half + m))
        return np.asarray(weights), np.asarray(scales), np.asarray(degrees)

    def cdf(self, x: FloatArray) -> FloatArray:
        """Probability of a value up to x, of any shape."""
        if self.variance == 0:
            return np.where(x < 0, 0.0, 1.0)
        weights, scales, degrees = self.terms
        return sum((w * special.stdtr(d, x / s) for w, s, d in zip(weights, scales, degrees, strict=True)), 0.0 * x)

    def upper_half(self, count: int) -> FloatArray:
        """Quantiles above 0 in `count` equal steps of probability, (count,), rising; the lower half mirrors them."""
        if self.variance == 0:
            return np.zeros(count)
        levels = 0.5 + (np.arange(count) + 0.5) / (2 * count)
        _, scales, _ = self.terms
        # the first t has the widest scale and the heaviest tail: no quantile of the mixture lies beyond its own
        end = np.arcsinh(scales[0] * stats.t.ppf(levels[-1], self.freedom) / scales[-1])
        x = scales[-1] * np.sinh(np.linspace(0, end, 1000))
        return np.asarray(np.interp(levels, self.cdf(x), x))


def second_term(freedom: float) -> tuple[float, float]:
    """Power and scale of the prior's second term, interpolated between whole degrees of freedom."""
    if freedom >= max(PRIOR):
        return 1.0, 1 - 0.8 / freedom
    at, terms = np.log(list(PRIOR)), np.log(list(PRIOR.values()))
    power, scale = (float(np.exp(np.interp(np.log(freedom), at, terms[:, column]))) for column in (0, 1))
    return power, scale


def seed_part(parts: Components, fisher: bool = False) -> SeedPart:
    """The seeds' part of these components; always 0 for one seed."""
    return SeedPart(parts.seeds, parts.lesions, parts.seed_freedom, fisher)


def paired_gap(scores_a: FloatArray, scores_b: FloatArray, lesions: Lesions) -> FloatArray:
    """`scores_a - scores_b`, (seeds, images).

    Raises:
        ValueError: If the arrays are empty, not paired, or hold nan.
    """
    if scores_a.ndim != 2 or scores_a.shape != scores_b.shape or scores_a.shape[1] != len(lesions):
        raise ValueError(
            f"paired scores are two (seeds, images) arrays with a lesion per image, "
            f"got {scores_a.shape}, {scores_b.shape} and {len(lesions)} lesions"
        )
    gap = scores_a - scores_b
    if gap.size == 0 or np.isnan(gap).any():
        raise ValueError(f"paired scores of shape {gap.shape} are empty or hold nan; keep complete pairs only")
    return gap


def lesion_sums(gap: FloatArray, lesions: Lesions) -> tuple[FloatArray, FloatArray]:
    """Sum of the differences over each lesion's images, (seeds, lesions), and its number of images, (lesions,)."""
    _, lesion_of, images = np.unique(np.asarray(lesions), return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(lesion_of, weights=row, minlength=len(images)).astype(np.float64) for row in gap])
    return sums, images.astype(np.float64)


def components(sums: FloatArray, images: FloatArray) -> Components:
    """Estimates from mean squares, each unbiased before the lesions' is cut at 0 (Searle et al. 1992, section 4.3).

    Lesions weigh as many times as they have images, as in the mean itself.

    Args:
        sums: Differences summed over each lesion's images, (seeds, lesions), two lesions or more.
        images: Of each lesion, (lesions,).
    """
    seeds, lesions = sums.shape
    means = sums.sum(axis=1) / images.sum()
    centred = (sums - means[:, None] * images) / images.sum()  # (seeds, lesions), each row adds up to 0
    average = centred.mean(axis=0)
    correction = lesions / (lesions - 1)
    over_lesions = correction * float((average**2).sum())
    if seeds == 1:
        return Components(over_lesions, 0.0, 0.0, lesions - 1, 0)
    rest = correction * float(((centred - average) ** 2).sum()) / (seeds * (seeds - 1))
    return Components(max(over_lesions - rest, 0.0), float(means.var(ddof=1)) / seeds, rest, lesions - 1, seeds - 1)
