"""Critical-difference diagram: arms on a scale of mean ranks, with bars over those that cannot be told apart."""

from math import ceil

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare.figures.boxes import marker
from compare.figures.drawing import FAINT, INK, colours
from compare.statistics.critical_difference import CriticalDifference

SCALE = 2.6  # inches from the first rank to the last
LINE, STEP, OVER = 0.25, 0.12, 0.025  # inches: between labels, between bars, of a bar beyond its arms
LETTER = 0.08  # inches of a label's letter at most, on average
NUMBERS = 12  # of the scale that have room


def critical_difference_diagram(ranked: CriticalDifference, arms: list[str]) -> Figure:
    """Mean ranks on a scale with the best at the left, and the critical difference as a ruler over it (Demšar 2006).

    Each arm hangs from its place on the scale, the better half at the left. A thick bar joins arms that Nemenyi's test
    cannot tell apart. The ruler may be longer than the scale, and then all arms are joined whatever they scored.

    Args:
        ranked: Of two arms or more over two cells or more.
        arms: All of them, which gives the colours.
    """
    last = len(ranked.ranks)
    bars = _bar_levels(ranked)
    top = 0.16 + STEP * (max(bars, default=-1) + 1)  # of the labels, inches below the scale
    names, half = ranked.ranks["arm"].tolist(), ceil(last / 2)
    left, right = (0.35 + LETTER * max(12, *map(len, side)) for side in (names[:half], names[half:]))
    above, below = 1.0, top + LINE * (half - 0.4)
    figure = Figure(figsize=(left + SCALE + right, above + below))
    axis = figure.add_axes((0, 0, 1, 1))
    inch = (last - 1) / SCALE  # in ranks; y is in inches
    axis.set_xlim(1 - left * inch, last + right * inch)
    axis.set_ylim(below, -above)
    axis.axis("off")
    _draw_scale(axis, ranked)
    for level, group in zip(bars, ranked.groups, strict=True):
        ranks = ranked.ranks.loc[ranked.ranks["arm"].isin(group), "mean_rank"]
        ends = ranks.min() - OVER * inch, ranks.max() + OVER * inch
        axis.plot(ends, [0.16 + STEP * level] * 2, color=INK, linewidth=5, solid_capstyle="butt", label="bar")
    _labels(axis, ranked, arms, top)
    return figure


def _bar_levels(ranked: CriticalDifference) -> list[int]:
    """How far down the bar of each group is: those that would touch stand one below the other."""
    rank = dict(zip(ranked.ranks["arm"], ranked.ranks["mean_rank"], strict=True))
    apart = 3 * OVER * (len(rank) - 1) / SCALE
    ends: list[float] = []  # rank at which the last bar of each level ends
    levels = []
    for group in ranked.groups:
        level = next((i for i, end in enumerate(ends) if rank[group[0]] - end > apart), len(ends))
        ends[level : level + 1] = [rank[group[-1]]]
        levels.append(level)
    return levels


def _draw_scale(axis: Axes, ranked: CriticalDifference) -> None:
    """The scale with its numbers, and the ruler over it from the first rank on."""
    last = len(ranked.ranks)
    axis.plot([1, last], [0, 0], color=INK, linewidth=1.2, label="scale")
    for rank in range(1, last + 1):
        axis.plot([rank, rank], [-0.07, 0], color=INK, linewidth=1.2)
        if (rank - 1) % ceil(last / NUMBERS) == 0:
            axis.text(rank, -0.11, str(rank), ha="center", va="bottom", color=INK)
    near = 0.14 * (last - 1) / SCALE
    axis.text(1 - near, -0.11, "best", ha="right", va="bottom", color=INK, style="italic")
    axis.text(last + near, -0.11, "worst", ha="left", va="bottom", color=INK, style="italic")
    end = 1 + ranked.distance
    axis.plot(
        [1, 1, 1, end, end, end], [-0.5, -0.64, -0.57, -0.57, -0.64, -0.5], color=INK, linewidth=1.2, label="ruler"
    )
    axis.text(1, -0.72, f"critical difference {ranked.distance:.2f}", ha="left", va="bottom", color=INK)


def _labels(axis: Axes, ranked: CriticalDifference, arms: list[str], top: float) -> None:
    """A line from each arm's place on the scale to its name; the better half turns left, so that no two lines cross."""
    last, colour = len(ranked.ranks), colours(arms)
    inch, half = (last - 1) / SCALE, ceil(last / 2)
    for i, (name, rank) in enumerate(zip(ranked.ranks["arm"], ranked.ranks["mean_rank"], strict=True)):
        y = top + LINE * (i if i < half else last - 1 - i)
        edge, away, align = (1, -inch, "right") if i < half else (last, inch, "left")
        axis.plot([rank, rank, edge + 0.1 * away], [0, y, y], color=FAINT, linewidth=1.1, zorder=1, label=name)
        axis.plot(edge + 0.1 * away, y, marker(arms, name), color=colour[name], markersize=6.5)
        axis.text(edge + 0.2 * away, y, name, ha=align, va="center", color=INK, fontsize=11)
