"""A drawing of the report as a file of its own, in the report's colours for light or for dark."""

import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from compare.figures.drawing import SvgDrawing

STYLE = Path(__file__).parents[1] / "page" / "report.css"


def svg_file(drawing: SvgDrawing, colours: Mapping[str, str]) -> str:
    """The drawing as a whole SVG document on paper of its own.

    Args:
        drawing: Whose colours are custom properties of a page.
        colours: Those properties' values.
    """
    inked = re.sub(r"var\(--(\w+), (#[0-9a-f]+)\)", lambda match: colours.get(match[1], match[2]), drawing.svg)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{drawing.width}" height="{drawing.height}" role="img" '
        f'font-family="system-ui, sans-serif" fill="{colours["ink"]}"'
    )
    paper = f'<title>{escape(drawing.alt)}</title><rect width="100%" height="100%" fill="{colours["paper"]}"/>'
    opening, _, drawn = inked.partition(">")
    return f"{opening.replace('<svg', head, 1)}>{paper}{drawn}\n"


def properties(block: str) -> dict[str, str]:
    """The custom properties in a block of a style sheet."""
    return dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block))


LIGHT, DARK = (properties(block) for block in re.findall(r":root \{(.*?)\}", STYLE.read_text("utf-8"), re.DOTALL)[:2])
