"""What stands between the camera and the lesion: hairs, rulers, ink, gel bubbles, stickers, dark corners."""

from __future__ import annotations

import math

import cv2
import numpy as np

from dermssl.synthetic.noise import SUBPIXEL, Float, Plane, Points, UInt8, blend, clouds, discs, planar, ramp

# Shares of pictures that show each, after the ISIC 2018 training set.
RATES = {"hair": 0.4, "ruler": 0.15, "ink": 0.08, "bubbles": 0.12, "glare": 0.1, "sticker": 0.05, "dark corners": 0.3}
FINE = 2  # strokes are drawn this many times larger and reduced, for widths below a pixel
BENDS = 14  # points along a stroke
HAIRS = ((0.10, 0.07, 0.06), (0.22, 0.13, 0.09), (0.06, 0.06, 0.07), (0.42, 0.29, 0.17), (0.85, 0.80, 0.74))
INKS = ((0.30, 0.16, 0.50), (0.22, 0.22, 0.55), (0.15, 0.30, 0.48))
STICKERS = ((0.16, 0.55, 0.52), (0.93, 0.58, 0.16), (0.90, 0.80, 0.25), (0.20, 0.35, 0.65), (0.45, 0.65, 0.25))


def artefacts_of(rng: np.random.Generator) -> frozenset[str]:
    """Which artefacts a picture shows, some of the names in RATES."""
    return frozenset(name for name, rate in RATES.items() if rng.random() < rate)


def tapered(start: Points, heading: Points, length: Points, width: Points) -> Points:
    """Outlines of curves that thin towards their end, (N, 2 * BENDS, 2); all in sides of the picture.

    Args:
        start: From the picture's middle, (N, 2).
        heading: Direction at each point, radians, (N, BENDS).
        length: (N,).
        width: At the root, (N,).
    """
    direction = np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    path = start[:, None] + np.cumsum(direction, axis=1) * (length / BENDS)[:, None, None]
    normal = np.stack([-direction[..., 1], direction[..., 0]], axis=-1)
    half = normal * np.sqrt(np.linspace(1, 0.05, BENDS))[:, None] * width[:, None, None] / 2
    return np.concatenate([path + half, (path - half)[:, ::-1]], axis=1)


def filled_outlines(side: int, outlines: Points) -> Float:
    """Outlines (N, P, 2), in sides from the picture's middle, as 1 on 0, (side, side)."""
    layer = np.zeros((side * FINE, side * FINE), np.uint8)
    for outline in np.rint(((outlines + 0.5) * side * FINE - 0.5) * (1 << SUBPIXEL)).astype(np.int32):
        cv2.fillPoly(layer, [outline], 255, cv2.LINE_AA, SUBPIXEL)
    return reduced(layer, side)


def reduced(layer: UInt8, side: int) -> Float:
    """A finely drawn layer at the picture's size, 0 to 1."""
    return np.asarray(cv2.resize(layer, (side, side), interpolation=cv2.INTER_AREA) * np.float32(1 / 255), np.float32)


