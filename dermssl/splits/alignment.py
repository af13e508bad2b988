"""How well one picture lies on another once it has been shifted, turned and scaled to fit: the proof of a duplicate.

Strangers are of one kind too (a dark blob on skin), so that features of a whole picture take them for alike; but
their pigment does not lie on top of one another. Measured on HAM10000, whose lesion ids are known: of the pairs above
ALIGNED, 98 % are of one lesion; of those whose encoder features agree as well as they do in true pairs, 20 %.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels

SIDE = 128  # pixels
RIM = 6  # pixels left out: what a crop or a frame has changed
HOPEFUL = 0.65  # least correlation at half the size; pairs of one lesion reach 0.8 there
OVERLAP = 0.4  # least share of the picture that both must show
STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-4)

GreyPicture = NDArray[np.float32]


def aligned_correlation(a: GreyPicture, b: GreyPicture) -> float:
    """Correlation of two evened pictures, (SIDE, SIDE), after the affine map that brings `b` onto `a`, at most 1.

    -1 where no map is found, or too little is left to compare. The map is sought at half the size; only pictures that
    agree there are worth the other half. Either is laid on the other, for the search may find the map one way only.

    Source: Evangelidis and Psarakis 2008 (ECC), as OpenCV has it.
    """
    tries = []
    for x, y in ((a, b), (b, a)):
        fit = np.eye(2, 3, dtype=np.float32)
        tries.append((fitted_correlation(halved(x), halved(y), fit), fit, x, y))
    coarse, fit, x, y = max(tries, key=lambda attempt: attempt[0])
    if coarse < HOPEFUL:
        return coarse
    fit[:, 2] *= 2  # shifts are in pixels
    return fitted_correlation(x, y, fit)


def fitted_correlation(x: GreyPicture, y: GreyPicture, fit: GreyPicture) -> float:
    """The correlation once `fit`, (2, 3), has been improved in place; -1 where it cannot be."""
    try:
        cv2.findTransformECC(smooth(x, 1.5), smooth(y, 1.5), fit, cv2.MOTION_AFFINE, STEPS)
    except cv2.error:  # it does not converge: the pictures have nothing in common
        return -1.0
    side, how = x.shape, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(smooth(y, 0.8), fit, side[::-1], flags=how)
    covered = cv2.warpAffine(np.ones_like(y), fit, side[::-1], flags=how) > 0.999
    covered[:RIM] = covered[-RIM:] = covered[:, :RIM] = covered[:, -RIM:] = False
    if covered.mean() < OVERLAP:
        return -1.0
    return pixel_correlation(smooth(x, 0.8)[covered], moved.astype(np.float32, copy=False)[covered])


def halved(plane: GreyPicture) -> GreyPicture:
    """The plane at half its size."""
    return cv2.resize(plane, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def evened(picture: Pixels) -> GreyPicture:
    """Deviations from the surroundings, in units of how much the surroundings vary; (SIDE, SIDE).

    So brightness, tint, vignette and the camera's settings do not count.
    """
    grey = picture.astype(np.float32)
    deviation: GreyPicture = grey - broad(grey, 8)
    spread: GreyPicture = np.sqrt(broad(deviation**2, 16)) + np.float32(2)
    return deviation / spread


def broad(plane: GreyPicture, sigma: float) -> GreyPicture:
    """Gaussian blur of many pixels, done at a quarter of the size: ten times faster, and nothing fine is left in it."""
    small = cv2.resize(plane, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), sigma / 4)
    return cv2.resize(blurred, plane.shape[::-1], interpolation=cv2.INTER_LINEAR).astype(np.float32, copy=False)


def smooth(plane: GreyPicture, sigma: float) -> GreyPicture:
    """Gaussian blur of `sigma` pixels."""
    return cv2.GaussianBlur(plane, (0, 0), sigma).astype(np.float32, copy=False)


def pixel_correlation(x: GreyPicture, y: GreyPicture) -> float:
    """Pearson's correlation of the grey values, in [-1, 1]; 0 where either does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.linalg.norm(x) * np.linalg.norm(y))
    return float((x * y).sum()) / scale if scale > 0 else 0.0
