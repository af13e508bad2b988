"""Figures of the report, as drawings that a page can hold: scores by arm, label efficiency, contrasts, losses.

matplotlib is used through its objects alone, so drawing needs no display and is safe in threads.
"""

import base64
import io
from dataclasses import dataclass
from math import ceil

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullLocator

mpl.rcParams["svg.hashsalt"] = "dermssl"  # equal numbers give equal bytes

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/: told apart under every common colour blindness
NAMED = {"ssl": "#0072B2", "imagenet": "#E69F00", "random": "#009E73"}
OTHERS = ["#CC79A7", "#D55E00", "#56B4E9", "#000000", "#F0E442"]
MARKERS = "osD^vPX*"
INK, FAINT = "#222222", "#8a8a8a"
WIDTH = 10.0  # inches of a figure that fills the page


@dataclass(frozen=True)
class Drawing:
    """A figure for a page: its address, which holds the drawing itself, and its size in CSS pixels."""

    source: str
    width: int
    height: int


def drawing(figure: Figure) -> Drawing:
    """The figure as SVG in a data address, 96 CSS pixels to the inch."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    source = "data:image/svg+xml;base64," + base64.b64encode(text.getvalue().encode()).decode()
    return Drawing(source, round(figure.get_figwidth() * 96), round(figure.get_figheight() * 96))


def colours(arms: list[str]) -> dict[str, str]:
    """The colour of each arm, the same in every figure; ssl, imagenet and random always have theirs."""
    taken: dict[str, str] = {}
    for arm in arms:
        own = NAMED.get(arm.split(" (")[0])
        spare = [colour for colour in OTHERS if colour not in taken.values()] or OTHERS
        taken[arm] = own if own and own not in taken.values() else spare[0]
    return taken


def percent(fraction: float) -> str:
    """A share as a percentage, without digits that say nothing: 0.1 is '10 %', 0.005 is '0.5 %'."""
    return f"{100 * fraction:.3g} %"


def box_plots(scores: pd.DataFrame, arms: list[str], networks: list[str], titles: dict[float, str]) -> Figure:
    """Per-image IoU as a box per network and arm, every seed's mean as a point over it; a panel per label fraction."""
    axes, figure = _panels(len(titles), height=3.9, share=True)
    colour = colours(arms)
    step = 0.8 / max(len(arms), 1)
    for axis, (fraction, title) in zip(axes, titles.items(), strict=True):
        panel = scores[scores["label_fraction"] == fraction]
        for i, network in enumerate(networks):
            for j, arm in enumerate(arms):
                rows = panel[(panel["network"] == network) & (panel["arm"] == arm)]
                if len(rows):
                    _box(axis, rows, i + (j - (len(arms) - 1) / 2) * step, 0.82 * step, colour[arm], MARKERS[j % 8])
        axis.set_xticks(range(len(networks)), networks)
        axis.set_xlim(-0.5, len(networks) - 0.5)
        axis.set_title(title)
        axis.tick_params(axis="x", length=0)
    lowest = float(scores["jaccard"].min()) if len(scores) else 0.0
    axes[0].set_ylim(max(0.0, np.floor(lowest * 10) / 10 - 0.02), 1.02)
    axes[0].set_ylabel("IoU of an image")
    handles = [Patch(facecolor=f"{colour[arm]}59", edgecolor=colour[arm], label=arm) for arm in arms]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(arms), frameon=False)
    return figure


def label_efficiency(table: pd.DataFrame, arms: list[str], networks: list[str]) -> Figure:
    """Mean IoU over label fraction, a line per arm with its 95 % interval as a band; a panel per network."""
    axes, figure = _panels(len(networks), height=3.6, share=True)
    fractions = sorted(set(table["label_fraction"]))
    for axis, network in zip(axes, networks, strict=True):
        for j, arm in enumerate(arms):
            rows = table[(table["network"] == network) & (table["arm"] == arm)].sort_values("label_fraction")
            x, colour = rows["label_fraction"].to_numpy(), colours(arms)[arm]
            # a slight shift keeps intervals at one fraction apart where lines meet
            x = x * 1.03 ** (j - (len(arms) - 1) / 2)
            axis.fill_between(x, rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)
            axis.vlines(x, rows["low"], rows["high"], color=colour, linewidth=1.4)
            axis.plot(x, rows["jaccard"], color=colour, marker=MARKERS[j % 8], markersize=5.5, linewidth=1.8, label=arm)
        axis.set_xscale("log")
        axis.set_xticks(fractions, [percent(fraction) for fraction in fractions])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlim(fractions[0] / 1.25, fractions[-1] * 1.25)
        axis.set_title(network)
        axis.set_xlabel("share of the training labels")
    axes[0].set_ylabel("mean IoU")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(arms), frameon=False)
    return figure


