"""The primary contrast as a strip on the first screen: a point with its interval, the margin, and no difference."""

from dataclasses import dataclass
from math import isfinite

import pandas as pd
from matplotlib.ticker import MaxNLocator

AIR = 0.08  # of the strip at each end, beyond all that it shows


@dataclass(frozen=True)
class Strip:
    """Places along the strip, percent of its width, and the numbers under it, points of IoU."""

    mean: float
    low: float
    high: float
    zero: float
    margin_low: float
    margin_high: float
    ticks: list[tuple[float, str]]


def strip(row: "pd.Series[float]", margin: float) -> Strip | None:
    """Where everything of one contrast lies; without an interval, its ends are at the point. None without a difference.

    Args:
        row: Of `contrast_table`.
        margin: Of equivalence, share of IoU.
    """
    mean = float(row["difference"])
    if not isfinite(mean):
        return None
    low, high = (float(row[name]) if isfinite(row[name]) else mean for name in ("low", "high"))
    left, right = min(low, -margin), max(high, margin)
    left, right = left - AIR * (right - left), right + AIR * (right - left)

    def place(value: float) -> float:
        return round(100 * (value - left) / (right - left), 2)

    numbers = [float(tick) / 100 for tick in MaxNLocator(5).tick_values(100 * left, 100 * right)]
    inside = [tick for tick in numbers if left < tick < right]
    coarse = all(round(100 * tick) == round(100 * tick, 3) for tick in inside)
    ticks = [(place(tick), _tick(100 * tick, 0 if coarse else 1)) for tick in inside]
    zero, ends = place(0.0), (place(-margin), place(margin))
    return Strip(place(mean), place(low), place(high), zero, *ends, ticks)


def _tick(value: float, digits: int) -> str:
    """A number under the strip, points: no sign for none."""
    return "0" if abs(value) < 1e-9 else f"{value:+.{digits}f}".replace("-", "−")  # noqa: RUF001
