import numpy as np

from probe.scores.labels import ClassSplit, Side
from probe.scores.linear import STRENGTHS, chosen_strength, classify, probe_linear


def cloud(count: int, classes: int, apart: float, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = np.arange(count) % classes
    return (rng.normal(size=(count, width)) + apart * np.eye(classes, width)[truth]).astype(np.float32), truth


def whole(rows: np.ndarray, classes: np.ndarray) -> Side:
    return Side(rows, classes[rows], rows.astype(str))


def test_classes_far_apart_are_told_apart() -> None:
    features, classes = cloud(60, 3, apart=12)
    sides = whole(np.arange(40), classes), whole(np.arange(40, 60), classes)
    found = probe_linear(features, ClassSplit(("a", "b", "c"), *sides, {}, 0), seed=0)
    assert found.accuracy == (1, 1, 1)
    assert found.strength in STRENGTHS


def test_the_scale_of_a_feature_does_not_matter() -> None:
    features, classes = cloud(60, 2, apart=1)
    guess = classify(features[:40], classes[:40], features[40:], 0.1)
    stretched = (features * 10.0 ** np.arange(-2, 4)).astype(np.float32)
    assert (classify(stretched[:40], classes[:40], stretched[40:], 0.1) == guess).all()


def test_a_rare_class_weighs_as_much_as_a_frequent_one() -> None:
    classes = np.array([0] * 90 + [1] * 10)
    features = (np.random.default_rng(1).normal(size=(100, 1)) + 1.0 * classes[:, None]).astype(np.float32)
    found = classify(features, classes, features, 1.0)
    assert (found[classes == 1] == 1).mean() > 0.5


def test_a_class_of_two_lesions_is_cross_validated_in_two_folds() -> None:
    features, classes = cloud(20, 2, apart=6)
    classes = np.array([0] * 18 + [1] * 2)
    side = Side(np.arange(20), classes, np.arange(20).astype(str))
    assert chosen_strength(features, side, seed=0) in STRENGTHS


def test_a_fold_with_one_class_predicts_it() -> None:
    assert classify(np.ones((3, 2), np.float32), np.full(3, 2), np.ones((2, 2), np.float32), 1.0).tolist() == [2, 2]
