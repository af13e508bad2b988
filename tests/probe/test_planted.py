"""Planted clusters, which every probe must find, and labels without any meaning, which none may find."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.features.frozen import Features
from dermssl.scores.intervals import ScoreInterval
from probe.maps.sheets import strangers_first
from probe.maps.umap_map import umap_table
from probe.scores.invariance import probe_invariance
from probe.scores.knn import probe_neighbours
from probe.scores.labels import ClassSplit, Side
from probe.scores.linear import probe_linear

CLASSES, EACH, WIDTH = 4, 60, 16
Probe = Callable[[Features, ClassSplit], ScoreInterval]
PROBES: dict[str, Probe] = {
    "knn": lambda features, images: probe_neighbours(features, images, k=10, seed=0).accuracy,
    "linear": lambda features, images: probe_linear(features, images, seed=0).accuracy,
}


def planted() -> tuple[Features, NDArray[np.int64]]:
    """Four clouds about four corners, and which cloud a row is of."""
    rng = np.random.default_rng(0)
    classes = np.arange(CLASSES * EACH) % CLASSES
    corners = 6 * np.eye(CLASSES, WIDTH)
    return (corners[classes] + rng.normal(size=(len(classes), WIDTH))).astype(np.float32), classes


def images_of(classes: NDArray[np.int64]) -> ClassSplit:
    """Two thirds train; two photographs of each lesion, on one side and of one class."""
    rows = np.arange(len(classes))
    lesions = np.array([f"lesion {row // (2 * CLASSES)} {row % CLASSES}" for row in rows])
    held = rows // (2 * CLASSES) % 3 == 0
    sides = [Side(rows[part], classes[part], lesions[part]) for part in (~held, held)]
    return ClassSplit(tuple("abcd"), sides[0], sides[1], {}, 0)


@pytest.mark.parametrize("probe", PROBES)
def test_planted_classes_are_found(probe: str) -> None:
    features, classes = planted()
    assert PROBES[probe](features, images_of(classes)).low > 0.95


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("seed", range(3))
def test_shuffled_classes_are_not(probe: str, seed: int) -> None:
    features, classes = planted()
    by_lesion = np.random.default_rng(seed).permutation(classes.reshape(-1, 2 * CLASSES)[:, :CLASSES].ravel())
    shuffled = np.repeat(by_lesion.reshape(-1, 1, CLASSES), 2, axis=1).ravel()  # a lesion keeps one class
    found = PROBES[probe](features, images_of(shuffled))
    assert found.mean < 1 / CLASSES + 0.15
    assert found.low < 1 / CLASSES < found.high


def test_planted_pairs_are_told_from_strangers_and_shuffled_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(80, WIDTH)).astype(np.float32)
    second = first + 0.3 * rng.normal(size=first.shape).astype(np.float32)
    lesions = np.arange(80).astype(str)
    assert probe_invariance(np.concatenate([first, second]), lesions, 0).recognised.low > 0.95
    mixed = probe_invariance(np.concatenate([first, rng.permutation(second)]), lesions, 0).recognised
    assert mixed.low < 0.5 < mixed.high


def test_neighbours_are_of_the_planted_cluster() -> None:
    features, classes = planted()
    rows, _ = strangers_first(features, np.arange(len(classes)).astype(str), 5)
    assert (classes[rows] == classes[:, None]).mean() > 0.98


@pytest.mark.slow
def test_the_map_lays_planted_clusters_apart() -> None:
    features, classes = planted()
    places = umap_table(features, [str(row) for row in range(len(classes))], {}, seed=0)[["x", "y"]].to_numpy()
    centres = np.stack([places[classes == name].mean(axis=0) for name in range(CLASSES)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == classes).mean() > 0.98
