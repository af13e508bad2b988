"""Pictures and masks made small, and outlines drawn on them: with OpenCV alone, for no figure is needed to predict."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels

TRUTH, PREDICTION = (255, 255, 255), (0, 158, 255)  # white and a blue that skin and lesion never have
CASING = (0, 0, 0)  # sets a line off from skin and lesion alike
SIDE = 256


def thumbnail(pixels: NDArray[np.uint8] | NDArray[np.bool_], side: int = SIDE) -> Pixels:
    """A picture (H, W, 3), or a mask (H, W) as 0 and 255, with its longer side at most `side` pixels."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    is_mask = pixels.ndim == 2
    whole = (pixels > 0).astype(np.uint8) * 255 if is_mask else pixels.astype(np.uint8, copy=False)
    small = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    return ((small > 127) * np.uint8(255)).astype(np.uint8) if is_mask else small.astype(np.uint8, copy=False)


def with_outlines(image: Pixels, truth: Pixels, prediction: Pixels) -> Pixels:
    """The picture enlarged with both outlines, truth white and prediction blue on black; sizes of masks may differ."""
    width = 2 * SIDE
    height = round(image.shape[0] * width / image.shape[1])
    enlarged = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
    for mask, colour in ((truth, TRUTH), (prediction, PREDICTION)):
        large = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 127
        contours, _ = cv2.findContours(large.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for ink, thickness in ((CASING, 6), (colour, 3)):
            cv2.drawContours(enlarged, contours, -1, ink, thickness, cv2.LINE_AA)
    return enlarged.astype(np.uint8, copy=False)


def png_bytes(values: Pixels | NDArray[np.uint16]) -> bytes:
    """Grey values (H, W), of 8 or 16 bits, as the bytes of a PNG; not by imwrite, which is silent about a full disk."""
    return cv2.imencode(".png", values)[1].tobytes()
