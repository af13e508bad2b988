from itertools import product
from math import isnan, nan

import numpy as np
import pytest
from scipy import stats

from compare.statistics.aggregate import interquartile_mean, probability_of_improvement
from compare.statistics.critical_difference import critical_difference, friedman_p, nemenyi_distance

approx = pytest.approx


def test_the_interquartile_mean_leaves_a_quarter_out_at_each_end() -> None:
    assert interquartile_mean(np.array([[0.0, 0.5, 0.6], [0.7, 0.8, 0.9], [0.75, 0.65, nan]])) == approx(0.675)


def test_one_failed_training_does_not_move_the_interquartile_mean() -> None:
    good = np.array([0.80, 0.80, 0.80, 0.80])
    assert interquartile_mean(np.array([*good[:3], 0.1])) == approx(0.80)
    assert isnan(interquartile_mean(np.array([nan])))


def test_probability_of_improvement_counts_pairs_of_runs() -> None:
    source = np.random.default_rng(0)
    a, b = source.integers(0, 4, (5, 3)) / 4, source.integers(0, 4, (5, 2)) / 4
    cells = []
    for cell in range(5):
        wins = [1.0 if x > y else 0.5 if x == y else 0.0 for x, y in product(a[cell], b[cell])]
        cells.append(sum(wins) / len(wins))
    assert probability_of_improvement(a, b) == approx(np.mean(cells))


def test_probability_of_improvement_of_one_cell_is_mann_and_whitneys_u() -> None:
    a, b = np.array([[0.7, 0.8, 0.75]]), np.array([[0.72, 0.6, 0.74]])
    assert probability_of_improvement(a, b) == approx(stats.mannwhitneyu(a[0], b[0]).statistic / 9)


def test_missing_runs_leave_the_pairs_that_are_there() -> None:
    a, b = np.array([[0.8, nan], [nan, nan]]), np.array([[0.7, 0.9], [0.1, 0.1]])
    assert probability_of_improvement(a, b) == 0.5
    assert isnan(probability_of_improvement(a[1:], b[1:]))


def test_runs_of_other_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="same cells"):
        probability_of_improvement(np.zeros((2, 3)), np.zeros((3, 3)))


# ranks over cells

SCORES = np.array([[0.80, 0.79, 0.60], [0.82, 0.82, 0.61], [0.78, 0.75, 0.59], [0.81, 0.80, 0.81]])  # two ties


def test_tied_arms_share_the_mean_of_their_ranks() -> None:
    table = critical_difference(["ssl", "imagenet", "random"], SCORES).ranks.set_index("arm")
    ssl, imagenet, random = 1 + 1.5 + 1 + 1.5, 2 + 1.5 + 2 + 3, 3 + 3 + 3 + 1.5
    assert table["mean_rank"].to_dict() == approx({"ssl": ssl / 4, "imagenet": imagenet / 4, "random": random / 4})
    assert table["wins"].to_dict() == approx({"ssl": 3, "imagenet": 0.5, "random": 0.5})


def test_friedmans_test_agrees_with_scipy_where_nothing_and_something_is_tied() -> None:
    for scores in (np.random.default_rng(3).normal(0, 1, (6, 4)), np.random.default_rng(4).integers(0, 4, (9, 4))):
        ranks = stats.rankdata(-scores, axis=1)
        chi = stats.friedmanchisquare(*scores.T).statistic
        n, k = scores.shape
        f = (n - 1) * chi / (n * (k - 1) - chi)  # Iman and Davenport
        assert friedman_p(ranks) == approx(stats.f.sf(f, k - 1, (k - 1) * (n - 1)))


def test_nemenyis_distance_is_that_of_demsars_table() -> None:
    # q of 2, 3, 5 and 10 arms in Demsar 2006, table 5a
    for arms, q in ((2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)):
        assert nemenyi_distance(arms, 14) == approx(q * (arms * (arms + 1) / (6 * 14)) ** 0.5, rel=1e-3)


def test_groups_join_neighbours_within_the_distance_and_no_group_lies_in_another() -> None:
    source = np.random.default_rng(0)
    scores = np.array([0.9, 0.8, 0.5, 0.4]) + source.normal(0, 0.06, (40, 4))
    found = critical_difference(list("abcd"), scores)
    ranks = found.ranks.set_index("arm")["mean_rank"]
    for group in found.groups:
        assert ranks[list(group)].max() - ranks[list(group)].min() < found.distance
        assert not any(set(group) < set(other) for other in found.groups)
    together = {pair for group in found.groups for pair in product(group, group)}
    for a, b in product("abcd", "abcd"):
        assert a == b or ((a, b) in together) == (abs(ranks[a] - ranks[b]) < found.distance)


def test_three_arms_that_cannot_be_told_apart_are_one_group() -> None:
    scores = np.array([[3, 2, 1], [3, 2, 1], [1, 2, 3], [2, 3, 1.0]])
    assert critical_difference(list("abc"), scores).groups == [("a", "b", "c")]


def test_arms_that_are_equal_everywhere_rank_alike() -> None:
    found = critical_difference(["a", "b"], np.full((5, 2), 0.7))
    assert found.friedman_p == 1
    assert found.groups == [("a", "b")]


def test_arms_in_one_order_everywhere_are_told_apart() -> None:
    found = critical_difference(list("abc"), np.arange(12.0, 0, -1).reshape(4, 3).repeat(4, axis=0))
    assert found.friedman_p == 0
    assert (found.ranks["arm"].tolist(), found.groups) == (["a", "b", "c"], [])


def test_cells_without_all_arms_do_not_count_and_one_cell_is_too_few() -> None:
    found = critical_difference(["a", "b"], np.array([[0.7, nan], [0.7, 0.8]]))
    assert (found.cells, isnan(found.friedman_p), isnan(found.distance)) == (1, True, True)
    assert found.ranks["arm"].tolist() == ["b", "a"]


def test_a_column_that_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(cells, arms\)"):
        critical_difference(["a", "b"], np.zeros((3, 3)))
