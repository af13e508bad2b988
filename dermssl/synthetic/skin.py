"""Drawn skin: what absorbs light in it, its relief, and the light and camera of a dermatoscope."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dermssl.synthetic.noise import Float, Plane, UInt8, blend, clouds, honeycomb, planar, ramp, ridges

MELANIN = (0.02, 0.2, 0.46, 0.88, 1.32, 1.85)  # density in the skin of Fitzpatrick types 1 to 6
# Absorbance per density in red, green and blue (rows), set by hand so that skin and lesions have the medians of ISIC
# 2018. Columns: melanin spread through the skin, melanin packed in a lesion, melanin deep down, blood.
ABSORPTION = np.array([[0.36, 0.30, 0.85, 0.06], [0.52, 0.68, 0.72, 0.33], [0.70, 1.00, 0.52, 0.31]], np.float32)
VEIL = (0.80, 0.78, 0.84)  # colour of what scatters light back from above the pigment
CASTS = ((1, 1, 1), (1.06, 0.92, 0.98), (0.88, 0.94, 1.06), (1.02, 1.0, 0.88))  # neutral, pink, blue-grey, yellow


@dataclass(frozen=True)
class Patient:
    """What stays the same about the skin around one lesion."""

    fitzpatrick: int
    melanin: float
    blood: float
    mottle: float
    """Relative unevenness of the melanin."""
    freckles: float
    """Density of melanin in the freckles; 0 for none."""
    vessels: float
    """Density of blood in visible vessels; 0 for none."""


def patient_of(rng: np.random.Generator) -> Patient:
    """Draws a patient; the six skin types are about equally frequent, unlike in the archive."""
    kind = int(rng.choice(6, p=(0.15, 0.2, 0.2, 0.17, 0.15, 0.13)))
    return Patient(
        fitzpatrick=kind + 1,
        melanin=MELANIN[kind] * math.exp(rng.normal(0, 0.08)) + rng.uniform(0, 0.04),
        blood=min(max(rng.normal(0.55, 0.25), 0.1), 1.2),
        mottle=rng.uniform(0.02, 0.09),
        freckles=rng.uniform(0.08, 0.4) if rng.random() < 0.3 else 0,
        vessels=rng.uniform(0.2, 0.7) if rng.random() < 0.2 else 0,
    )


def chromophores(rng: np.random.Generator, plane: Plane, patient: Patient) -> Float:
    """Densities in healthy skin: the columns of ABSORPTION, then white scatter, (5, H, W)."""
    densities = np.zeros((5, *plane.x.shape), np.float32)
    unevenness = patient.mottle * clouds(rng, plane, 4, 6, 0.8)
    densities[0] = patient.melanin + (patient.melanin + 0.25) * unevenness  # the palest skin is uneven as well
    densities[3] = patient.blood * (1 + 0.16 * clouds(rng, plane, 4, 6, 0.8))
    if patient.freckles:
        spots = ramp(clouds(rng, plane, 22, 3), 1.2, 2.2) * ramp(clouds(rng, plane, 3, 3), -0.8, 0.8)
        densities[1] = patient.freckles * spots
    if patient.vessels:
        lines = ridges(clouds(rng, plane, 7, 3), 0.07) * ramp(clouds(rng, plane, 4, 2), 0, 1)
        densities[3] += patient.vessels * lines
    return densities


def relief(rng: np.random.Generator, plane: Plane) -> Float:
    """Log brightness of the furrows and the grain of the skin's surface, (H, W)."""
    furrows = honeycomb(rng, plane, 1 / rng.uniform(14, 30), 0.3)
    grain = clouds(rng, plane, 48, 2, 0.8)
    return rng.uniform(0.005, 0.03) * furrows + rng.uniform(0.008, 0.022) * grain


def reflect(densities: Float, surface: Float) -> Float:
    """Colour under white light, about 0 to 1, (3, H, W).

    Args:
        densities: The columns of ABSORPTION, then the share of light scattered back before it meets them, (5, H, W).
        surface: Log brightness from `relief`, (H, W).
    """
    # einsum, not @: a threaded matrix product may round differently with the number of threads.
    colour = np.exp(surface - np.einsum("cd,dhw->chw", ABSORPTION, densities[:4]))
    veil = planar(VEIL) * np.exp(-0.6 * ABSORPTION[:, 0, None, None] * densities[0])
    return blend(colour, veil, np.minimum(densities[4], 0.8))


def lamp(rng: np.random.Generator, plane: Plane) -> Float:
    """Light on the skin, uneven and seldom white, (3, H, W)."""
    angle, slope, fall = rng.uniform(0, 2 * math.pi), rng.normal(0, 0.16), max(rng.normal(0.25, 0.25), 0)
    shade = 1 + slope * (math.cos(angle) * plane.x + math.sin(angle) * plane.y)
    shade -= fall * plane.distance(rng.normal(0, 0.12), rng.normal(0, 0.12)) ** 2
    cast = np.array(CASTS[rng.integers(len(CASTS))]) ** rng.uniform(0.3, 1.3) * np.exp(rng.normal(0, 0.02, 3))
    return np.asarray(planar(0.98 * math.exp(rng.normal(0, 0.07)) * cast) * shade, np.float32)


def develop(rng: np.random.Generator, image: Float) -> UInt8:
    """What the camera makes of an image (3, H, W): a little blur, grain, and 8-bit RGB, (H, W, 3)."""
    side = image.shape[1]
    defocus = abs(rng.normal(0, 0.003)) * side
    pixels = np.asarray(cv2.merge(list(255 * image)), np.float32)
    if defocus > 0.3:  # pixels; less does not show
        pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), defocus), np.float32)
    grain = rng.uniform(1.2, 6) * (rng.random((side, side), np.float32) + rng.random((side, side), np.float32) - 1)
    return np.clip(pixels + (grain + 0.5)[..., None], 0, 255).astype(np.uint8)
