"""Covariates in the pixels: dark corners, rulers and stickers, which a network may learn in place of the lesion."""

from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels, shrink

SHORT_SIDE = 192  # pixels; the detectors' distances below are in these
THRESHOLDS = {"dark corners": 0.55, "ruler": 0.5, "sticker": 0.3}  # score from which on a covariate counts as present
BLACK = 20  # grey value up to which there is no light to be kept out
LINES = 6  # longest straight strokes to look along
REACH = 9  # pixels to either side of a line where ticks are looked for
PERIODS = np.arange(3.5, 22, 0.25)  # pixels from tick to tick
GRAIN = 2  # variance in grey values below which a profile is the camera's grain

Profile = NDArray[np.floating]
Segment = list[float]  # x, y of both ends, pixels


def covariates(pixels: Pixels) -> dict[str, float]:
    """The score of each covariate in an RGB picture, in [0, 1]; see FOUND."""
    small = shrink(pixels, SHORT_SIDE)
    return {"dark corners": dark_corners_score(small), "ruler": ruler_score(small), "sticker": sticker_score(small)}


def dark_corners_score(image: Pixels) -> float:
    """How much darker the third darkest corner is than bright skin in the disc that fits into the frame.

    The third, since a lesion may lie in one corner or two, and an eyepiece that is off centre leaves one corner light.
    """
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    height, width = light.shape
    y, x = np.ogrid[:height, :width]
    apart = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) / (min(height, width) / 2)
    skin = float(np.percentile(light[apart < 0.9], 70))
    patch = max(2, min(height, width) // 20)
    rows, columns = (slice(None, patch), slice(-patch, None)), (slice(None, patch), slice(-patch, None))
    corners = sorted(float(light[row, column].mean()) for row, column in product(rows, columns))
    return float(np.clip(1 - corners[2] / skin, 0, 1)) if skin > BLACK else 0.0


def ruler_score(image: Pixels) -> float:
    """How regular the ticks along the straightest thin dark lines are: the best line's rhythm."""
    height, width = image.shape[:2]
    light = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    thin = cv2.morphologyEx(light, cv2.MORPH_BLACKHAT, np.ones((7, 7), np.uint8))
    strokes = (thin > max(6.0, float(np.percentile(thin, 88)))).astype(np.uint8)
    shortest = max(20.0, min(height, width) * 0.28)  # `rhythm` needs a few periods
    segments = cv2.HoughLinesP(strokes, 1, np.pi / 180, 35, minLineLength=shortest, maxLineGap=3)
    lines = (
        [] if segments is None else sorted(segments.reshape(-1, 4).tolist(), key=segment_length, reverse=True)[:LINES]
    )
    return max((ticks(thin, line) for line in lines), default=0.0)


def segment_length(line: Segment) -> float:
    """Length of a straight stroke, pixels."""
    return float(np.hypot(line[2] - line[0], line[3] - line[1]))


def ticks(thin: NDArray[np.integer | np.floating], line: Segment) -> float:
    """How regular the ticks beside a line are, on the better side; less for few ticks and for an uneven line."""
    span = int(segment_length(line))
    x, y, along_x, along_y = line[0], line[1], (line[2] - line[0]) / span, (line[3] - line[1]) / span
    onto = np.array([[along_x, -along_y, x + REACH * along_y], [along_y, along_x, y - REACH * along_x]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    strip = cv2.warpAffine(thin, onto, (span, 2 * REACH + 1), flags=flags).astype(np.float32)
    rows = cv2.blur(strip, (1, 3))[[*range(1, REACH - 1, 2), *range(REACH + 3, 2 * REACH, 2)]]  # (P, span)
    rows = np.minimum(rows, 2.5 * np.percentile(rows, 75, axis=1, keepdims=True) + 1)  # a hair is darker than ticks
    even = rows - cv2.blur(rows, (25, 1))
    rhythms, periods = rhythm(even)
    best = int(rhythms.argmax())
    line_itself = strip[REACH - 1 : REACH + 2].max(0)
    evenness = float(np.percentile(line_itself, 10) / (np.median(line_itself) + 0.1))
    enough = min(1.0, span / float(periods[best]) / 8)
    return min(1.0, 1.2 * float(rhythms[best]) * teeth(even[best], float(periods[best])) * evenness * enough)


def rhythm(profiles: Profile) -> tuple[Profile, Profile]:
    """How well each profile (P, span) repeats itself, in [0, 1], and after how many pixels it does, (P,) each.

    The mean autocorrelation at one to four periods, less that halfway between them.
    """
    span = profiles.shape[1]
    power = np.fft.irfft(np.abs(np.fft.rfft(profiles, 2 * span)) ** 2)[:, :span]
    echo = power / np.maximum(power[:, :1], GRAIN * span) * span / (span - np.arange(span))
    periods = PERIODS[span > PERIODS * 4.5]
    lags = np.rint(periods[:, None] * np.arange(1, 9) / 2).astype(int)  # (periods, 8): halfway, whole, halfway, ...
    depth = echo[:, lags[:, 1::2]].mean(-1) - echo[:, lags[:, ::2]].mean(-1)  # (P, periods)
    return np.clip(depth.max(1) / 1.5, 0, 1), periods[depth.argmax(1)]


def teeth(profile: Profile, period: float) -> float:
    """Share of the places where a tick should be that are darker than both gaps beside them, at the best phase."""
    count = int(len(profile) / period) - 1
    phases = np.arange(0, period, 0.5)[:, None] + period / 2
    at = np.rint(phases + period * np.arange(count)).astype(int)
    half = period / 2
    before, after = np.rint(at - half).astype(int), np.minimum(np.rint(at + half).astype(int), len(profile) - 1)
    margin = 0.5 * profile.std()
    is_tick = (profile[at] > profile[before] + margin) & (profile[at] > profile[after] + margin)
    return float(is_tick.mean(1).max())


def sticker_score(image: Pixels) -> float:
    """How round the best blob is that the frame cuts, of a colour that neither skin nor lesions have."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int16)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hue, saturation, value = cv2.split(hsv)
    apart = lab - np.median(lab.reshape(-1, 3)[::7], axis=0)
    vivid = (np.hypot(apart[..., 1], apart[..., 2]) > 25) & (saturation > 90) & (value > 60)
    foreign = ((hue > 18) & (hue < 128)) | ((hue > 5) & (hue <= 18) & (saturation > 130) & (apart[..., 0] > -25))
    grains = cv2.morphologyEx((vivid & foreign).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    blobs = cv2.morphologyEx(grains, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(blobs)
    shares = stats[1:, cv2.CC_STAT_AREA] / labels.size
    large = [index + 1 for index in np.flatnonzero((shares > 0.006) & (shares < 0.45))]
    return max((roundness(labels == index) for index in large), default=0.0)


def roundness(blob: NDArray[np.bool_]) -> float:
    """How full a blob's convex hull is, stretched so that 0.75 gives nothing; 0 for one that no frame cuts."""
    if not (blob[0].any() or blob[-1].any() or blob[:, 0].any() or blob[:, -1].any()):
        return 0.0
    outlines, _ = cv2.findContours(blob.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(outlines[0]))
    return float(np.clip((cv2.contourArea(outlines[0]) / max(hull, 1) - 0.75) / 0.2, 0, 1))
