"""Failures: the share of images that an arm segments so badly that it counts as nothing."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

from compare.figures.drawing import FAINT, GRID, INK, PAPER, WIDTH, colours, percent
from compare.records.study import Study
from compare.statistics.decisions import FloatArray
from compare.statistics.pairs import complete_pairs
from compare.tables.arms import FAILURE
from dermssl.scores.plots import plain_frame

ROW, LETTER = 0.26, 0.08  # inches: a line, a letter of a name


def seed_failures(study: Study) -> pd.DataFrame:
    """Share of images with an IoU below 0.65 under every seed, over the images that all seeds of an arm scored.

    Returns:
        A row per arm, cell and seed: `arm`, `setting`, `label_fraction`, `seed`, `failure_rate`. The mean over the
        seeds of an arm in a cell is `failure_rate` of the table of arms.
    """
    rows = []
    for arm in study.levels("arm"):
        for cell, scores in zip(study.cells, study.jaccard(arm)[:, None], strict=True):  # (1, seeds, images)
            pairs = complete_pairs(scores, scores)
            if pairs.scores_a.size:
                rates = (pairs.scores_a < FAILURE).mean(axis=1)
                rows += [(arm, *cell, *pair) for pair in zip(np.array(study.seeds)[pairs.seeds], rates, strict=True)]
    return pd.DataFrame(rows, columns=["arm", "setting", "label_fraction", "seed", "failure_rate"])


def failure_dots(rates: pd.DataFrame, arms: list[str], settings: list[str]) -> Figure:
    """A line per setting and arm: a point per seed and a bar at their mean; a panel per label fraction.

    Args:
        rates: `seed_failures`, one row at least. A line without any says that it has no scores.
        arms: All of them, which gives the colours.
        settings: All of them; a single one goes without its name.
    """
    fractions = sorted(set(rates["label_fraction"]))
    names = _line_names(arms, settings)
    axes, figure = _panels(len(fractions), ROW * len(names), LETTER * max(map(len, arms)))
    for axis, fraction in zip(axes, fractions, strict=True):
        panel = rates[rates["label_fraction"] == fraction]
        for y, (setting, arm) in enumerate(names):
            if arm:
                own = panel[(panel["setting"] == setting) & (panel["arm"] == arm)]["failure_rate"].to_numpy(float)
                _dots(axis, own, y, colours(arms)[arm])
        _dress(axis, names, float(rates["failure_rate"].max()))
        axis.set_title(f"{percent(fraction)} of the labels")
    figure.supxlabel(f"share of images with IoU below {FAILURE}", fontsize=10)
    return figure


def _panels(count: int, height: float, side: float) -> tuple[list[Axes], Figure]:
    """That many panels with lines of one height, four to a row at most, and names of one width at their left."""
    lines = ceil(count / 4)
    columns = ceil(count / lines)
    width = min(WIDTH, 0.5 + side + (3.6 if columns == 1 else 2.1 * columns))
    figure = Figure(figsize=(width, 0.2 + (0.8 + height) * lines), layout=ConstrainedLayoutEngine(wspace=0.05))
    axes: list[Axes] = list(figure.subplots(lines, columns, sharey=True, squeeze=False).ravel())
    for axis in axes[:count]:
        plain_frame(axis, colour=FAINT)
    for axis in axes[count:]:
        axis.remove()
    return axes[:count], figure


def _line_names(arms: Sequence[str], settings: Sequence[str]) -> list[tuple[str, str]]:
    """The lines from top to bottom as setting and arm; a setting's own name, where there are several, has no arm."""
    title = [""] if len(settings) > 1 else []
    return [(setting, arm) for setting in settings for arm in (*title, *arms)]


def _dots(axis: Axes, rates: FloatArray, y: int, colour: str) -> None:
    if not len(rates):
        axis.text(0, y, "no scores", va="center", color=INK, fontsize=8.5, style="italic")
        return
    spread = np.linspace(-0.28, 0.28, len(rates)) if len(rates) > 1 else np.zeros(1)  # equal ones hide no other
    axis.plot([rates.mean()] * 2, [y - 0.4, y + 0.4], color=colour, linewidth=2.4, solid_capstyle="butt")
    axis.plot(rates, y + spread, "o", color=colour, markersize=5, markeredgecolor=PAPER, markeredgewidth=0.7, zorder=5)


def _dress(axis: Axes, names: Sequence[tuple[str, str]], most: float) -> None:
    """Names the lines, and begins the scale at 0."""
    own = [y for y, (_, arm) in enumerate(names) if arm]
    axis.set_yticks(own, [names[y][1] for y in own])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_xlim(-0.03 * most, 1.06 * most)
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: percent(rate)))
    axis.grid(axis="x", color=GRID, linewidth=0.8)
    ground = {"facecolor": PAPER, "edgecolor": "none", "pad": 1.5}
    for y, (setting, arm) in enumerate(names):
        if not arm and axis.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            title = axis.text(0, y, setting, va="center", color=INK, weight="bold", bbox=ground, zorder=6)
            title.set_in_layout(False)
