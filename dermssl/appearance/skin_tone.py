"""Skin tone from pixels: the individual typology angle of the skin around a lesion (Chardon et al. 1991).

The angle was made for calibrated spectrophotometers. Dermoscopes light and colour skin in their own ways, cameras
balance white, and most archives hold little dark skin. On ISIC 2018 a bluish cast alone makes skin "very light": an
angle sorts the pictures of one source by skin and camera together, roughly, and is neither a Fitzpatrick type nor
anybody's ancestry. Kinyanjui et al. 2020 (https://doi.org/10.1007/978-3-030-59725-2_31) used it on ISIC.
"""

from math import degrees, nan

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels

TONES = ("very light", "light", "intermediate", "tan", "brown", "dark")
ANGLES = (55.0, 41.0, 28.0, 10.0, -30.0)  # degrees that separate them, falling (Chardon et al. 1991; Del Bino 2006)
MARGIN = 0.04  # of the shorter side; a lesion's halo, and how far a mask may miss
SHADE = 25  # grey value below which a pixel is a dark corner, a hair or ink
GLARE = 250  # from which on it is a reflection
FEWEST = 0.01  # share of the picture that must be skin


def typology_angle(pixels: Pixels, lesion: NDArray[np.bool_]) -> float:
    """The angle arctan((L - 50) / b) of the skin outside the lesion, in degrees; lighter skin has the larger one.

    L and b are medians of CIE Lab (D65, of sRGB) over the skin, leaving out what is within a margin of the lesion,
    shadow and glare, and then what lies beyond one standard deviation, as Kinyanjui et al. do. The arc is taken over
    the whole circle, so that bluish skin (b below 0) stays on the side that its lightness gives it.

    Args:
        pixels: (H, W, 3) RGB.
        lesion: (H, W), True for lesion.

    Returns:
        nan where the lesion leaves less than 1 % of the picture to look at.
    """
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    skin = lab[skin_around(pixels, lesion)]  # (N, 3)
    if len(skin) < FEWEST * lesion.size:
        return nan
    light, blue_yellow = (within_one_deviation(skin[:, channel].astype(np.float64)) for channel in (0, 2))
    return degrees(float(np.arctan2(light - 50, blue_yellow)))


def tone_of(angle: float) -> str:
    """One of TONES; '' for nan."""
    return "" if angle != angle else TONES[sum(angle <= limit for limit in ANGLES)]


def skin_around(pixels: Pixels, lesion: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the picture shows skin: outside the lesion and its margin, neither in shadow nor in glare, (H, W)."""
    reach = max(1, round(MARGIN * min(lesion.shape)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate(lesion.astype(np.uint8), kernel) > 0
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(~near & (grey >= SHADE) & (grey < GLARE))


def within_one_deviation(values: NDArray[np.float64]) -> float:
    """The median of what lies within a standard deviation of the mean; hairs and marks lie outside."""
    inner = values[np.abs(values - values.mean()) <= values.std() + 1e-6]
    return float(np.median(inner))
