"""Hair over the skin: thin dark lines, longer than they are wide, outside the lesion."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.appearance.skin_tone import skin_around
from dermssl.data.images import Pixels

THRESHOLD = 0.3  # score from which on hair counts as present; rulers and ink reach 0.25
KERNEL = 9  # pixels; wider than any hair at a short side of 192
DEPTH = 14  # grey values that a hair is darker than the skin beside it
LONG = 0.1  # of the shorter side; the shortest line that counts
THIN = 5  # times longer than wide, at least
MUCH = 10  # shorter sides of hair, laid end to end, that make a score of 1


def hair_score(pixels: Pixels, lesion: NDArray[np.bool_]) -> float:
    """How much hair lies over the skin around a lesion: its length, in shorter sides of the picture, by MUCH, up to 1.

    A black top-hat transform finds what is dark and thin, as DullRazor does with a closing (Lee et al. 1997,
    https://doi.org/10.1016/S0010-4825(97)00020-6). What is short or stout is left out, and so is the lesion, whose
    network would be taken for hair. Light hair is not seen; a ruler's edge
    and a pen's strokes are, which make a score of up to about 0.25.

    Args:
        pixels: (H, W, 3) RGB, shorter side near 192 pixels.
        lesion: (H, W), True for lesion.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (KERNEL, KERNEL))
    dark = cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, kernel) > DEPTH
    outside = skin_around(np.full_like(pixels, 128), lesion)  # hair itself is as dark as shadow
    _, labels, stats, _ = cv2.connectedComponentsWithStats((dark & outside).astype(np.uint8), connectivity=8)
    side = min(grey.shape)
    lengths = [
        length
        for index in np.flatnonzero(np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]) > LONG * side)
        if index and (length := line_length(labels == index)) > LONG * side
    ]
    return float(min(1.0, sum(lengths) / (MUCH * side)))


def line_length(blob: NDArray[np.bool_]) -> float:
    """Length of a thin blob in pixels, half of its outline; 0 for one less than THIN times longer than wide."""
    outlines, _ = cv2.findContours(blob.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    length = cv2.arcLength(outlines[0], closed=True) / 2
    width = float(blob.sum()) / max(length, 1.0)
    return length if length > THIN * width else 0.0
