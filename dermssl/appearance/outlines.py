"""A lesion's outline: as a line for a page, and how it was drawn, by clicks, pixel by pixel, or by hand."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Style = Literal["polygon", "jagged", "smooth", "none"]
ROUGH = 1.12  # an outline that is longer than its smoothed self by this factor follows pixels
STRAIGHT = 0.6  # share of the outline in such edges above which it is a polygon
EDGE = 0.06  # of the outline's length: the shortest edge that somebody clicks


def outline_style(mask: NDArray[np.bool_]) -> Style:
    """Whether the outline of the largest region is a polygon, jagged (of single pixels) or smooth; none where empty.

    By length alone and so for masks of any size; parts of the outline that lie on the frame do not count.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max((contour[:, 0].astype(np.float64) for contour in contours), key=len, default=np.zeros((0, 2)))
    height, width = mask.shape
    inside = ((outline > 0) & (outline < [width - 1, height - 1])).all(axis=1)
    if inside.sum() < 16:
        return "none"
    if outline_length(outline) > ROUGH * outline_length(smoothed_outline(outline)):
        return "jagged"
    corners = cv2.approxPolyDP(outline.astype(np.float32)[:, None], 1.0, closed=True)[:, 0]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    return "polygon" if edges[edges >= EDGE * edges.sum()].sum() > STRAIGHT * edges.sum() else "smooth"


def outline_length(outline: NDArray[np.float64]) -> float:
    """Length of a closed line through (N, 2) points, pixels."""
    return float(np.linalg.norm(outline - np.roll(outline, 1, axis=0), axis=1).sum())


def smoothed_outline(outline: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line without the steps between pixels: averaged over the nearest hundredth of its points, (N, 2)."""
    reach = max(3, len(outline) // 100)
    ring = np.concatenate([outline[-reach:], outline, outline[:reach]])
    kernel = np.ones(2 * reach + 1) / (2 * reach + 1)
    return np.stack([np.convolve(ring[:, axis], kernel, "valid") for axis in range(2)], axis=1)


def svg_outline(mask: NDArray[np.bool_], across: float = 1.0, down: float = 1.0) -> str:
    """SVG path data of a mask's edges, holes included; '' for an empty mask.

    Args:
        mask: (H, W).
        across: What a pixel's width is in the path's units.
        down: What its height is.
    """
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    # OpenCV names pixels by their corner, SVG draws from it: half a pixel brings the line to the pixels' middle.
    lines = [[f"{(x + 0.5) * across:.4g} {(y + 0.5) * down:.4g}" for x, y in points[:, 0]] for points in contours]
    return "".join(f"M{'L'.join(line)}Z" for line in lines)
