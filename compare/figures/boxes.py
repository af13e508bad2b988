"""Box plots of a study: IoU of runs by the level of each factor, and IoU of images by arm."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare.figures.drawing import LARGER, MARKERS, PAPER, colours, legend, panel_grid

FEW = 5  # runs; fewer make no quartiles worth drawing, so they are points alone
SPOKEN = {"lr": "learning rate"}
LONG = 14  # letters of a level's name that still stand side by side


def run_boxes(runs: pd.DataFrame, factors: Sequence[str], arms: list[str]) -> Figure:
    """IoU of runs by level, a panel per factor: what the choice of each changes, all else mixed in.

    Args:
        runs: A row per run: `arm`, `jaccard` (its mean IoU) and a column per factor, whose levels keep their order.
        factors: At least one, and 'arm' for the arms themselves.
        arms: All of them, which gives the colours.
    """
    axes, figure = panel_grid(len(factors), height=3.6, narrow=len(factors) == 1)
    colour = colours(arms)
    for axis, factor in zip(axes, factors, strict=True):
        groups = [""] if factor == "arm" else arms
        step = 0.8 / len(groups)
        levels = arms if factor == "arm" else list(dict.fromkeys(runs[factor]))
        for i, level in enumerate(levels):
            for j, group in enumerate(groups):
                arm = level if factor == "arm" else group
                rows = runs[(runs[factor] == level) & (runs["arm"] == arm)]
                place = i + (j - (len(groups) - 1) / 2) * step
                _run_box(axis, rows["jaccard"].to_numpy(float), place, (0.82 * step, colour[arm], marker(arms, arm)))
        name_levels(axis, levels)
        axis.set_title(SPOKEN.get(factor, factor).replace("_", " "))
    axes[0].set_ylabel("mean IoU of a run")
    legend(figure, colour)
    return figure


def image_boxes(scores: pd.DataFrame, arms: list[str], settings: list[str], titles: dict[float, str]) -> Figure:
    """IoU of images as a box per setting and arm, every seed's mean as a point over it; a panel per label fraction."""
    axes, figure = panel_grid(len(titles), height=3.9)
    colour = colours(arms)
    step = 0.8 / max(len(arms), 1)
    for axis, (fraction, title) in zip(axes, titles.items(), strict=True):
        panel = scores[scores["label_fraction"] == fraction]
        for i, setting in enumerate(settings):
            for j, arm in enumerate(arms):
                rows = panel[(panel["setting"] == setting) & (panel["arm"] == arm)]
                place = i + (j - (len(arms) - 1) / 2) * step
                _image_box(axis, rows, place, (0.82 * step, colour[arm], marker(arms, arm)))
        name_levels(axis, settings)
        axis.set_title(title)
    lowest = float(scores["jaccard"].min()) if len(scores) else 0.0
    axes[0].set_ylim(max(0.0, np.floor(lowest * 10) / 10 - 0.02), 1.02)
    axes[0].set_ylabel("IoU of an image")
    legend(figure, colour)
    return figure


def marker(arms: list[str], arm: str) -> str:
    """An arm's marker, so that colour is not all that tells it from others."""
    return MARKERS[arms.index(arm) % len(MARKERS)]


def name_levels(axis: Axes, levels: Sequence[object]) -> None:
    """Names the places 0, 1, ... of the axis; long names or many are turned."""
    names = [str(level) for level in levels]
    turned = len(names) > 1 and max(map(len, names)) * len(names) > 2.5 * LONG
    words = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_xticks(range(len(names)), names, **words)  # type: ignore[arg-type]
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.tick_params(axis="x", length=0)


Look = tuple[float, str, str]  # width, colour, marker


def _run_box(axis: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]], x: float, look: Look) -> None:
    width, colour, _ = look
    if len(values) >= FEW:
        _box(axis, values, x, look, fliers=False)
    elif len(values):
        axis.hlines(values.mean(), x - width / 2, x + width / 2, color=colour, linewidth=2.2)
    _points(axis, values, x, look, size=4.5)


def _image_box(axis: Axes, rows: pd.DataFrame, x: float, look: Look) -> None:
    if len(rows):
        _box(axis, rows["jaccard"].dropna().to_numpy(), x, look, fliers=True)
        _points(axis, rows.groupby("seed")["jaccard"].mean().to_numpy(), x, look, size=6)


def _box(axis: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]], x: float, look: Look, fliers: bool) -> None:
    width, colour, _ = look
    thin = {"color": colour, "linewidth": 1.1}
    axis.boxplot(
        values,
        positions=[x],
        widths=width,
        manage_ticks=False,
        patch_artist=True,
        showfliers=fliers,
        boxprops={"facecolor": f"{colour}40", "edgecolor": colour, "linewidth": 1.3},
        medianprops={"color": colour, "linewidth": 2.2},
        whiskerprops=thin,
        capprops=thin,
        flierprops={"marker": "o", "markersize": 2.2, "markerfacecolor": colour, "markeredgewidth": 0, "alpha": 0.6},
    )


def _points(
    axis: Axes, values: np.ndarray[tuple[int], np.dtype[np.float64]], x: float, look: Look, size: float
) -> None:
    width, colour, shape = look
    spread = (np.arange(len(values)) - (len(values) - 1) / 2) * min(0.25 * width, 0.8 * width / max(len(values), 1))
    size *= LARGER.get(shape, 1.0)
    axis.plot(
        x + spread, values, shape, color=colour, markersize=size, markeredgecolor=PAPER, markeredgewidth=0.6, zorder=5
    )
