"""The map: all images in two dimensions, neighbours in features beside each other, coloured by class."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dermssl.frozen import Features

NEIGHBOURS = 15  # umap-learn's own default
FEWEST = 4  # images: fewer have no neighbourhoods to lay out
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#F0E442")
"""Colours for colour-blind readers (https://jfly.uni-koeln.de/color/); yellow, faint on white, comes last."""
GREY = "#B0B0B0"


def umap_table(features: Features, image_ids: Sequence[str], labels: Mapping[str, str], seed: int) -> pd.DataFrame:
    """Places every image on the map (McInnes et al. 2018, https://arxiv.org/abs/1802.03426).

    Args:
        features: Of all images, (N, C), N >= FEWEST.
        image_ids: Their ids, (N,).
        labels: Classes of those that have one.
        seed: Of the layout; equal features and seed give an equal map on one machine.

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
    """The map as a figure for a page's width.

    Frequent classes are drawn first, so that rare ones lie on top; beyond eight classes the rarest share a grey.

    Args:
        table: Of `umap_table`.
        title: What was mapped.
        legend: What the classes are.
    """
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    area = float(np.clip(9000 / len(table), 3, 28))  # points squared: small enough to leave white between groups
    groups = grouped(table["label"].tolist())
    names = table["label"].map(lambda label: shown(label, groups))
    for name, colour in groups.items():
        part = table[names == name]
        axes.scatter(part["x"], part["y"], s=area, c=colour, label=f"{name} ({len(part)})", edgecolors="white",
                     linewidths=0.3, alpha=0.9)  # fmt: skip
    axes.set(xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    axes.set_aspect("equal", adjustable="datalim")  # the map fills the figure, and a step is as long in x as in y
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    if len(groups) > 1:
        figure.legend(loc="outside right upper", title=legend, frameon=False, fontsize=9, title_fontsize=9,
                      alignment="left", handletextpad=0.2, markerscale=(28 / area) ** 0.5)  # fmt: skip
    return figure


OTHER, NONE = "other", "no class"


def grouped(labels: Sequence[str]) -> dict[str, str]:
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


def shown(label: str, groups: Mapping[str, str]) -> str:
    """The group of the legend that a label belongs to."""
    return NONE if not label else label if label in groups else OTHER
