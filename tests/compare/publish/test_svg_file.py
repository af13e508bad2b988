"""A published figure is a whole SVG document whose colours are the report's, on light and on dark."""

from xml.etree import ElementTree as ET

import pytest
from matplotlib.figure import Figure

from compare.figures.drawing import INK, NAMED, svg_drawing
from compare.publish.svg_file import DARK, LIGHT, svg_file


@pytest.mark.parametrize(("theme", "ink"), [(LIGHT, "#1b1d1f"), (DARK, "#e6e4e0")])
def test_a_figure_file_is_whole_and_in_one_theme(theme: dict[str, str], ink: str) -> None:
    figure = Figure(figsize=(2, 1))
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], color=INK)
    axis.plot([0, 1], [1, 0], color=NAMED["ssl"])
    text = svg_file(svg_drawing(figure, "two lines & nothing <else>"), theme)
    tree = ET.fromstring(text)
    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert tree.find("{http://www.w3.org/2000/svg}title").text == "two lines & nothing <else>"  # type: ignore[union-attr]
    assert "var(" not in text
    assert ink in text
    assert theme["c0072b2"] in text


def test_the_themes_have_the_same_colours_by_name() -> None:
    assert set(LIGHT) == set(DARK)
    assert LIGHT["paper"] != DARK["paper"]
