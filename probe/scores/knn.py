"""Nearest neighbours: is an image's class that of the images whose features point the same way?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dermssl.features.frozen import Features
from dermssl.features.neighbours import nearest_neighbours, weighted_vote
from dermssl.scores.intervals import ScoreInterval, class_mean
from probe.scores.labels import ClassSplit


@dataclass(frozen=True)
class Neighbours:
    """What the vote of the neighbours got right."""

    accuracy: ScoreInterval
    """Balanced: the mean over classes of the share of images recognised."""
    k: int
    """Neighbours that voted: those asked for, or all there are."""
    recall: float
    """Share of the true neighbours that were found; 1 where the search was exact, as it is up to 100 000 images."""
    confusion: pd.DataFrame
    """Held-out images by true class (rows) and voted class (columns)."""


def probe_neighbours(features: Features, images: ClassSplit, k: int, seed: int) -> Neighbours:
    """Lets the training images vote on the held-out ones.

    Args:
        features: Features of all images, (N, C).
        images: Which of them train and are held out, and their classes; at least two classes.
        k: Neighbours; more than the training images are clamped to these.
        seed: Seed of the interval.
    """
    k = min(k, len(images.train))
    near = nearest_neighbours(features[images.train.rows], features[images.val.rows], k)
    voted = weighted_vote(near, images.train.classes, len(images.names)).argmax(axis=1)
    hits = voted == images.val.classes
    accuracy = class_mean(hits, images.val.classes, images.val.lesions, seed)
    return Neighbours(accuracy, k, near.recall, confusion(images.val.classes, voted, images.names))


def confusion(truth: NDArray[np.int64], guess: NDArray[np.int64], names: tuple[str, ...]) -> pd.DataFrame:
    """Images by true class (rows) and guessed class (columns)."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, guess), 1)
    return pd.DataFrame(counts, index=pd.Index(names, name="truth"), columns=pd.Index(names))
