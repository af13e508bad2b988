"""Moderated variances: by brute force, by Smyth's own estimates where contrasts are many, and at the edges."""

import numpy as np
import pytest
from scipy import special, stats

from compare.statistics.paired import Components
from compare.statistics.smyth import CORRELATIONS, FREEDOMS, LIKELY, correlation_weights, expected_freedom, moderated

approx = pytest.approx

INDEPENDENT = np.eye(len(CORRELATIONS))[0]
EQUAL = np.eye(len(CORRELATIONS))[-1]


def parts_of(variances: list[float], seeds: int = 3) -> list[Components]:
    """Of contrasts whose seeds' means vary like this, by seeds."""
    return [Components(1e-6, variance, 1e-7, 100, seeds - 1) for variance in variances]


def test_a_posterior_is_that_of_a_numerical_marginal_likelihood() -> None:
    variances, freedom = np.array([1.0, 0.4, 3.0]), 2
    grid = np.exp(np.linspace(-14, 14, 2801))  # of a variance: every integral is a sum over it
    density = np.stack([stats.gamma.pdf(one, freedom / 2, scale=2 * grid / freedom) for one in variances])  # (3, v)
    logs, weights, means = np.log(grid), [], []
    scales = np.exp(np.linspace(np.log(0.4) - 6, np.log(3.0) + 6, 57))
    for prior in FREEDOMS[:-1]:  # the last, equal variances, is as good as a point
        for scale in scales:
            here = stats.invgamma.pdf(grid, prior / 2, scale=prior * scale / 2) * grid  # on the logarithm
            joint = density * here
            weights.append(joint.sum(axis=1).prod() * 0.01**3)
            means.append((joint @ logs) / np.maximum(joint.sum(axis=1), 1e-300))
    weights += [np.prod([stats.gamma.pdf(one, 1, scale=scale) for one in variances]) for scale in scales]
    means += [np.full(3, np.log(scale)) for scale in scales]
    expected = np.average(means, axis=0, weights=weights)  # posterior mean of each logarithm
    found = moderated(parts_of(list(variances)), INDEPENDENT)
    half = np.array([own.seed_freedom for own in found]) / 2
    assert np.log([own.seeds for own in found] * half) - special.digamma(half) == approx(expected, abs=0.02)


def test_many_contrasts_have_the_moderated_variances_of_smyth() -> None:
    rng, prior, scale, freedom = np.random.default_rng(0), 4.0, 2.0, 3
    variances = scale * prior / rng.chisquare(prior, 2000) * rng.chisquare(freedom, 2000) / freedom
    logs = np.log(variances) - special.digamma(freedom / 2) + np.log(freedom / 2)  # Smyth 2004, section 6.2
    beyond = float(logs.var(ddof=1) - special.polygamma(1, freedom / 2))
    fitted = 2 * float(np.interp(-beyond, *_trigamma()))
    prior_scale = np.exp(logs.mean() + special.digamma(fitted / 2) - np.log(fitted / 2))
    expected = (freedom * variances + fitted * prior_scale) / (freedom + fitted)
    found = moderated(parts_of(list(variances / 4), seeds=4), INDEPENDENT)
    assert [4 * own.seeds for own in found] == approx(expected, rel=0.1)
    assert np.mean([own.seed_freedom for own in found]) == approx(freedom + fitted, rel=0.15)


def _trigamma() -> tuple[np.ndarray, np.ndarray]:
    """Minus the trigamma function, rising, and where."""
    x = np.exp(np.linspace(-4, 6, 4000))
    return -special.polygamma(1, x), x


def test_one_contrast_keeps_its_own_exactly() -> None:
    assert moderated(parts_of([2.0]), INDEPENDENT) == parts_of([2.0])


def test_contrasts_that_move_together_in_full_keep_nearly_their_own() -> None:
    found = moderated(parts_of([1.0, 1.0, 1.0, 1.0]), EQUAL)
    assert [own.seed_freedom for own in found] == approx([2] * 4, rel=0.1)


def test_alike_contrasts_borrow_and_those_that_differ_do_not() -> None:
    alike = moderated(parts_of([1.0, 1.2, 0.9, 1.1]), INDEPENDENT)
    apart = moderated(parts_of([1e-6, 1e-2, 1.0, 1e4]), INDEPENDENT)
    assert min(own.seed_freedom for own in alike) > 4
    assert max(own.seed_freedom for own in apart) < 2.6
    assert [own.seeds for own in apart] == approx([1e-6, 1e-2, 1.0, 1e4], rel=0.8)


def test_lesions_and_rest_are_nobody_elses() -> None:
    found = moderated(parts_of([1.0, 3.0]), INDEPENDENT)
    assert {(own.lesions, own.rest, own.lesion_freedom) for own in found} == {(1e-6, 1e-7, 100)}


def test_neither_order_nor_unit_matters() -> None:
    variances = [0.3, 1.0, 5.0, 0.8]
    found = moderated(parts_of(variances), INDEPENDENT)
    turned = moderated(parts_of(variances[::-1]), INDEPENDENT)[::-1]
    points = moderated(parts_of([1e4 * one for one in variances]), INDEPENDENT)
    assert [own.seeds for own in turned] == approx([own.seeds for own in found])
    assert [own.seeds for own in points] == approx([1e4 * own.seeds for own in found])
    assert [own.seed_freedom for own in points] == approx([own.seed_freedom for own in found])


def test_one_seed_and_seeds_that_agree_stay_as_they_are_and_have_no_say() -> None:
    one_seed, agreeing = Components(1e-6, 0.0, 0.0, 100, 0), Components(1e-6, 0.0, 0.0, 100, 2)
    found = moderated([one_seed, agreeing, *parts_of([1.0, 2.0])], INDEPENDENT)
    assert found[:2] == [one_seed, agreeing]
    assert found[2:] == moderated(parts_of([1.0, 2.0]), INDEPENDENT)


def test_variances_of_a_training_are_compared_where_seeds_differ_in_number() -> None:
    few, many = Components(0.0, 0.9 / 3, 0.0, 100, 2), Components(0.0, 0.9 / 10, 0.0, 100, 9)
    found = moderated([few, many], INDEPENDENT)
    assert [3 * found[0].seeds, 10 * found[1].seeds] == approx([0.9, 0.9], rel=0.1)


def test_cells_that_move_together_are_seen_and_independent_ones_too() -> None:
    rng, shared = np.random.default_rng(1), np.random.default_rng(2).normal(size=(1, 5))
    together = correlation_weights(shared + 0.05 * rng.normal(size=(6, 5)))
    apart = correlation_weights(rng.normal(size=(40, 5)))
    assert together[CORRELATIONS >= 0.95].sum() > 0.9
    assert apart[CORRELATIONS <= 0.3].sum() > 0.9


@pytest.mark.parametrize("means", [np.zeros((0, 0)), np.ones((1, 3)), np.ones((4, 1)), np.ones((4, 3))])
def test_what_tells_nothing_of_the_correlation_leaves_it_as_likely_as_it_was(means: np.ndarray) -> None:
    assert correlation_weights(means) == approx(LIKELY)


def test_more_of_anything_is_expected_to_tell_more() -> None:
    assert expected_freedom(1, 4) == 0
    assert expected_freedom(3, 1) == 2
    assert 2 < expected_freedom(3, 2) < expected_freedom(3, 4) < expected_freedom(3, 12) < 24
    assert expected_freedom(3, 4) < expected_freedom(5, 4)
