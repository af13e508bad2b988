from itertools import permutations
from math import isnan

import numpy as np
import pytest
from numpy.typing import NDArray

from probe.scores.similarity import cka, cka_by_stage, gram, hsic, similarity_figure


def draw(count: int, dim: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, dim))


def hsic_by_tuples(k: NDArray[np.float64], l: NDArray[np.float64]) -> float:  # noqa: E741
    """The U-statistic: a mean over all ordered choices of four pictures."""
    chosen = list(permutations(range(len(k)), 4))
    return sum(k[i, j] * (l[i, j] + l[q, r] - 2 * l[i, q]) for i, j, q, r in chosen) / len(chosen)


@pytest.mark.parametrize("count", [4, 6, 7])
def test_hsic_is_its_u_statistic(count: int) -> None:
    k, l = gram(draw(count, 3)), gram(draw(count, 5, seed=1))  # noqa: E741
    assert hsic(k, l) / (count * (count - 3)) == pytest.approx(hsic_by_tuples(k, l))


def test_a_turned_scaled_and_moved_space_is_the_same_space() -> None:
    features = draw(30, 6)
    rotation = np.linalg.qr(draw(6, 6, seed=2))[0]
    assert cka(features, 3 * features @ rotation + 100) == pytest.approx(1)


def test_spaces_that_have_nothing_to_do_with_each_other_have_none_whatever_their_width() -> None:
    assert cka(draw(200, 5), draw(200, 5, seed=1)) == pytest.approx(0, abs=0.05)
    assert cka(draw(40, 4000), draw(40, 4000, seed=1)) == pytest.approx(0, abs=0.15)  # the biased one gives 0.98


def test_half_of_the_directions_shared_is_half_of_the_way() -> None:
    shared, ours, theirs = draw(3000, 4), draw(3000, 4, seed=1), draw(3000, 4, seed=2)
    assert cka(np.hstack([shared, ours]), np.hstack([shared, theirs])) == pytest.approx(0.5, abs=0.03)


def test_a_constant_encoder_is_similar_to_nothing() -> None:
    assert isnan(cka(np.full((9, 3), 0.1), draw(9, 3)))


@pytest.mark.parametrize(("a", "b"), [(3, 3), (5, 6)])
def test_too_few_or_other_pictures_are_refused(a: int, b: int) -> None:
    with pytest.raises(ValueError, match="CKA needs the same four pictures or more"):
        cka(draw(a, 2), draw(b, 2))


def test_stages_are_compared_each_with_each() -> None:
    a, b = [draw(20, 3), draw(20, 4, seed=1)], [draw(20, 4, seed=1), draw(20, 3), draw(20, 9, seed=3)]
    matrix = cka_by_stage(a, b)
    assert matrix.shape == (2, 3)
    assert matrix[0, 1] == pytest.approx(1)
    assert matrix[1, 0] == pytest.approx(1)
    assert matrix[0, 0] == pytest.approx(cka(a[0], b[0]))


def test_the_figure_writes_every_number() -> None:
    matrix = np.array([[0.25, 1.0], [0.5, np.nan]])
    texts = [text.get_text() for text in similarity_figure(matrix, "ssl", "imagenet", 40).axes[0].texts]
    assert texts == ["0.25", "1.00", "0.50", "nan"]
