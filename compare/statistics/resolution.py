"""What a study that has not been run could find: its power, and the smallest difference that it resolves."""

from dataclasses import dataclass
from math import inf

import numpy as np
from scipy import optimize, stats

from compare.statistics.paired import Components, FloatArray, seed_part

NODES = 64  # of each of the two distributions that are averaged over
FEW = 16  # of them at which the width of an interval is solved for


@dataclass(frozen=True, kw_only=True)
class Design:
    """The size of a comparison, and how much differences vary in it.

    The spreads are standard deviations of the difference of two arms, in shares of IoU. The defaults are near what
    ISIC 2018 gave at full size between two pretrained inits (519 images, three seeds); against random weights
    differences vary several times as much. `components` measures them in a study that was run.
    """

    lesions: int
    images: int
    """At least one a lesion."""
    seeds: int
    lesion_spread: float = 0.02
    """Between lesions, of what every training would repeat."""
    seed_spread: float = 0.003
    """Between trainings, of their mean over all lesions."""
    rest_spread: float = 0.06
    """Between images under one seed, of what another training would not repeat."""

    def __post_init__(self) -> None:
        if self.lesions < 2 or self.images < self.lesions or self.seeds < 1:
            raise ValueError(
                f"a design has two lesions or more, an image or more of each and a seed or more; "
                f"got {self.lesions} lesions, {self.images} images and {self.seeds} seeds"
            )

    @property
    def components(self) -> Components:
        """What `compare.statistics.paired.components` gives on average in this design."""
        rest = self.rest_spread**2 / (self.seeds * self.images)
        lesions = self.lesion_spread**2 / self.lesions
        if self.seeds == 1:
            return Components(lesions + rest, 0.0, 0.0, self.lesions - 1, 0)
        return Components(lesions, self.seed_spread**2 / self.seeds + rest, rest, self.lesions - 1, self.seeds - 1)


def resolvable_difference(parts: Components, power: float = 0.8, family: int = 1) -> float:
    """The smallest true difference that is called better or worse with probability `power`.

    Not a multiple of the standard error, since with few seeds the width of the interval is itself drawn: power is
    averaged over it. inf for a single seed, whose verdict is always undecided, and where it would be more than a whole.

    Args:
        parts: Of a design (`Design.components`), or of a study that was run; in shares of IoU.
        power: In (0, 1).
        family: Contrasts among which p is adjusted: it must pass Holm's first step, which asks for 0.05 / family.
    """
    if not parts.seed_freedom:
        return inf
    widths, error = _half_widths(parts, 1 - 0.05 / family, fisher=family > 1), parts.standard_error
    if error == 0:
        return 0.0
    highest = 10 * float(widths.max())
    difference = float(optimize.brentq(lambda d: _power(d, widths, error) - power, 0.0, highest, xtol=1e-4 * error))
    return difference if difference < 1 else inf


def power(parts: Components, difference: float, level: float = 0.95) -> float:
    """Probability that the interval excludes 0 where the true difference is `difference`; 0 for one seed."""
    if not parts.seed_freedom:
        return 0.0
    return _power(difference, _half_widths(parts, level), parts.standard_error)


def half_width(parts: Components, level: float = 0.95, *, fisher: bool = False) -> float:
    """Half of the interval that the bootstrap would give for many lesions with these components."""
    seeds = seed_part(parts, fisher)
    steps = (np.arange(NODES) + 0.5) / NODES
    lesions = np.sqrt(parts.lesions) * stats.t.ppf(steps, parts.lesion_freedom)
    widest = stats.t.isf((1 - level) / 4, parts.lesion_freedom) * np.sqrt(parts.lesions)
    if parts.seeds == 0:
        return float(stats.t.isf((1 - level) / 2, parts.lesion_freedom) * np.sqrt(parts.lesions))
    widest += stats.t.isf((1 - level) / 4, parts.seed_freedom) * np.sqrt(parts.seeds)
    tail = (1 - level) / 2
    return float(optimize.brentq(lambda x: seeds.cdf(lesions - x).mean() - tail, 0.0, widest, xtol=1e-5 * widest))


def _half_widths(parts: Components, level: float, *, fisher: bool = False) -> FloatArray:
    """Half widths over the variances that seeds may happen to show, each as likely as the next, (NODES,)."""
    steps = (np.arange(NODES) + 0.5) / NODES
    shown = parts.seeds * stats.chi2.ppf(steps, parts.seed_freedom) / parts.seed_freedom
    few = shown[np.linspace(0, NODES - 1, FEW).astype(int)]  # it is smooth between them
    widths = [half_width(parts._replace(seeds=float(seeds)), level, fisher=fisher) for seeds in few]
    return np.asarray(np.interp(shown, few, widths))


def _power(difference: float, widths: FloatArray, error: float) -> float:
    beyond = stats.norm.sf((widths - difference) / error) + stats.norm.cdf((-widths - difference) / error)
    return float(beyond.mean())
