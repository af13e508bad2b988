"""A picture with the outline of a mask, legible at any size."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.images import Pixels
from dermssl.plots import PREDICTION

CASING = (0, 0, 0)  # sets the line off from skin and lesion alike
LINES = 300  # widths of the line to the picture's shorter side: a picture shrunk to a page keeps a line


def overlaid(picture: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The picture (H, W, 3) with the outline of `mask` (H, W) in blue between black lines.

    The line lies along the mask's rim, both of its sides: 2 pixels wide on 600, 13 on 4000, and black as much again.
    """
    width = max(1, round(min(mask.shape) / LINES))
    rims, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    drawn = np.ascontiguousarray(picture).copy()
    for colour, thickness in ((CASING, 2 * width), (PREDICTION, width)):
        cv2.drawContours(drawn, rims, -1, colour, thickness, cv2.LINE_AA)
    return drawn