def forest(table: pd.DataFrame, margin: float) -> Figure:
    """Differences with their 95 % intervals, pooled ones as diamonds; the shaded band is the equivalence margin."""
    rows = table[np.isfinite(table["difference"].to_numpy(dtype=float))].reset_index(drop=True)
    figure = Figure(figsize=(WIDTH, 1.1 + 0.3 * len(rows)), layout="constrained")
    axis = figure.subplots()
    axis.axvspan(-100 * margin, 100 * margin, color="#000000", alpha=0.07, linewidth=0)
    axis.axvline(0, color=INK, linewidth=0.9)
    for y, row in rows.iterrows():
        low, high, mean = (100 * float(row[name]) for name in ("low", "high", "difference"))
        axis.plot([low, high], [y, y], color=INK, linewidth=2.4 if row["pooled"] else 1.3, solid_capstyle="butt")
        axis.plot(mean, y, color=INK, marker="D" if row["pooled"] else "o", markersize=7 if row["pooled"] else 5)
    # rows are known only here, so the gap between the pooled ones and the cells is a line
    if rows["pooled"].nunique() > 1:
        axis.axhline(int(rows["pooled"].sum()) - 0.5, color=FAINT, linewidth=0.8, linestyle=":")
    axis.set_yticks(range(len(rows)), [_forest_label(row) for _, row in rows.iterrows()])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel("difference in points of IoU (first minus second), 95 % interval")
    right = axis.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), list(rows["verdict"]))
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    _tidy(axis)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#e6e6e6", linewidth=0.8)
    axis.grid(axis="y", visible=False)
    return figure


def loss_curves(curves: dict[str, pd.DataFrame]) -> Figure:
    """Pretraining loss over epochs, a line per run; one-epoch runs are points."""
    axes, figure = _panels(1, height=3.0, share=False)
    order = [*NAMED.values(), *OTHERS]
    for i, (name, metrics) in enumerate(curves.items()):
        rows = metrics.dropna(subset=["loss"])
        axes[0].plot(rows["epoch"], rows["loss"], color=order[i % 8], marker=MARKERS[i % 8], markersize=4, label=name)
    axes[0].set_xlabel("epoch")
    axes[0].set_ylabel("loss")
    axes[0].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].legend(frameon=False)
    return figure


def _panels(count: int, height: float, share: bool) -> tuple[list[Axes], Figure]:
    """That many tidy panels, at most three to a row."""
    columns = min(max(count, 1), 3)
    lines = ceil(max(count, 1) / columns)
    figure = Figure(figsize=(WIDTH if columns > 1 else 0.68 * WIDTH, height * lines + 0.2), layout="constrained")
    grid = figure.subplots(lines, columns, sharey=share, squeeze=False)
    axes: list[Axes] = list(grid.ravel())
    for axis in axes[:count]:
        _tidy(axis)
    for axis in axes[count:]:
        axis.remove()
    return axes[:count], figure


def _tidy(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(FAINT)
    axis.tick_params(color=FAINT)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)


def _box(axis: Axes, rows: pd.DataFrame, x: float, width: float, colour: str, marker: str) -> None:
    axis.boxplot(
        rows["jaccard"].dropna().to_numpy(),
        positions=[x],
        widths=width,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": f"{colour}40", "edgecolor": colour, "linewidth": 1.3},
        medianprops={"color": colour, "linewidth": 2.2},
        whiskerprops={"color": colour, "linewidth": 1.1},
        capprops={"color": colour, "linewidth": 1.1},
        flierprops={"marker": "o", "markersize": 2.2, "markerfacecolor": colour, "markeredgewidth": 0, "alpha": 0.6},
    )
    means = rows.groupby("seed")["jaccard"].mean().to_numpy()
    spread = (np.arange(len(means)) - (len(means) - 1) / 2) * min(0.25 * width, 0.8 * width / max(len(means), 1))
    axis.plot(
        x + spread, means, marker, color=colour, markersize=6, markeredgecolor="white", markeredgewidth=1, zorder=5
    )


def _forest_label(row: "pd.Series[str]") -> str:
    pair = f"{row['a']} − {row['b']}"  # noqa: RUF001 - a true minus sign
    fraction = float(row["label_fraction"])
    where = [row["network"]] if row["network"] != "all" else []
    where += [percent(fraction)] if np.isfinite(fraction) else []
    return f"{pair}   {', '.join(where) or 'pooled'}"
