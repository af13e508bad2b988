import numpy as np
import pytest
from numpy.typing import NDArray

from probe.scores.invariance import probe_invariance

LESIONS = np.array([f"lesion_{index}" for index in range(40)])


def draw(count: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def test_an_encoder_that_sees_no_difference_recognises_every_picture() -> None:
    views = draw(40, 8)
    found = probe_invariance(np.concatenate([views, 3 * views]), LESIONS, seed=0)
    assert found.pairs.mean == pytest.approx(1)
    assert found.recognised.mean == 1
    assert found.alignment == pytest.approx(0, abs=1e-6)
    assert found.strangers == pytest.approx(0, abs=0.1)


def test_views_without_anything_in_common_are_strangers() -> None:
    found = probe_invariance(draw(80, 8), LESIONS, seed=0)
    assert found.recognised.low < 0.5 < found.recognised.high
    assert found.pairs.low < found.strangers < found.pairs.high


def test_a_collapsed_encoder_recognises_by_chance() -> None:
    found = probe_invariance(np.ones((80, 8), np.float32), LESIONS, seed=0)
    assert found.pairs.mean == pytest.approx(1)
    assert found.strangers == pytest.approx(1)
    assert found.recognised.mean == 0.5
    assert found.rankme == pytest.approx(1)
    assert found.uniformity == pytest.approx(0, abs=1e-5)


def test_another_photograph_of_the_lesion_is_no_stranger() -> None:
    views = np.repeat(draw(4, 6), 2, axis=0)  # two equal photographs of each of four lesions
    lesions = np.repeat([f"lesion_{index}" for index in range(4)], 2)
    found = probe_invariance(np.concatenate([views, views]), lesions, seed=0)
    assert found.recognised.mean == 1


def test_cosines_match_their_definition() -> None:
    features = draw(12, 5)
    lesions = np.array(["a", "a", "b", "c", "d", "e"])
    found = probe_invariance(features, lesions, seed=0)

    def cosine(i: int, j: int) -> float:
        return float(features[i] @ features[j] / np.linalg.norm(features[i]) / np.linalg.norm(features[j]))

    assert found.pairs.mean == pytest.approx(np.mean([cosine(i, i + 6) for i in range(6)]), abs=1e-6)
    apart = [cosine(i, j + 6) for i in range(6) for j in range(6) if lesions[i] != lesions[j]]
    assert found.strangers == pytest.approx(np.mean(apart), abs=1e-6)
