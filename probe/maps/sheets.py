"""Sheets of pictures: who an encoder takes for whose neighbour, and which strangers look like one lesion."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dermssl.data.pixel_cache import PixelCache
from dermssl.features.frozen import Features
from dermssl.features.neighbours import nearest_neighbours
from dermssl.scores.thumbnails import thumbnail

SAME, OTHER, UNKNOWN = "#0072B2", "#D55E00", "#999999"  # colours of Okabe and Ito, told apart in colour blindness
QUERIES, NEIGHBOURS, PAIRS, LISTED = 10, 6, 12, 200
SIDE = 96  # pixels of a thumbnail


class Album(NamedTuple):
    """The images that sheets are made of, all in one order."""

    image_ids: Sequence[str]
    lesions: NDArray[np.str_]
    classes: Sequence[str]
    """'' where unknown."""
    pictures: PixelCache


def strangers_first(features: Features, lesions: NDArray[np.str_], k: int) -> tuple[NDArray[np.int64], Features]:
    """The nearest images of other lesions of each image, (N, k) rows and cosines; -1 and nan where there are none."""
    most = int(np.unique(lesions, return_counts=True)[1].max())  # an image's own lesion may take the first places
    near = nearest_neighbours(features, features, min(len(features), k + most))
    rows = np.full((len(features), k), -1, np.int64)
    cosines = np.full((len(features), k), np.nan, np.float32)
    for image, (others, values) in enumerate(zip(near.rows, near.similarities, strict=True)):
        strange = np.flatnonzero((lesions[others] != lesions[image]) & (others >= 0))[:k]
        rows[image, : len(strange)], cosines[image, : len(strange)] = others[strange], values[strange]
    return rows, cosines


def stranger_table(features: Features, album: Album) -> pd.DataFrame:
    """The pairs of images of two lesions that lie nearest, nearest first: a duplicate that no id tells of comes first.

    Returns:
        image_a, image_b, lesion_a, lesion_b, class_a, class_b and cosine; at most 200 pairs, each once.
    """
    rows, cosines = strangers_first(features, album.lesions, 3)
    a = np.repeat(np.arange(len(features)), rows.shape[1])
    pairs = pd.DataFrame({"a": a, "b": rows.ravel(), "cosine": cosines.ravel()}).dropna()
    pairs[["a", "b"]] = np.sort(pairs[["a", "b"]].to_numpy(), axis=1)
    pairs = pairs.drop_duplicates(["a", "b"]).nlargest(LISTED, "cosine")
    named = {"image": [*album.image_ids], "lesion": album.lesions.tolist(), "class": [*album.classes]}
    columns = {
        f"{name}_{side}": [values[row] for row in pairs[side]] for name, values in named.items() for side in "ab"
    }
    return pd.DataFrame({**columns, "cosine": pairs["cosine"].to_numpy()})


def neighbour_figure(features: Features, album: Album, seed: int, title: str) -> Figure:
    """Ten images drawn by the seed, each with its six nearest of other lesions; frames say whether classes agree."""
    count = min(QUERIES, len(features))
    chosen = np.sort(np.random.default_rng([seed, 0x5EE]).permutation(len(features))[:count])
    rows, cosines = strangers_first(features, album.lesions, NEIGHBOURS)
    figure = Figure(figsize=(1.25 * (NEIGHBOURS + 1), 1.2 * count + 0.6), layout="constrained")
    grid = figure.subplots(count, NEIGHBOURS + 1, squeeze=False)
    for line, image in zip(grid, chosen, strict=True):
        show_picture(line[0], album, int(image), album.classes[image] or album.image_ids[image], "black")
        for axes, row, cosine in zip(line[1:], rows[image], cosines[image], strict=True):
            if row < 0:
                axes.set_axis_off()
                continue
            both_known = album.classes[image] and album.classes[row]
            colour = UNKNOWN if not both_known else SAME if album.classes[image] == album.classes[row] else OTHER
            show_picture(axes, album, int(row), f"{album.classes[row]} {cosine:.2f}".strip(), colour)
    frames = "; frame blue: same class, orange: another" if any(album.classes) else ""
    figure.suptitle(
        f"{title}\nleft: an image, right: its nearest of other lesions, with the cosine{frames}", fontsize=9
    )
    return figure


def stranger_figure(table: pd.DataFrame, album: Album, title: str) -> Figure:
    """The twelve nearest pairs of `stranger_table`, four in a line."""
    first = table.head(PAIRS)
    lines = max(1, -(-len(first) // 4))
    figure = Figure(figsize=(10.4, 1.4 * lines + 0.6), layout="constrained")
    grid = figure.subplots(lines, 8, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    row_of = {image: row for row, image in enumerate(album.image_ids)}
    for place, (a, b, cosine) in enumerate(zip(first["image_a"], first["image_b"], first["cosine"], strict=True)):
        left, right = grid[place // 4, 2 * (place % 4) : 2 * (place % 4) + 2]
        show_picture(left, album, row_of[a], a, UNKNOWN)
        show_picture(right, album, row_of[b], f"{b}\n{cosine:.3f}", UNKNOWN)
    figure.suptitle(f"{title}\npairs of two lesions that lie nearest: the same lesion under two ids?", fontsize=9)
    return figure


def show_picture(axes: Axes, album: Album, row: int, name: str, colour: str) -> None:
    """A picture with its name over it and a frame."""
    axes.set_axis_on()
    axes.imshow(thumbnail(album.pictures[row], SIDE))
    axes.set(xticks=[], yticks=[])
    axes.set_title(name, fontsize=7, pad=2)
    for side in axes.spines.values():
        side.set(color=colour, linewidth=2.5)
