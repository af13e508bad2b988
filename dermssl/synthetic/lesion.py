"""Drawn lesions: their traits, whose statistics depend on the diagnosis, and their outline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from dermssl.synthetic.noise import Float, Plane, UInt8, clouds, ramp

REACH = 2.2  # half the side of the square around a lesion that its noise fills, in lesion radii
SPECK = 0.004  # of the largest piece: smaller ones are noise of the border that nobody outlines


@dataclass(frozen=True)
class Habit:
    """How often (shares of lesions) or how strongly a diagnosis shows each sign; the diagnoses overlap on purpose."""

    share: float
    """Share of all lesions that have this diagnosis."""
    pigment: float
    """Median density of brown melanin."""
    roughness: float
    """Median amplitude of the border's noise, in radii."""
    fuzziness: float
    """Median half-width of the border, in radii."""
    asymmetry: float
    """Median tilt of the pigment from one side to the other."""
    patches: float
    """Mean number of colours beyond the first."""
    pink: float
    """Share with more blood than melanin."""
    network: float
    globules: float
    streaks: float
    veil: float
    """Share with a blue-white veil."""
    regression: float
    """Share with scar-like, pale areas."""
    cysts: float
    """Share with milia-like cysts and comedo-like openings."""
    furrows: float
    """Share with brain-like grooves."""
    satellites: float


# fmt: off
HABITS = {
    "nv": Habit(share=0.5, pigment=0.50, roughness=0.12, fuzziness=0.14, asymmetry=0.15, patches=1.2, pink=0.15,
                network=0.50, globules=0.40, streaks=0.04, veil=0.05, regression=0.08, cysts=0.04, furrows=0.03,
                satellites=0.06),
    "mel": Habit(share=0.25, pigment=0.75, roughness=0.21, fuzziness=0.11, asymmetry=0.50, patches=2.4, pink=0.18,
                 network=0.45, globules=0.35, streaks=0.30, veil=0.50, regression=0.45, cysts=0.05, furrows=0.04,
                 satellites=0.30),
    "bkl": Habit(share=0.25, pigment=0.42, roughness=0.16, fuzziness=0.06, asymmetry=0.22, patches=1.5, pink=0.20,
                 network=0.10, globules=0.10, streaks=0.02, veil=0.08, regression=0.15, cysts=0.60, furrows=0.50,
                 satellites=0.10),
}
# fmt: on


@dataclass(frozen=True)
class Traits:
    """What stays the same about one lesion however it is photographed."""

    dx: str
    radius: float
    """In sides of the picture, from the usual distance."""
    stretch: float
    """Square root of long over short axis."""
    lobes: int
    roughness: float
    """Amplitude of the border's noise, in radii."""
    grain: float
    """Gain of that noise's octaves: low is smooth, high is ragged."""
    fuzziness: float
    """Half-width of the border, in radii."""
    pigment: float
    """Density of the melanin."""
    blueness: float
    """Deep melanin over brown; greys the brown."""
    pink: bool
    asymmetry: float
    """Tilt of the pigment from one side to the other, in [0, 1)."""
    core: float
    """Density added in the centre; negative for a lesion with a dark rim."""
    patches: int
    network: float
    """How much its threads stand out; 0 for none."""
    pitch: float
    """Distance between the holes of the network, in radii."""
    globules: bool
    streaks: int
    veil: bool
    regression: bool
    cysts: int
    furrows: bool
    satellites: int


def lesion_traits(rng: np.random.Generator) -> Traits:
    """Draws a diagnosis and, after its habits, a lesion."""
    dx = str(rng.choice(list(HABITS), p=[habit.share for habit in HABITS.values()]))
    habit = HABITS[dx]

    def around(median: float, spread: float, low: float, high: float) -> float:
        return min(max(median * math.exp(spread * rng.standard_normal()), low), high)

    pink = rng.random() < habit.pink
    radius = around(0.24, 0.45, 0.09, 0.62)
    return Traits(
        dx=dx,
        radius=radius,
        stretch=around(1, 0.14, 0.75, 1.33),
        lobes=int(rng.integers(0, 3)),
        roughness=around(habit.roughness, 0.35, 0, 0.4),
        grain=rng.uniform(0.35, 0.62),
        fuzziness=around(habit.fuzziness, 0.6, 0.02, 0.3),
        pigment=around(habit.pigment, 0.5, 0.5 if pink else 0.26, 2.4),
        blueness=0.25 * rng.random() ** 2,
        pink=pink,
        asymmetry=around(habit.asymmetry, 0.5, 0, 0.9),
        core=rng.normal(0.35, 0.5),
        patches=min(int(rng.poisson(habit.patches)), 3),
        network=rng.uniform(0.25, 1.0) if rng.random() < habit.network else 0,
        pitch=min(max(rng.uniform(0.017, 0.030) / radius, 0.04), 0.27),
        globules=rng.random() < habit.globules,
        streaks=int(rng.integers(9, 22)) if rng.random() < habit.streaks else 0,
        veil=rng.random() < habit.veil,
        regression=rng.random() < habit.regression,
        cysts=int(rng.integers(4, 25)) if rng.random() < habit.cysts else 0,
        furrows=rng.random() < habit.furrows,
        satellites=int(rng.integers(1, 4)) if rng.random() < habit.satellites else 0,
    )


def elevation(rng: np.random.Generator, plane: Plane, traits: Traits) -> Float:
    """About the distance from the border in radii, positive inside the lesion and its satellites, (H, W)."""
    height = 1 - np.sqrt((plane.x / traits.stretch) ** 2 + (plane.y * traits.stretch) ** 2)
    for _ in range(traits.lobes):
        angle, away, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.7), rng.uniform(0.4, 0.65)
        height = np.maximum(height, radius - plane.distance(away * math.cos(angle), away * math.sin(angle)))
    height += traits.roughness * clouds(rng, plane, 5, 5, traits.grain)
    if traits.streaks:
        angles = np.arctan2(plane.y, plane.x) + 0.2 * clouds(rng, plane, 8, 2)
        length = 0.08 + 0.06 * clouds(rng, plane, 6, 2)
        height += length * np.cos(traits.streaks * angles) * ramp(height, -0.3, 0.2)
    if traits.satellites:
        height = np.maximum(height, satellites(rng, plane, traits))
    return height


def satellites(rng: np.random.Generator, plane: Plane, traits: Traits) -> Float:
    """Elevation of small islands just beyond the border, (H, W)."""
    height = np.full_like(plane.x, -np.inf)
    for _ in range(traits.satellites):
        angle, gap, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0.12, 0.3), rng.uniform(0.07, 0.17)
        x, y = math.cos(angle) * traits.stretch, math.sin(angle) / traits.stretch
        away = 1.1 + gap + radius
        height = np.maximum(height, radius - plane.distance(away * x, away * y))
    return height + 0.03 * clouds(rng, plane, 24, 3)


def outlined_lesion(height: Float) -> UInt8:
    """What a person would outline where `height` is above 0, without holes or specks; 0 or 255, (H, W)."""
    inside = (height > 0).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = [cv2.contourArea(contour) for contour in contours]
    large = [contour for contour, area in zip(contours, areas, strict=True) if area >= SPECK * max(areas)]
    return np.asarray(cv2.drawContours(np.zeros_like(inside), large, -1, 255, cv2.FILLED), np.uint8)
