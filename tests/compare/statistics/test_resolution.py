from math import inf

import numpy as np
import pytest
from scipy import stats

from compare.statistics.decisions import hierarchical_bootstrap, paired_permutation
from compare.statistics.paired import Components, components, lesion_sums, seed_part
from compare.statistics.resolution import Design, half_width, power, resolvable_difference

approx = pytest.approx

MANY = 100_000  # lesions - 1


def parts_of(seeds: int, seed_variance: float, lesions: float = 1.0) -> Components:
    return Components(lesions, seed_variance, 0.0, MANY, seeds - 1)


# the components


def test_components_of_a_table_are_those_of_a_two_way_analysis_of_variance() -> None:
    gaps = np.random.default_rng(0).normal(0, 1, (3, 50)) + np.random.default_rng(1).normal(0, 2, 50)
    parts = components(gaps, np.ones(50))
    rest = gaps - gaps.mean(axis=0) - gaps.mean(axis=1, keepdims=True) + gaps.mean()
    mean_square_rest = (rest**2).sum() / (2 * 49)
    mean_square_lesions = 3 * gaps.mean(axis=0).var(ddof=1)
    assert parts.rest == approx(mean_square_rest / 150)
    assert parts.lesions == approx((mean_square_lesions - mean_square_rest) / 150)
    assert parts.seeds == approx(gaps.mean(axis=1).var(ddof=1) / 3)


def test_components_are_those_of_the_design_on_average() -> None:
    design = Design(lesions=40, images=80, seeds=3, lesion_spread=0.03, seed_spread=0.02, rest_spread=0.06)
    source, found = np.random.default_rng(2), []
    names = [f"L{i // 2:02d}" for i in range(80)]
    for _ in range(1500):
        lesion = np.repeat(source.normal(0, 0.03, 40), 2)
        gaps = lesion + source.normal(0, 0.02, (3, 1)) + source.normal(0, 0.06, (3, 80))
        found.append(components(*lesion_sums(gaps, names))[:3])
    assert np.mean(found, axis=0) == approx(np.array(design.components[:3]), rel=0.06)


def test_photographing_a_lesion_again_leaves_the_lesions_part_as_it_is() -> None:
    gaps = np.random.default_rng(0).normal(0, 1, (3, 20)) + np.random.default_rng(1).normal(0, 2, 20)
    assert components(2 * gaps, np.full(20, 2.0)) == approx(components(gaps, np.ones(20)))


# the distribution of the seeds' part


def test_the_mixture_is_the_posterior_that_its_prior_gives() -> None:
    seeds = seed_part(parts_of(3, 0.7, lesions=2.0))
    v = np.logspace(-5, 6, 400_001)
    likelihood = v**-1.0 * np.exp(-2 * 0.7 / (2 * v))  # chi-square with two degrees of freedom
    weight = likelihood / v * (1 + (0.313 * 2.0 / v) ** 2) * v  # on the logarithm of v
    expected = (weight * stats.norm.cdf(1.3 / np.sqrt(v))).sum() / weight.sum()
    assert float(seeds.cdf(np.array(1.3))) == approx(expected, abs=1e-5)


@pytest.mark.parametrize("freedom", [1, 2, 3, 9])
def test_quantiles_of_the_seeds_part_stand_at_equal_steps_of_probability(freedom: int) -> None:
    seeds = seed_part(parts_of(freedom + 1, 0.5))
    expected = 0.5 + (np.arange(1000) + 0.5) / 2000
    assert seeds.cdf(seeds.upper_half(1000)) == approx(expected, abs=1e-3)


# All ratios at two seeds, which say the least of their spread; of more seeds both ends and the middle.
@pytest.mark.parametrize(
    ("seeds", "ratio"),
    [
        *((2, ratio) for ratio in (0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)),
        *((seeds, ratio) for seeds in (3, 4, 10) for ratio in (0.01, 1.0, 100.0)),
    ],
)
def test_the_error_is_five_percent_whatever_seeds_and_lesions_are(seeds: int, ratio: float) -> None:
    steps = (np.arange(150) + 0.5) / 150
    shown = ratio * stats.chi2.ppf(steps, seeds - 1) / (seeds - 1)
    widths = np.array([half_width(parts_of(seeds, float(one))) for one in shown])
    error = 2 * stats.norm.sf(widths / (1 + ratio) ** 0.5).mean()
    assert error == approx(0.05, abs=0.0105 if seeds == 2 else 0.0035)


# plans


def test_many_seeds_and_lesions_resolve_2_8_standard_errors() -> None:
    design = Design(lesions=3000, images=3000, seeds=200)
    parts = design.components
    assert resolvable_difference(parts) == approx(2.80 * parts.standard_error, rel=0.02)


def test_the_resolvable_difference_is_found_with_the_power_asked_for() -> None:
    parts = Design(lesions=100, images=100, seeds=3).components
    assert power(parts, resolvable_difference(parts, power=0.9)) == approx(0.9, abs=1e-3)
    assert power(parts, 0.0) == approx(0.05, abs=0.005)


@pytest.mark.parametrize("family", [3, 28])
def test_a_detectable_difference_passes_holm_with_the_power_promised(family: int) -> None:
    parts = Design(lesions=200, images=200, seeds=4).components
    smallest = resolvable_difference(parts, family=family)
    rng, found, studies = np.random.default_rng(family), 0, 400
    names = [str(i) for i in range(200)]
    for _ in range(studies):
        rest = rng.normal(0, 0.06, (4, 200))
        gap = smallest + rng.normal(0, 0.02, (1, 200)) + rng.normal(0, 0.003, (4, 1)) + rest
        p = paired_permutation(gap, np.zeros_like(gap), names, np.random.default_rng(0), 4000, family)
        found += p < 0.05 / family
    assert found / studies == approx(0.8, abs=0.08)


def test_more_of_anything_resolves_more() -> None:
    def resolved(lesions: int, images: int, seeds: int) -> float:
        return resolvable_difference(Design(lesions=lesions, images=images, seeds=seeds).components)

    assert resolved(100, 100, 3) > resolved(100, 200, 3) > resolved(200, 200, 3) > resolved(200, 200, 4)


def test_one_seed_resolves_nothing() -> None:
    parts = Design(lesions=1000, images=1000, seeds=1).components
    assert (resolvable_difference(parts), power(parts, 1.0)) == (inf, 0)


@pytest.mark.parametrize(("lesions", "images", "seeds"), [(1, 1, 3), (10, 9, 3), (10, 10, 0)])
def test_designs_that_cannot_be_are_refused(lesions: int, images: int, seeds: int) -> None:
    with pytest.raises(ValueError, match="a design has two lesions or more"):
        Design(lesions=lesions, images=images, seeds=seeds)


def test_half_width_is_that_of_the_bootstrap() -> None:
    source = np.random.default_rng(5)
    gaps = source.normal(0, 0.05, (3, 400)) + source.normal(0, 0.05, 400) + np.array([[0.0], [0.01], [0.004]])
    names = [f"L{i:03d}" for i in range(400)]
    low, high = hierarchical_bootstrap(gaps, 0 * gaps, names, source).interval()
    assert half_width(components(*lesion_sums(gaps, names))) == approx((high - low) / 2, rel=0.02)