def paint_hair(rng: np.random.Generator, image: Float, plane: Plane) -> Float:
    """A few hairs or a fur of them, mostly lying one way, or the stubble of a shave; with a faint shadow."""
    stubble = rng.random() < 0.2
    count = int(rng.integers(10, 60)) if stubble else int(math.exp(rng.uniform(0.7, 3.9)))
    curl = rng.normal(0, 0.8, (count, 1)) * np.linspace(0, 1, BENDS) + rng.normal(0, 0.05, (count, BENDS)).cumsum(1)
    heading = rng.uniform(0, 2 * math.pi) + rng.normal(0, rng.uniform(0.15, 0.9), (count, 1)) + curl
    length = rng.uniform(0.02, 0.07, count) if stubble else rng.uniform(0.25, 1.1, count)
    width = 0.006 * math.exp(rng.normal(0, 0.3)) * rng.uniform(0.6, 1.3, count)
    side = len(plane.x)
    covered = filled_outlines(side, tapered(rng.uniform(-0.6, 0.6, (count, 2)), heading, length, width))
    shadow = cv2.GaussianBlur(np.roll(covered, max(side // 100, 1), axis=(0, 1)), (0, 0), side / 90)
    colour = np.array(HAIRS[rng.choice(len(HAIRS), p=(0.3, 0.34, 0.2, 0.1, 0.06))]) * rng.uniform(0.8, 1.2)
    return blend(image * (1 - 0.3 * shadow), planar(colour), covered * rng.uniform(0.75, 0.97))


def paint_ruler(rng: np.random.Generator, image: Float, plane: Plane) -> Float:
    """A millimetre scale near one side of the picture: a line with ticks, every fifth longer, and its unit."""
    side = len(plane.x)
    unit = side * FINE
    thick = max(round(unit / 190), 1)
    left, top, length = rng.uniform(0.08, 0.25), rng.uniform(0.80, 0.95), rng.uniform(0.5, 0.75)
    ticks = 10 * int(rng.integers(1, 3))
    at = left + length * np.arange(ticks + 1) / ticks
    tall = np.where(np.arange(ticks + 1) % 5 == 0, 0.05, 0.03)
    lines = np.stack([at, np.full_like(at, top), at, top - tall], axis=1)
    layer = np.zeros((unit, unit), np.uint8)
    for x0, y0, x1, y1 in np.rint(np.vstack([lines, [left, top, left + length, top]]) * unit).astype(int).tolist():
        cv2.line(layer, (x0, y0), (x1, y1), 255, thick, cv2.LINE_AA)
    place = (int(left * unit), int((top + 0.05) * unit))
    cv2.putText(layer, "mm", place, cv2.FONT_HERSHEY_SIMPLEX, unit / 700, 255, thick, cv2.LINE_AA)
    angle = 90 * int(rng.choice(4, p=(0.7, 0.1, 0.1, 0.1))) + rng.normal(0, 9)
    turned = cv2.warpAffine(layer, cv2.getRotationMatrix2D((unit / 2, unit / 2), angle, 1), (unit, unit))
    covered = reduced(np.asarray(turned, np.uint8), side)
    return blend(image, planar((0.12, 0.11, 0.12)), covered * rng.uniform(0.45, 0.95))


def paint_ink(rng: np.random.Generator, image: Float, plane: Plane) -> Float:
    """Scribbled marks of a surgical pen around the middle."""
    marks, strokes = int(rng.integers(1, 6)), int(rng.integers(3, 9))
    angles = rng.uniform(0, 2 * math.pi) + np.arange(marks) * rng.uniform(0.8, 1.6)
    places = rng.uniform(0.32, 0.5) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    count = marks * strokes
    start = np.repeat(places, strokes, axis=0) + rng.normal(0, 0.02, (count, 2))
    heading = rng.uniform(0, 2 * math.pi, (count, 1)) + rng.normal(0, 0.5, (count, BENDS)).cumsum(1)
    outlines = tapered(start, heading, rng.uniform(0.04, 0.14, count), rng.uniform(0.006, 0.016, count))
    side = len(plane.x)
    covered = cv2.GaussianBlur(filled_outlines(side, outlines), (0, 0), side / 300)
    worn = ramp(clouds(rng, plane, 40, 2), -1.6, 0.6)
    return blend(image, planar(INKS[rng.integers(len(INKS))]), covered * worn * rng.uniform(0.5, 0.9))


def paint_bubbles(rng: np.random.Generator, image: Float, plane: Plane) -> Float:
    """Air in the gel: pale rings with a dark inner edge and a spot of lamp light, in clusters."""
    count = int(rng.integers(3, 22))
    clusters = rng.uniform(-0.45, 0.45, (1 + count // 8, 2))
    centres = clusters[rng.integers(len(clusters), size=count)] + rng.normal(0, 0.09, (count, 2))
    radii = np.clip(0.008 * np.exp(rng.exponential(0.6, count)), 0.006, 0.06)
    whole, inner, core = (discs(plane, centres, share * radii) for share in (1, 0.82, 0.6))
    spots = discs(plane, centres - 0.4 * radii[:, None], 0.22 * radii)
    image = image * (1 - 0.25 * (inner - core)) + 0.05 * core
    return blend(image, planar((0.97, 0.97, 0.98)), np.maximum(0.5 * (whole - inner), 0.85 * spots))


def paint_glare(rng: np.random.Generator, image: Float, plane: Plane) -> Float:
    """Unpolarised light: white flecks where the skin's surface mirrors the lamp."""
    flecks = ramp(clouds(rng, plane, 40, 3, 0.9), 1.3, 1.9) * ramp(clouds(rng, plane, 4, 2), 0.6, 1.6)
    return blend(image, planar((1, 1, 1)), flecks * rng.uniform(0.4, 0.8))


def sticker_cover(rng: np.random.Generator, plane: Plane, away: float) -> tuple[Float, Float]:
    """How far a round paper sticker in direction `away` (radians) covers each pixel, (H, W), and its colour."""
    angle, distance, radius = away + rng.normal(0, 0.5), rng.uniform(0.56, 0.66), rng.uniform(0.14, 0.26)
    covered = ramp(radius - plane.distance(distance * math.cos(angle), distance * math.sin(angle)), -0.004, 0.004)
    return covered, planar(STICKERS[rng.integers(len(STICKERS))]) * (1 + 0.04 * clouds(rng, plane, 48, 2))


def aperture(rng: np.random.Generator, plane: Plane) -> Float:
    """Light that a round eyepiece lets through, 1 in the middle and 0 in the dark corners, (H, W)."""
    radius, softness = rng.uniform(0.5, 0.66), math.exp(rng.uniform(-5.5, -2.8))
    return ramp(radius - plane.distance(rng.normal(0, 0.03), rng.normal(0, 0.03)), -softness, softness)


ON_SKIN = {
    "ink": paint_ink,
    "glare": paint_glare,
    "bubbles": paint_bubbles,
    "hair": paint_hair,
    "ruler": paint_ruler,
}  # from the skin upwards
