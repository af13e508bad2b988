import numpy as np

from probe.scores.knn import confusion, probe_neighbours
from probe.scores.labels import ClassSplit, Side


def test_clusters_are_recognised_with_more_neighbours_asked_for_than_there_are() -> None:
    rng = np.random.default_rng(3)
    classes = np.arange(20) % 2
    features = (np.where(classes[:, None] == 1, [4.0, 0.0], [0.0, 4.0]) + rng.normal(size=(20, 2)) / 4).astype(
        np.float32
    )
    sides = [Side(rows, classes[rows], rows.astype(str)) for rows in (np.arange(12), np.arange(12, 20))]
    found = probe_neighbours(features, ClassSplit(("mel", "nv"), sides[0], sides[1], {}, 0), k=50, seed=0)
    assert (found.k, found.accuracy.mean) == (12, 1.0)
    assert found.confusion.to_numpy().tolist() == [[4, 0], [0, 4]]


def test_a_confusion_has_the_truth_in_its_rows() -> None:
    table = confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), ("mel", "nv"))
    assert table.loc["mel", "nv"] == 1
    assert table.loc["nv", "mel"] == 0
