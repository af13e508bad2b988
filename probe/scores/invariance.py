"""Invariance and rank: do two views of a lesion lie together, do strangers lie apart, and how full is the space?"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dermssl.features.frozen import Features
from dermssl.features.neighbours import unit
from dermssl.features.representation import alignment, rankme, uniformity
from dermssl.scores.intervals import ScoreInterval, class_mean


class Invariance(NamedTuple):
    """What two views of the same pictures tell of an encoder."""

    pairs: ScoreInterval
    """Mean cosine of two views of one picture."""
    strangers: float
    """Mean cosine of views of two lesions."""
    recognised: ScoreInterval
    """Share of a picture's strangers that lie farther from its view than its other view does: 0.5 is chance."""
    rankme: float
    """Dimensions that the views' features fill, at most their number (Garrido et al. 2023)."""
    alignment: float
    """Mean squared distance of two views' unit features, in [0, 4] (Wang and Isola 2020)."""
    uniformity: float
    """Evenness of the unit features, from 0 (a point) to -4 (all over the sphere); ibid."""


def probe_invariance(features: Features, lesions: NDArray[np.str_], seed: int) -> Invariance:
    """Compares each picture's two views with one another and with those of other lesions.

    Args:
        features: Features of the first views and then the second ones, (2N, C).
        lesions: The lesion of each picture, (N,), two or more; a picture of the same lesion is no stranger.
        seed: Seed of the intervals, which resample lesions.
    """
    rows = unit(features)
    first, second = np.split(rows, 2)
    cosines = first @ second.T  # (N, N)
    pairs = cosines.diagonal()
    strange = lesions[:, None] != lesions[None, :]
    farther = ((cosines < pairs[:, None]) + 0.5 * (cosines == pairs[:, None])) * strange
    recognised = farther.sum(axis=1) / strange.sum(axis=1)
    a, b = torch.from_numpy(first), torch.from_numpy(second)
    single_class = np.zeros(len(lesions))
    return Invariance(
        pairs=class_mean(pairs, single_class, lesions, seed),
        strangers=float(cosines[strange].mean()),
        recognised=class_mean(recognised, single_class, lesions, seed),
        rankme=float(rankme(torch.from_numpy(features))),
        alignment=float(alignment(a, b)),
        uniformity=float(uniformity(a)),
    )
