"""Drawings that stand in a page: SVG with the page's own ink, so that they read on light, on dark and on paper.

matplotlib is used through its objects alone, so drawing needs no display and is safe in threads.
"""

import io
import re
from dataclasses import dataclass
from math import ceil
from zlib import crc32

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dermssl.scores import plots

# Okabe and Ito 2008, https://jfly.uni-koeln.de/color/: told apart under every common colour blindness. Brown stands
# for their black and yellow, which a dark and a light page would swallow. The last three are Tol's (muted,
# https://sronpersonalpages.nl/~pault/): ten methods and ImageNet are eleven arms.
NAMED = {"ssl": "#0072b2", "imagenet": "#e69f00", "random": "#009e73"}
OTHERS = ["#cc79a7", "#d55e00", "#56b4e9", "#8c510a", "#7f7f7f", "#999933", "#332288", "#882255"]
INK, FAINT, GRID, PAPER = plots.INK, "#8a8a8a", plots.GRID, "#ffffff"
PAGE = {INK: "ink", "#000000": "ink", FAINT: "faint", GRID: "grid", PAPER: "paper"}  # custom properties of the page
MARKERS = "osD^vPX*<>h"
LARGER = {"*": 1.6, "P": 1.25, "X": 1.25, "^": 1.2, "v": 1.2, "<": 1.2, ">": 1.2}  # to look as large as a circle
WIDTH = 10.0  # inches of a figure that fills the page


@dataclass(frozen=True)
class SvgDrawing:
    """A figure as an inline SVG element, its size in CSS pixels, and what it shows, for those who do not see it."""

    svg: str
    width: int
    height: int
    alt: str


def svg_drawing(figure: Figure, alt: str) -> SvgDrawing:
    """The figure at 96 CSS pixels to the inch; text stays text, and colours are custom properties of the page.

    Args:
        figure: Drawn in the colours of this file.
        alt: What it shows, in a sentence.
    """
    plots.take_literally(figure)
    text = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "dermssl"}):  # equal numbers give equal bytes
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    width, height = round(figure.get_figwidth() * 96), round(figure.get_figheight() * 96)
    return SvgDrawing(_inline(text.getvalue()), width, height, alt)


def colours(arms: list[str]) -> dict[str, str]:
    """The colour of each arm, the same in every figure; ssl, imagenet and random always have theirs.

    No two of the first eleven arms share one.
    """
    tints = {arm: NAMED[arm] for arm in arms if arm in NAMED}
    for arm in arms:
        own = NAMED.get(arm.split(" (")[0])
        spare = [colour for colour in [*OTHERS, *NAMED.values()] if colour not in tints.values()] or OTHERS
        tints.setdefault(arm, own if own and own not in tints.values() else spare[0])
    return {arm: tints[arm] for arm in arms}


def spare_colours(arms: list[str], lines: list[str]) -> dict[str, str]:
    """Colours for lines that are no arms: ink, then those that no arm has; from the first again where they end."""
    free = [INK, *(colour for colour in [*NAMED.values(), *OTHERS] if colour not in colours(arms).values())]
    return {line: free[i % len(free)] for i, line in enumerate(lines)}


def percent(fraction: float) -> str:
    """A share as a percentage, without digits that say nothing: 0.1 is '10 %', 0.005 is '0.5 %'."""
    return f"{100 * fraction:.3g} %"


def panel_grid(count: int, height: float, share: bool = True, narrow: bool = True) -> tuple[list[Axes], Figure]:
    """That many tidy panels, at most three to a row; a single one fills two thirds of the page if `narrow`."""
    columns = min(max(count, 1), 3)
    lines = ceil(max(count, 1) / columns)
    width = 0.68 * WIDTH if columns == 1 and narrow else WIDTH
    figure = Figure(figsize=(width, height * lines + 0.2), layout="constrained")
    grid = figure.subplots(lines, columns, sharey=share, squeeze=False)
    axes: list[Axes] = list(grid.ravel())
    for axis in axes[:count]:
        plots.plain_frame(axis, colour=FAINT)
    for axis in axes[count:]:
        axis.remove()
    return axes[:count], figure


def legend(figure: Figure, colour: dict[str, str]) -> None:
    """A legend over the figure: colour and marker of each name, five to a row."""
    handles = [
        Line2D(
            [],
            [],
            color=tint,
            linewidth=2.2,
            marker=MARKERS[i % len(MARKERS)],
            markersize=6,
            label=plots.in_legend(name),
        )
        for i, (name, tint) in enumerate(colour.items())
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=min(len(handles), 5), frameon=False)


def _inline(svg: str) -> str:
    """The drawing without what is for files alone; ids that are used get a name of their own, the others go.

    matplotlib's style sheet would reach the whole page, and its ids are the same in every figure.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)(\w+)', svg))
    own = f"d{crc32(svg.encode()):08x}"
    svg = re.sub(r' id="([\w.]+)"', lambda match: f' id="{own}{match[1]}"' if match[1] in used else "", svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{own}", svg)
    svg = re.sub(r"(?<=: )#[0-9a-f]{6}", lambda match: _of_page(match[0]), svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", svg)
    svg = re.sub(r"<svg [^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", svg, count=1).replace("xlink:href", "href")
    return re.sub(r"\s*\n\s*", " ", svg).strip()


def _of_page(colour: str) -> str:
    """The custom property of the page that stands for a colour, with the colour for viewers that know none."""
    name = PAGE.get(colour) or (f"c{colour[1:]}" if colour in [*NAMED.values(), *OTHERS] else "")
    return f"var(--{name}, {colour})" if name else colour
