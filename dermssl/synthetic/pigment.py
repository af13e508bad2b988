"""Drawn lesions: the pigments inside the outline, and the structures that a dermatologist looks for in them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dermssl.synthetic.lesion import Traits
from dermssl.synthetic.noise import Float, Plane, clouds, discs, honeycomb, ramp, ridges


@dataclass(frozen=True)
class Pigment:
    """What colours each pixel of a lesion, (H, W) each; densities are relative to the lesion's own."""

    brown: Float
    """Melanin near the surface."""
    deep: Float
    """Melanin far down, which looks blue-grey."""
    blood: Float
    white: Float
    """Share of the light that is scattered back before it meets any pigment."""


def pigments(rng: np.random.Generator, plane: Plane, traits: Traits, height: Float) -> Float:
    """Densities of brown melanin, deep melanin and blood, and the share of white scatter, (4, H, W).

    All fall off at the border so that the contrast to the skin is halved where `height` is 0, where the mask ends.
    """
    pigment = structured(rng, plane, traits, ground(rng, plane, traits, height))
    brown, blood = (0.25, 2.5) if traits.pink else (1, 0.6)
    layers = np.stack(
        [
            traits.pigment * brown * pigment.brown,
            traits.pigment * pigment.deep,
            traits.pigment * blood * pigment.blood,
            pigment.white,
        ]
    )
    softness = traits.fuzziness * np.exp(0.5 * clouds(rng, plane, 3, 2))  # fuzzy on one side, sharp on another
    return np.maximum(layers, 0) * fade(ramp(height, -softness, softness), traits.pigment * brown)


def fade(contrast: Float, density: float) -> Float:
    """The share of a pigment that is to stay for a share of its `contrast` to stay, both in [0, 1].

    Light falls off exponentially: of a dense pigment, half is still as dark as all of it.
    """
    return np.asarray(np.log1p(contrast * math.expm1(-density)) / -density, np.float32)


def structured(rng: np.random.Generator, plane: Plane, traits: Traits, pigment: Pigment) -> Pigment:
    """Adds every structure that the lesion has."""
    if traits.patches:
        pigment = patches(rng, plane, traits.patches, pigment)
    if traits.veil:
        pigment = veil(rng, plane, pigment)
    if traits.regression:
        pigment = regression(rng, plane, pigment)
    if traits.network:
        pigment = pigment_network(rng, plane, traits, pigment)
    if traits.globules:
        pigment = globules(rng, plane, 1.3 * traits.pitch, pigment)
    if traits.furrows:
        pigment = furrows(rng, plane, pigment)
    if traits.cysts:
        pigment = cysts(rng, plane, traits.cysts, pigment)
    return pigment


def ground(rng: np.random.Generator, plane: Plane, traits: Traits, height: Float) -> Pigment:
    """The first colour: uneven, denser or paler in the centre and on one side."""
    uneven = clouds(rng, plane, 4, 6, 0.62)
    brown = np.exp(0.28 * uneven + 0.1 * clouds(rng, plane, 40, 2, 0.8)) + traits.core * (ramp(height, 0, 0.9) - 0.4)
    angle = rng.uniform(0, 2 * math.pi)
    tilt = np.clip(math.cos(angle) * plane.x + math.sin(angle) * plane.y, -1, 1)
    return Pigment(
        brown=np.maximum(brown * (1 + traits.asymmetry * tilt), 0.35),  # less, and its border could not be known
        deep=np.full_like(brown, traits.blueness),
        blood=0.25 + 0.1 * uneven,
        white=np.zeros_like(brown),
    )


def patches(rng: np.random.Generator, plane: Plane, count: int, pigment: Pigment) -> Pigment:
    """Areas of one to three further colours."""
    brown, deep, blood = pigment.brown, pigment.deep, pigment.blood
    colours = ((1.4, 0.3, 0.0), (0.1, 0.7, 0.0), (-0.4, 0.0, 0.9), (-0.7, 0.0, 0.1))  # dark, blue-grey, red, pale
    for colour in rng.permutation(4)[:count].tolist():
        area = ramp(clouds(rng, plane, 4, 5, 0.7), -0.1, 1.7)
        darker, bluer, redder = colours[colour]
        brown, deep, blood = brown * (1 + darker * area), deep + bluer * area, blood + redder * area
    return replace(pigment, brown=brown, deep=deep, blood=blood)


def veil(rng: np.random.Generator, plane: Plane, pigment: Pigment) -> Pigment:
    """A blue-white haze over a part."""
    area = ramp(clouds(rng, plane, 3, 5, 0.65), -0.1, 1.6)
    return replace(pigment, deep=pigment.deep + 0.9 * area, white=pigment.white + 0.22 * area)


def regression(rng: np.random.Generator, plane: Plane, pigment: Pigment) -> Pigment:
    """Scar-like areas that have lost their pigment."""
    area = ramp(clouds(rng, plane, 4, 5, 0.7), 0, 1.5)
    brown, blood = pigment.brown * (1 - 0.75 * area), pigment.blood + 0.15 * area
    return replace(pigment, brown=brown, blood=blood, white=pigment.white + 0.28 * area)


def pigment_network(rng: np.random.Generator, plane: Plane, traits: Traits, pigment: Pigment) -> Pigment:
    """Brown threads around paler holes, here plain and there faint."""
    threads = ramp(-honeycomb(rng, plane, traits.pitch, 0.32), -0.3, 0.4)
    strength = traits.network * ramp(clouds(rng, plane, 4, 2), -0.9, 0.4)
    return replace(pigment, brown=pigment.brown * (1 + strength * (1.2 * threads - 0.5)))


def globules(rng: np.random.Generator, plane: Plane, pitch: float, pigment: Pigment) -> Pigment:
    """Clusters of round brown clods."""
    clods = ramp(honeycomb(rng, plane, pitch, 0.35), 0.25, 0.7)
    return replace(pigment, brown=pigment.brown + 0.7 * clods * ramp(clouds(rng, plane, 5, 2), -0.2, 0.8))


def furrows(rng: np.random.Generator, plane: Plane, pigment: Pigment) -> Pigment:
    """Dark winding grooves."""
    return replace(pigment, brown=pigment.brown * (1 + 0.8 * ridges(clouds(rng, plane, 14, 3), 0.5)))


def cysts(rng: np.random.Generator, plane: Plane, count: int, pigment: Pigment) -> Pigment:
    """Pale round cysts and half as many dark openings."""
    total = count + count // 2
    angles, away = rng.uniform(0, 2 * math.pi, total), 0.85 * np.sqrt(rng.random(total))
    centres, radii = np.stack([away * np.cos(angles), away * np.sin(angles)], axis=1), rng.uniform(0.015, 0.04, total)
    pale, dark = discs(plane, centres[:count], radii[:count]), discs(plane, centres[count:], radii[count:])
    return replace(pigment, brown=pigment.brown * (1 - 0.8 * pale) + 1.6 * dark, white=pigment.white + 0.45 * pale)
