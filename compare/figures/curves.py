"""Curves: mean IoU over a number that a study varies, and what pretraining's loss did."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from compare.figures.boxes import marker
from compare.figures.drawing import MARKERS, NAMED, OTHERS, colours, legend, panel_grid, percent
from compare.figures.encoder_names import PREFIX
from compare.study.factors import level

STYLES = ["-", "--", ":", "-."]


def label_efficiency(table: pd.DataFrame, arms: list[str], settings: list[str]) -> Figure:
    """Mean IoU over label fraction, a line per arm with its 95 % interval; a panel per setting.

    Args:
        table: `arm_table` of a study.
        arms: All of them, which gives the colours.
        settings: Those to show.
    """
    axes, figure = panel_grid(len(settings), height=3.6)
    fractions = sorted(set(table["label_fraction"]))
    for axis, setting in zip(axes, settings, strict=True):
        _lines(axis, table[table["setting"] == setting], "label_fraction", colours(arms))
        axis.set_xscale("log")
        _ticks(axis, fractions, [percent(fraction) for fraction in fractions])
        axis.set_title(setting)
        axis.set_xlabel("share of the training labels")
    axes[0].set_ylabel("mean IoU")
    legend(figure, colours(arms))
    return figure


def factor_curves(table: pd.DataFrame, factor: str, arms: list[str], tints: dict[str, str] | None = None) -> Figure:
    """Mean IoU over a factor that is a number, such as the learning rate, with 95 % intervals.

    Args:
        table: A row per point: `arm`, `line` (what else varies, '' for nothing), `panel`, `jaccard`, `low`, `high`, and
            the factor's column.
        factor: 'lr', which gets a logarithmic axis, or 'image_size'.
        arms: All of them, which gives the colours; lines of one arm differ in their dashes.
        tints: Colours of their own, where these are no arms of the study.
    """
    tints = tints or colours(arms)
    titles = list(dict.fromkeys(table["panel"]))
    axes, figure = panel_grid(len(titles), height=3.6)
    lines = list(dict.fromkeys(table["line"]))
    levels = sorted(set(table[factor]))
    for axis, title in zip(axes, titles, strict=True):
        for style, line in enumerate(lines):
            rows = table[(table["panel"] == title) & (table["line"] == line)]
            _lines(axis, rows, factor, tints, STYLES[style % len(STYLES)])
        axis.set_xscale("log")
        _ticks(axis, levels, [level(factor, value).removesuffix(" px") for value in levels])
        axis.set_title(title)
        axis.set_xlabel({"lr": "learning rate", "image_size": "image size, pixels"}.get(factor, factor))
    axes[0].set_ylabel("mean IoU")
    if len(lines) > 1:
        for style, line in enumerate(lines):
            axes[-1].plot([], [], color="#7f7f7f", linestyle=STYLES[style % len(STYLES)], label=line)
        axes[-1].legend(frameon=False)
    legend(figure, tints)
    return figure


def loss_curves(curves: dict[str, pd.DataFrame]) -> Figure:
    """Pretraining loss over epochs, a line per run; one-epoch runs are points.

    Losses of two methods are different things, so that each has a panel and a scale of its own.

    Args:
        curves: metrics.csv of each run, by its name: `pretrain, simclr, resnet18, seed 0`.
    """
    methods = list(dict.fromkeys(method_in(name) for name in curves))
    axes, figure = panel_grid(len(methods), height=2.6, share=False)
    order = [*NAMED.values(), *OTHERS]
    for i, (name, metrics) in enumerate(curves.items()):
        rows, axis = metrics.dropna(subset=["loss"]), axes[methods.index(method_in(name))]
        colour, shape = order[i % len(order)], MARKERS[i % len(MARKERS)]
        label = name.removeprefix(f"pretrain, {method_in(name)}, ").removeprefix(PREFIX)
        axis.plot(rows["epoch"] + 1, rows["loss"], color=colour, marker=shape, markersize=4, label=label)
    for axis, method in zip(axes, methods, strict=True):
        axis.set_title(method)
        axis.set_xlabel("epochs")
        last = max(float(line.get_xdata().max()) for line in axis.lines)  # type: ignore[union-attr]
        axis.set_xlim(0.5, last + 0.5)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if len(axis.lines) > 1:
            axis.legend(frameon=False, fontsize=8)
    axes[0].set_ylabel("loss")
    return figure


def method_in(name: str) -> str:
    """The method in the name of a pretraining."""
    return name.split(", ")[1] if name.count(", ") else name


def _lines(axis: Axes, rows: pd.DataFrame, by: str, tints: dict[str, str], style: str = "-") -> None:
    arms = list(tints)
    for j, (arm, colour) in enumerate(tints.items()):
        own = rows[rows["arm"] == arm].sort_values(by)
        # a slight shift keeps intervals at one place apart where lines meet
        x = own[by].to_numpy(float) * 1.02 ** (j - (len(arms) - 1) / 2)
        axis.fill_between(x, own["low"], own["high"], color=colour, alpha=0.12, linewidth=0)
        axis.vlines(x, own["low"], own["high"], color=colour, linewidth=1.4)
        axis.plot(x, own["jaccard"], style, color=colour, marker=marker(arms, arm), markersize=5.5, linewidth=1.8)


def _ticks(axis: Axes, values: list[float], names: list[str]) -> None:
    """Ticks at the values alone, with air at both ends."""
    axis.set_xticks(values, names)
    axis.xaxis.set_minor_locator(NullLocator())
    air = float(np.sqrt(max(values[-1] / values[0], 1.5))) ** 0.25
    axis.set_xlim(values[0] / air, values[-1] * air)
