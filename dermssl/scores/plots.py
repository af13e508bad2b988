"""Figures that several commands draw: pictures with outlines, plain axes, and how a figure is saved.

matplotlib is used through its objects alone, so drawing needs no display and is safe in threads.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import Formatter

from dermssl.data.images import Pixels
from dermssl.errors import in_one_line
from dermssl.files import whole_file
from dermssl.scores.thumbnails import with_outlines

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/: told apart under every common colour blindness
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
INK, FAINT, GRID = "#222222", "#767676", "#e6e6e6"

LEGEND_ROOM = 60  # letters
COLUMNS = 4  # pictures beside each other: more are too small on a page


class OutlinedPicture(NamedTuple):
    """A picture of a figure with both its masks, all as thumbnails of one size, and their Jaccard."""

    image: Pixels
    truth: Pixels
    prediction: Pixels
    jaccard: float
    name: str = ""


def predictions_figure(groups: Mapping[str, Sequence[OutlinedPicture]], images: int, title: str = "") -> Figure:
    """Pictures with outlines, in groups such as the best, the median and the worst of `images`, four to a row."""
    columns = min(COLUMNS, max(map(len, groups.values())))
    rows = [(name, group[i : i + columns]) for name, group in groups.items() for i in range(0, len(group), columns)]
    tallest = max(image.shape[0] / image.shape[1] for group in groups.values() for image, *_ in group)
    size = (2.45 * max(columns, 3), (2.4 * min(tallest, 1.2) + 0.45) * len(rows) + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, pictures) in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
            axis.set_anchor("N")  # pictures of one row begin at one height, whatever their aspect
        for axis, picture in zip(line, pictures, strict=False):
            axis.imshow(with_outlines(picture.image, picture.truth, picture.prediction))
            axis.set_title("\n".join(filter(None, [f"{name}: IoU {picture.jaccard:.2f}", picture.name])), fontsize=9)
    legend = f"Held-out images (n = {images}); outline of truth white, of prediction blue"
    figure.suptitle("\n".join(filter(None, [legend, title])), fontsize=11)
    return figure


def stacked_axes(count: int, height: float, title: str) -> tuple[Figure, list[Axes]]:
    """That many plain axes below each other, on one x, under a title on the left."""
    figure = Figure(figsize=(7.2, height * count + 0.6), layout="constrained")
    axes: list[Axes] = list(figure.subplots(count, 1, sharex=True, squeeze=False).ravel())
    for axis in axes:
        plain_frame(axis)
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    return figure, axes


def plain_frame(axis: Axes, grid: Literal["both", "x", "y"] = "y", colour: str = FAINT) -> None:
    """Leaves what is read of an axis's frame: two sides and ticks in `colour`, and faint lines behind the drawing."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(colour)
    axis.tick_params(color=colour)
    axis.grid(axis=grid, color=GRID, linewidth=0.8)
    axis.set_axisbelow(True)


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Writes a PNG whole."""
    take_literally(figure)
    with whole_file(path) as part:
        figure.savefig(part, dpi=dpi, format="png")


def take_literally(figure: Figure) -> None:
    """Lets names in a figure be what they are.

    Between two dollars matplotlib reads a formula, and fails where there is none.
    It warns of letters that are not seen.
    """
    ticks = []
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        labels = axis.get_ticklabels()
        ticks += labels
        if not all(label.get_text().isprintable() for label in labels):
            # it writes the labels anew as they are drawn
            axis.set_major_formatter(partial(_written_out, axis.get_major_formatter()))
    for text in (*figure.findobj(Text), *ticks):
        words = text.get_text() if isinstance(text, Text) else ""
        if "$" in words and "\\mathdefault" not in words:  # with which it writes powers of ten
            text.set_parse_math(False)
        if isinstance(text, Text) and not words.isprintable():
            text.set_text(seen_letters(words))


def seen_letters(words: str) -> str:
    """The words with what no font shows written out, line by line."""
    return "\n".join(map(in_one_line, words.split("\n")))


def _written_out(formatter: Formatter, place: float, at: int | None) -> str:
    return seen_letters(formatter(place, at))


def in_legend(name: str) -> str:
    """A name as a legend shows it: no longer than a figure has room for, and not left out for its first underscore."""
    short = name if len(name) <= LEGEND_ROOM else f"{name[: LEGEND_ROOM - 1]}…"
    return f" {short}" if short.startswith("_") else short
