"""The map: all images in two dimensions, neighbours in features beside each other, coloured by class."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dermssl.features.frozen import Features
from dermssl.scores.plots import in_legend
from probe.maps.columns import COLOUR, NUMBERS

NEIGHBOURS = 15  # umap-learn's own default
FEWEST_MAPPED = 4  # images: fewer have no neighbourhoods to lay out
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
"""Colours for colour-blind readers (https://jfly.uni-koeln.de/color/); yellow, faint on white, comes last."""
GREY = "#B0B0B0"
UNITS = {"age": "age, years", "lesion area": "lesion area, share of the picture"}


def umap_table(features: Features, image_ids: Sequence[str], labels: Mapping[str, str], seed: int) -> pd.DataFrame:
    """Places every image on the map (McInnes et al. 2018, https://arxiv.org/abs/1802.03426).

    Args:
        features: Features of all images, (N, C), N >= FEWEST_MAPPED.
        image_ids: Their ids, (N,).
        labels: Classes of those that have one.
        seed: Seed of the layout; equal features and seed give an equal map on one machine.

    Returns:
        image_id, x, y and label, "" where there is none. Distances between far groups mean nothing.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tensorflow not installed", ImportWarning)  # a network we do not use
        from umap import UMAP  # takes seconds
    # Cosine, as the neighbours' vote. From principal components, since spectral layouts need more than a few images.
    layout = UMAP(
        n_neighbors=min(NEIGHBOURS, len(features) - 1), metric="cosine", init="pca", random_state=seed, n_jobs=1
    )
    places = layout.fit_transform(features)
    return pd.DataFrame(
        {"image_id": image_ids, "x": places[:, 0], "y": places[:, 1], "label": [labels.get(i, "") for i in image_ids]}
    )


def umap_figure(table: pd.DataFrame, title: str, legend: str) -> Figure:
    """The map as a figure for a page's width, coloured by class.

    Args:
        table: What `umap_table` returns.
        title: What was mapped.
        legend: What the classes are.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    plot_words(axes, table, table["label"].tolist(), legend)
    axes.set_title(title, fontsize=10, loc="left")
    hide_ticks(axes)
    return figure


def columns_figure(table: pd.DataFrame, columns: pd.DataFrame, title: str) -> Figure:
    """The map once for every column of `probe.maps.columns.columns_of`, three in a line.

    Words have colours of their own, numbers a scale, and the mean colour is the pictures' own.
    """
    names = [name for name in columns.columns if name != "image_id"]
    lines = -(-len(names) // 3)
    figure = Figure(figsize=(13.2, 3.9 * lines + 0.5), layout="constrained")
    grid = figure.subplots(lines, 3, squeeze=False)
    for axes in grid.ravel()[len(names) :]:
        axes.set_axis_off()
    for axes, name in zip(grid.ravel(), names, strict=False):
        values = columns[name]
        if name == COLOUR:
            axes.scatter(table["x"], table["y"], s=point_area(table), c=values.tolist(), linewidths=0)
        elif name in NUMBERS:
            plot_numbers(axes, table, values.to_numpy(float), name)
        else:
            plot_words(axes, table, values.tolist(), name)
        axes.set_title(name, fontsize=10, loc="left")
        hide_ticks(axes)
    figure.suptitle(title, fontsize=11)
    return figure


def plot_words(axes: Axes, table: pd.DataFrame, labels: Sequence[str], legend: str) -> None:
    """A point an image; frequent words are drawn first, so that rare ones lie on top, and beyond eight share a grey."""
    groups = legend_colours(labels)
    names = pd.Series([legend_group(label, groups) for label in labels], index=table.index)
    area = point_area(table)
    for name, colour in groups.items():
        part = table[names == name]
        label = f"{in_legend(name)} ({len(part)})"
        axes.scatter(part["x"], part["y"], s=area, c=colour, label=label, edgecolors="white",
                     linewidths=0.3, alpha=0.9)  # fmt: skip
    if len(groups) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title=legend, frameon=False, fontsize=8,
                    title_fontsize=8, alignment="left", handletextpad=0.2, markerscale=(28 / area) ** 0.5)  # fmt: skip


def plot_numbers(axes: Axes, table: pd.DataFrame, values: NDArray[np.float64], name: str) -> None:
    """A point an image, from the lowest twentieth of the values to the highest; grey where there is none."""
    finite = np.isfinite(values)
    low, high = np.quantile(values[finite], [0.05, 0.95])
    axes.scatter(table["x"][~finite], table["y"][~finite], s=point_area(table), c=GREY, linewidths=0)
    points = axes.scatter(table["x"][finite], table["y"][finite], s=point_area(table), c=values[finite], cmap="cividis",
                         vmin=low, vmax=high, linewidths=0)  # fmt: skip
    axes.figure.colorbar(points, ax=axes, shrink=0.7, label=UNITS.get(name, name))


def point_area(table: pd.DataFrame) -> float:
    """The area of a point, in points squared: small enough to leave white between groups."""
    return float(np.clip(9000 / len(table), 3, 28))


def hide_ticks(axes: Axes) -> None:
    """No ticks, for the numbers mean nothing, and a step as long in x as in y."""
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[["top", "right"]].set_visible(False)


OTHER, NONE = "other", "no class"


def legend_colours(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each group in the legend, images without a class first, then from frequent to rare."""
    counts = Counter(label for label in labels if label)
    names = [name for name, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]
    room = len(OKABE_ITO)
    colours = {NONE: GREY} if "" in labels and names else {}
    if not names:
        return {NONE: OKABE_ITO[0]}
    if len(names) <= room:
        return colours | dict(zip(names, OKABE_ITO, strict=False))
    return colours | dict(zip(names, OKABE_ITO[: room - 1], strict=False)) | {OTHER: GREY}


def legend_group(label: str, groups: Mapping[str, str]) -> str:
    """The group of the legend that a label belongs to."""
    return NONE if not label else label if label in groups else OTHER
