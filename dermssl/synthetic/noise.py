"""The raw material of drawn skin: planes of coordinates, clouds of noise, honeycombs and soft steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

UInt8 = NDArray[np.uint8]
Float = NDArray[np.float32]  # whatever has a value per pixel
Points = NDArray[np.float64]  # coordinates, lengths and angles of a few shapes
Matrix = NDArray[np.float64]

SMOOTH = 96  # cells at which a grid is fine enough for the linear interpolation of `sample_noise` not to show
SUBPIXEL = 4  # bits after the point in OpenCV's drawing coordinates


@dataclass(frozen=True)
class Plane:
    """A rectangle of pixels laid over a scene that knows nothing of pixels, so any size or view shows one scene.

    The scene's noise fills [-reach, reach] in both directions and is mirrored beyond.
    """

    x: Float
    """Scene coordinate of each pixel's centre, (H, W)."""
    y: Float
    """As `x`, downwards in an unturned view."""
    from_pixel: Matrix
    """Affine map (2, 3) from (column, row) to (x, y)."""
    reach: float

    def pixels(self, points: Points) -> Points:
        """Where scene points (N, 2) lie, as (column, row), (N, 2)."""
        return (points - self.from_pixel[:, 2]) @ np.linalg.inv(self.from_pixel[:, :2]).T

    def pixels_per_unit(self) -> float:
        """How many pixels one scene unit spans, averaged over directions."""
        return 1 / math.sqrt(abs(np.linalg.det(self.from_pixel[:, :2])))

    def distance(self, x: float, y: float) -> Float:
        """From a scene point to every pixel, (H, W)."""
        return np.sqrt((self.x - x) ** 2 + (self.y - y) ** 2)


def lay(shape: tuple[int, int], from_pixel: Matrix, reach: float) -> Plane:
    """The plane of `shape` (H, W) pixels under the affine map `from_pixel` (2, 3)."""
    column = np.arange(shape[1], dtype=np.float32)
    row = np.arange(shape[0], dtype=np.float32)[:, None]
    (a, b, c), (d, e, f) = from_pixel.tolist()
    return Plane(a * column + b * row + c, d * column + e * row + f, from_pixel, reach)


def frame(size: int) -> Plane:
    """The whole picture, side 1, from -0.5 to 0.5."""
    return lay((size, size), np.array([[1, 0, 0.5 - size / 2], [0, 1, 0.5 - size / 2]]) / size, reach=0.5)


def clouds(rng: np.random.Generator, plane: Plane, cells: int, octaves: int = 4, gain: float = 0.5) -> Float:
    """Noise of several octaves, mean 0 and standard deviation 1 over the whole scene, (H, W).

    Args:
        rng: Gives the same number of draws whatever the plane, so that what is drawn next stays the same.
        plane: Where to look at the noise.
        cells: Blobs of the coarsest octave across the scene.
        octaves: Each has blobs half as large as the one before.
        gain: Amplitude of an octave over that of the one before; higher is rougher.
    """
    grid = rng.random((cells, cells), np.float32) - 0.5
    for octave in range(1, octaves):
        grid = twice(grid)
        grid += gain**octave * (rng.random(grid.shape, np.float32) - 0.5)
    while len(grid) < SMOOTH:
        grid = twice(grid)
    return sample_noise((grid - grid.mean()) / grid.std(), plane)


def twice(grid: Float) -> Float:
    """A square grid with twice the cells, smoothly filled in."""
    cells = 2 * len(grid)
    return np.asarray(cv2.resize(grid, (cells, cells), interpolation=cv2.INTER_CUBIC), np.float32)


def sample_noise(grid: Float, plane: Plane) -> Float:
    """Reads a square grid of noise, which fills the plane's reach, at every pixel; (H, W)."""
    cells = len(grid)
    to_cell = plane.from_pixel * (cells / 2 / plane.reach)
    to_cell[:, 2] += cells / 2 - 0.5
    h, w = plane.x.shape
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grid, to_cell, (w, h), flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.float32)


def honeycomb(rng: np.random.Generator, plane: Plane, pitch: float, disorder: float) -> Float:
    """Round holes in a mesh: 1 in the middle of a hole, around 0 on its rim, down to -0.5 between holes, (H, W).

    Args:
        rng: Turns and bends the mesh.
        plane: Where to look at it.
        pitch: Distance between neighbouring holes in scene units.
        disorder: How far holes stray from the lattice, in pitches.
    """
    cells = min(max(int(1.2 * plane.reach / pitch), 4), 40)
    x = plane.x / pitch + disorder * clouds(rng, plane, cells, 2)
    y = plane.y / pitch + disorder * clouds(rng, plane, cells, 2)
    turn = rng.uniform(0, math.pi)
    waves: Float = np.zeros_like(x)
    for angle in (turn, turn + math.pi / 3, turn + 2 * math.pi / 3):  # their sum peaks on a triangular lattice
        waves += np.cos(2 * math.pi * math.cos(angle) * x + 2 * math.pi * math.sin(angle) * y)
    return np.asarray(waves / 3, np.float32)


def ramp(x: Float, low: float | Float, high: float | Float) -> Float:
    """Smooth step: 0 below `low`, 1 above `high`, 1/2 in the middle."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def ridges(x: Float, width: float) -> Float:
    """Lines along the zero level of a noise: 1 on the line, falling to 0 at `width` noise units from it."""
    return np.asarray(np.maximum(1 - np.abs(x) / width, 0), np.float32)


def discs(plane: Plane, centres: Points, radii: Points) -> Float:
    """Filled discs with soft edges, 0 to 1, (H, W).

    Args:
        plane: Where to draw.
        centres: (N, 2) in scene units.
        radii: (N,) in scene units; a disc of less than half a pixel keeps that size.
    """
    layer = np.zeros(plane.x.shape, np.uint8)
    spots = np.rint(plane.pixels(centres) * (1 << SUBPIXEL)).astype(int)
    sizes = np.rint(np.maximum(radii * plane.pixels_per_unit(), 0.5) * (1 << SUBPIXEL)).astype(int)
    for (column, row), radius in zip(spots.tolist(), sizes.tolist(), strict=True):
        cv2.circle(layer, (column, row), radius, 255, -1, cv2.LINE_AA, SUBPIXEL)
    soft = cv2.GaussianBlur(layer, (3, 3), 0)  # hides that OpenCV draws small circles as polygons
    return np.asarray(soft * np.float32(1 / 255), np.float32)


def planar(colour: Sequence[float] | Points) -> Float:
    """One colour, ready to be combined with an image, (3, 1, 1)."""
    return np.array(colour, np.float32)[:, None, None]


def blend(image: Float, colour: Float, alpha: Float) -> Float:
    """`colour`, (3, H, W) or (3, 1, 1), laid over an image (3, H, W) as densely as `alpha`, (H, W), says."""
    return image + alpha * (colour - image)
