from math import exp

import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.features.frozen import Features
from dermssl.features.neighbours import nearest_neighbours, recall_of, vote


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


def clouds(count: int, seed: int = 0) -> Features:
    """Rows about a hundred centres, as images are about their kinds."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(100, 16))
    return (centres[rng.integers(100, size=count)] + 0.3 * rng.normal(size=(count, 16))).astype(np.float32)


def test_the_nearest_are_those_of_the_largest_cosines() -> None:
    bank, queries = clouds(50), clouds(5, seed=1)
    found = nearest_neighbours(bank, queries, k=7)
    cosines = (queries / np.linalg.norm(queries, axis=1)[:, None]) @ (bank / np.linalg.norm(bank, axis=1)[:, None]).T
    assert (found.rows == np.argsort(-cosines, axis=1)[:, :7]).all()
    assert found.similarities == pytest.approx(-np.sort(-cosines, axis=1)[:, :7], abs=1e-6)
    assert found.recall == 1


def test_a_large_bank_is_searched_in_part_and_the_recall_is_told() -> None:
    bank, queries = clouds(5000), clouds(400, seed=1)
    exact, part = nearest_neighbours(bank, queries, 10), nearest_neighbours(bank, queries, 10, exact_up_to=1000)
    found = recall_of(exact.rows, part.rows)
    assert 0.97 < found <= 1
    assert part.recall == pytest.approx(found, abs=0.01)
    assert part.similarities[:, 0] == pytest.approx(exact.similarities[:, 0], abs=0.05)


def test_rows_without_any_order_are_searched_until_enough_is_found() -> None:
    rng = np.random.default_rng(0)
    bank, queries = rng.normal(size=(3000, 64)).astype(np.float32), rng.normal(size=(50, 64)).astype(np.float32)
    assert nearest_neighbours(bank, queries, 10, exact_up_to=100).recall >= 0.98
