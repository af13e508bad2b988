from math import exp

import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.frozen import Features
from dermssl.neighbours import vote


def vote_by_double_loop(
    bank: Features, classes: NDArray[np.int64], queries: Features, count: int, k: int, temperature: float
) -> NDArray[np.float64]:
    votes = np.zeros((len(queries), count))
    for row, query in enumerate(queries):
        similarities = [float(query @ known / np.linalg.norm(query) / np.linalg.norm(known)) for known in bank]
        for near in sorted(range(len(bank)), key=lambda i: -similarities[i])[:k]:
            votes[row, classes[near]] += exp(similarities[near] / temperature)
    return votes / votes.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("k", [1, 4, 17])
def test_the_vote_matches_its_definition(k: int) -> None:
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(17, 5)).astype(np.float32), rng.normal(size=(6, 5)).astype(np.float32)
    classes = rng.integers(0, 3, 17)
    expected = vote_by_double_loop(bank, classes, queries, 3, k, 0.1)
    np.testing.assert_allclose(vote(bank, classes, queries, 3, k, 0.1), expected, rtol=1e-4, atol=1e-6)


def test_an_image_of_the_bank_is_its_own_nearest_neighbour() -> None:
    bank = np.random.default_rng(1).normal(size=(9, 4)).astype(np.float32)
    classes = np.arange(9)
    assert (vote(bank, classes, 3 * bank, 9, k=1).argmax(axis=1) == classes).all()


def test_at_a_high_temperature_all_neighbours_count_alike() -> None:
    bank = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
    shares = vote(bank, np.array([0, 0, 0, 1]), bank, 2, k=4, temperature=1e6)
    assert shares == pytest.approx(np.tile([0.75, 0.25], (4, 1)), abs=1e-5)


def test_features_of_zeros_are_no_error() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert vote(zeros, np.array([0, 1]), zeros, 2, k=2) == pytest.approx(np.full((2, 2), 0.5))
