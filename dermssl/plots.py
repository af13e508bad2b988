"""Figures that several commands draw: pictures with outlines, and how a figure is saved."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dermssl.files import whole_file
from dermssl.images import Pixels

TRUTH, PREDICTION = (255, 255, 255), (0, 158, 255)  # white and a blue that skin and lesion never have
SIDE = 256

Shown = tuple[Pixels, Pixels, Pixels, float]  # image, truth, prediction (thumbnails of one size), Jaccard


def thumbnail(pixels: NDArray[np.uint8] | NDArray[np.bool_], side: int = SIDE) -> Pixels:
    """A picture (H, W, 3), or a mask (H, W) as 0 and 255, with its longer side at most `side` pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    is_mask = pixels.ndim == 2
    whole = (pixels > 0).astype(np.uint8) * 255 if is_mask else pixels.astype(np.uint8, copy=False)
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    return ((small > 127) * np.uint8(255)).astype(np.uint8) if is_mask else small.astype(np.uint8, copy=False)


def outlined(image: Pixels, truth: Pixels, prediction: Pixels) -> Pixels:
    """The picture enlarged with both outlines: truth white on black, prediction blue; sizes of masks may differ."""
    width = 2 * SIDE
    height = round(image.shape[0] * width / image.shape[1])
    drawn = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    for mask, colour, thickness in ((truth, (0, 0, 0), 5), (truth, TRUTH, 2), (prediction, PREDICTION, 2)):
        large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 127
        contours, _ = cv2.findContours(large.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(drawn, contours, -1, colour, thickness, cv2.LINE_AA)
    return drawn.astype(np.uint8, copy=False)


def predictions_figure(rows: Mapping[str, Sequence[Shown]], images: int) -> Figure:
    """A row each of pictures with outlines, such as the best, the median and the worst of `images`."""
    columns = max(len(shown) for shown in rows.values())
    figure = Figure(figsize=(2.4 * columns, 2.5 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, shown) in zip(axes, rows.items(), strict=True):
        for axis in line:
            axis.set_axis_off()
        for axis, (image, truth, prediction, jaccard) in zip(line, shown, strict=False):
            axis.imshow(outlined(image, truth, prediction))
            axis.set_title(f"{name}: IoU {jaccard:.2f}", fontsize=9)
    figure.suptitle(f"Held-out images (n = {images}); outline of truth white, of prediction blue", fontsize=10)
    return figure


def save_figure(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Writes a PNG whole."""
    with whole_file(path) as part:
        figure.savefig(part, dpi=dpi, format="png")
