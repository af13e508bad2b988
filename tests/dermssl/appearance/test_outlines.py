"""An outline's style is told from its shape, at any size; as a line it runs through the edge pixels."""

import re

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.appearance.outlines import outline_style, svg_outline

Mask = NDArray[np.bool_]


def polygon(side: int) -> Mask:
    corners = np.array([(0.2, 0.3), (0.5, 0.15), (0.8, 0.35), (0.75, 0.7), (0.45, 0.85), (0.25, 0.65)]) * side
    return cv2.fillPoly(np.zeros((side, side), np.uint8), [corners.astype(np.int32)], 1) > 0


def disc(side: int) -> Mask:
    return cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), side // 3, 1, -1) > 0


def flooded(side: int) -> Mask:
    """A disc whose edge follows noise, as a flood fill does."""
    y, x = np.mgrid[:side, :side]
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(side, side)), (0, 0), 1.2)
    field = np.hypot(x - side / 2, y - side / 2) / side + 0.08 * noise
    return field < 0.3


@pytest.mark.parametrize("side", [128, 256, 700])
def test_a_clicked_outline_is_a_polygon(side: int) -> None:
    assert outline_style(polygon(side)) == "polygon"


@pytest.mark.parametrize("side", [128, 256, 700])
def test_a_round_outline_is_smooth(side: int) -> None:
    assert outline_style(disc(side)) == "smooth"


@pytest.mark.parametrize("side", [128, 256])
def test_an_outline_that_follows_pixels_is_jagged(side: int) -> None:
    assert outline_style(flooded(side)) == "jagged"


@pytest.mark.parametrize("mask", [np.zeros((64, 64), bool), np.ones((64, 64), bool)], ids=["empty", "full"])
def test_a_mask_without_an_outline_has_no_style(mask: Mask) -> None:
    assert outline_style(mask) == "none"


def test_an_outline_runs_through_the_edge_pixels() -> None:
    mask = np.zeros((4, 4), dtype=bool)
    mask[1:3, 1:3] = True
    corners = re.findall(r"[\d.]+ [\d.]+", svg_outline(mask))
    assert sorted(corners) == ["1.5 1.5", "1.5 2.5", "2.5 1.5", "2.5 2.5"]
    assert svg_outline(mask, 250, 100).startswith("M375 150L375 250L")
    assert svg_outline(np.zeros((4, 4), dtype=bool)) == ""
