"""The linear probe: how well a logistic regression on frozen features tells classes apart."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from dermssl.features.frozen import Features
from dermssl.scores.intervals import ScoreInterval, class_mean
from probe.scores.labels import ClassSplit, Side

STRENGTHS = tuple(10.0**power for power in range(-5, 1))
"""Inverse penalties C to choose from. On standardised features of hundreds of images more than 1 is as good as none."""
FOLDS = 5


@dataclass(frozen=True)
class Linear:
    """What the classifier got right."""

    accuracy: ScoreInterval
    """Balanced: the mean over classes of the share of images recognised."""
    strength: float
    """The inverse penalty C that the training images chose."""


def probe_linear(features: Features, images: ClassSplit, seed: int) -> Linear:
    """Fits on the training images, with the penalty that they choose among themselves, and scores the held-out ones.

    Args:
        features: Features of all images, (N, C).
        images: Which of them train and are held out, and their classes; at least two classes.
        seed: Seed of the inner folds and of the interval.
    """
    train, val = images.train, images.val
    with threadpool_limits(1):  # the products are small: beside a busy core a second thread made it forty times slower
        strength = chosen_strength(features[train.rows], train, seed)
        guess = classify(features[train.rows], train.classes, features[val.rows], strength)
    return Linear(class_mean(guess == val.classes, val.classes, val.lesions, seed), strength)


def chosen_strength(features: Features, train: Side, seed: int) -> float:
    """The C of the best balanced accuracy over inner folds; of equals, the smallest, which is the smoothest.

    No lesion lies in two folds. There are five, or as many as the rarest class has lesions.
    """
    lesions = [len(np.unique(train.lesions[train.classes == name])) for name in np.unique(train.classes)]
    folds = StratifiedGroupKFold(min(FOLDS, *lesions), shuffle=True, random_state=seed)
    hits = np.zeros((len(STRENGTHS), len(train)))
    for fit, held in folds.split(features, train.classes, train.lesions):
        for row, strength in enumerate(STRENGTHS):
            guess = classify(features[fit], train.classes[fit], features[held], strength)
            hits[row, held] = guess == train.classes[held]
    recalls = [hits[:, train.classes == name].mean(axis=1) for name in np.unique(train.classes)]
    return STRENGTHS[int(np.mean(recalls, axis=0).argmax())]


def classify(features: Features, classes: NDArray[np.int64], queries: Features, strength: float) -> NDArray[np.int64]:
    """The classes of `queries`, by a logistic regression on features standardised over (N, C) `features`.

    Classes weigh alike however many images they have, since the score does the same.
    """
    if len(np.unique(classes)) == 1:  # lesions of several classes can leave a fold with one
        return np.full(len(queries), classes[0])
    scaler = StandardScaler().fit(features.astype(np.float64))
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=2000)
    model.fit(scaler.transform(features.astype(np.float64)), classes)
    return np.asarray(model.predict(scaler.transform(queries.astype(np.float64))), np.int64)
