from itertools import product
from math import isnan, nan

import numpy as np
import pytest
from scipy import stats

from compare.statistics.decisions import (
    Interval,
    equivalence,
    equivalence_p,
    hierarchical_bootstrap,
    holm,
    paired_permutation,
    verdict,
)
from compare.statistics.paired import components, lesion_sums, seed_part
from compare.statistics.pairs import complete_pairs

approx = pytest.approx


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def draw_scores(seeds: int, images: int, lift: float = 0.0, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    b = source.uniform(0.4, 0.9, (seeds, images))
    return b + lift + source.normal(0, 0.05, (seeds, images)), b


def own_lesions(images: int) -> list[str]:
    return [f"L{i:05d}" for i in range(images)]


# the interval


def test_a_constant_lift_has_an_interval_of_no_width() -> None:
    _, b = draw_scores(3, 20)
    boot = hierarchical_bootstrap(b + 0.02, b, own_lesions(20), rng(), draws=200)
    assert boot.interval() == approx((0.02, 0.02))


def test_one_seed_gives_the_standard_error_of_a_mean() -> None:
    a, b = draw_scores(1, 50)
    boot = hierarchical_bootstrap(a, b, own_lesions(50), rng())
    assert boot.standard_error == approx((a - b).std(ddof=1) / 50**0.5, rel=0.03)


def test_seeds_alone_give_the_standard_error_of_their_mean() -> None:
    lift = np.array([[0.01], [0.03], [0.02]])  # every image alike, so only seeds vary
    b = np.full((3, 400), 0.5)
    boot = hierarchical_bootstrap(b + lift, b, own_lesions(400), rng())
    assert boot.standard_error == approx(lift.std(ddof=1) / 3**0.5, rel=0.03)
    assert boot.degrees_of_freedom == approx(2)


def test_one_seed_matches_a_loop_over_drawn_lesions() -> None:
    a, b = draw_scores(1, 12)
    lesions = np.array(list("aabbbcdefghh"))
    boot = hierarchical_bootstrap(a, b, lesions, rng(), draws=20_000)
    source, names, means = np.random.default_rng(5), sorted(set(lesions)), []
    for _ in range(4000):
        gaps = []
        for name in source.choice(names, size=len(names) - 1):
            gaps += [a[0, image] - b[0, image] for image in np.flatnonzero(lesions == name)]
        widening = (7 / source.chisquare(7)) ** 0.5  # a normal deviation becomes one of Student's t
        means.append((np.mean(gaps) - (a - b).mean()) * widening)
    assert boot.difference == approx((a - b).mean())
    assert np.quantile(boot.deviations, [0.1, 0.9]) == approx(np.quantile(means, [0.1, 0.9]), rel=0.1)


def test_few_lesions_are_resampled_without_bias() -> None:
    a, b = draw_scores(1, 9)
    boot = hierarchical_bootstrap(a, b, own_lesions(9), rng(), 100_000)
    student = (8 / 6) ** 0.5  # standard deviation of Student's t with 8 degrees of freedom
    assert boot.deviations.std() == approx(student * (a - b).std(ddof=1) / 3, rel=0.02)


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_reach_as_far_to_one_side_as_to_the_other(seeds: int) -> None:
    gaps = np.random.default_rng(0).exponential(0.05, (seeds, 30))  # skewed, as failures make them
    low, high = interval_of(gaps)
    assert (low + high) / 2 == approx(gaps.mean())


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_where_lesions_explain_nothing_it_is_students_t_on_the_seeds_means(seeds: int) -> None:
    gaps = np.random.default_rng(seeds).normal(0.01, 0.01, (seeds, 1)) + np.zeros(40)
    expected = stats.t.interval(0.95, seeds - 1, gaps[:, 0].mean(), stats.sem(gaps[:, 0]))
    assert interval_of(gaps) == approx(expected, rel=1e-3)


def test_where_seeds_agree_it_is_students_t_on_the_lesions() -> None:
    gap = np.random.default_rng(1).normal(0.01, 0.05, 40)
    gaps = np.stack([gap, gap, gap])  # no training differs from the next
    expected = stats.t.interval(0.95, 39, gap.mean(), stats.sem(gap))
    assert interval_of(gaps) == approx(expected, rel=0.05)


def test_what_neither_lesions_nor_seeds_explain_counts_once() -> None:
    gaps = np.random.default_rng(2).normal(0, 0.05, (10, 200))
    boot = hierarchical_bootstrap(gaps, np.zeros_like(gaps), own_lesions(200), rng())
    errors = [
        hierarchical_bootstrap(g, np.zeros_like(g), own_lesions(200), rng(), 10).standard_error for g in noise(60)
    ]
    assert np.mean(np.square(errors)) == approx(0.05**2 / 2000, rel=0.15)  # not three times that
    assert np.quantile(boot.deviations, 0.84) == approx(boot.standard_error, rel=0.2)


def noise(studies: int) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.05, (studies, 10, 200))


def interval_of(gaps: np.ndarray) -> tuple[float, float]:
    return hierarchical_bootstrap(gaps, np.zeros_like(gaps), own_lesions(gaps.shape[1]), rng(), 20_000).interval()


def test_photographing_every_lesion_twice_tells_nothing_new() -> None:
    a, b = draw_scores(2, 30)
    once = hierarchical_bootstrap(a, b, own_lesions(30), rng())
    twice = hierarchical_bootstrap(np.tile(a, 2), np.tile(b, 2), own_lesions(30) * 2, rng())
    assert twice.interval() == approx(once.interval())


def test_swapping_the_arms_mirrors_the_interval() -> None:
    a, b = draw_scores(2, 30, lift=0.01)
    low, high = hierarchical_bootstrap(a, b, own_lesions(30), rng()).interval()
    assert hierarchical_bootstrap(b, a, own_lesions(30), rng()).interval() == approx((-high, -low))


def test_two_seeds_that_disagree_are_not_mended_by_many_images() -> None:
    b = np.full((2, 2000), 0.5)
    a = b + np.array([[0.0], [0.02]]) + np.random.default_rng(3).normal(0, 0.01, (2, 2000))
    low, high = hierarchical_bootstrap(a, b, own_lesions(2000), rng()).interval()
    assert low < 0 < high


def test_one_lesion_has_no_interval_and_no_verdict() -> None:
    a, b = draw_scores(2, 5)
    boot = hierarchical_bootstrap(a, b, ["only"] * 5, rng())
    interval = boot.interval()
    assert all(isnan(end) for end in interval)
    assert paired_permutation(a, b, ["only"] * 5, rng()) == 1
    assert verdict(interval, boot.interval(0.9), 0.01, 1.0) == "undecided"


def test_arms_without_any_difference_are_equivalent() -> None:
    _, b = draw_scores(2, 30)
    boot = hierarchical_bootstrap(b, b, own_lesions(30), rng())
    p = paired_permutation(b, b, own_lesions(30), rng())
    assert (boot.interval(), p) == ((0, 0), 1)
    assert verdict(boot.interval(), boot.interval(0.9), 0.01, p) == "equivalent"


@pytest.mark.parametrize("shape", [(0, 4), (2, 0), (2, 3)])
def test_scores_that_are_not_paired_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"paired scores"):
        hierarchical_bootstrap(np.zeros(shape), np.zeros(shape), own_lesions(4 if shape[1] == 3 else shape[1]), rng())


def test_missing_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        hierarchical_bootstrap(np.array([[0.5, nan]]), np.array([[0.5, 0.5]]), ["a", "b"], rng())


def nested_gaps(source: np.random.Generator, seeds: int, seed_effect: float) -> tuple[np.ndarray, list[str]]:
    """Differences without any true lift: 40 lesions of two images, trainings that differ, and what is left."""
    lesion = np.repeat(source.normal(0, 0.035, 40), 2) + source.exponential(0.035, 80) - 0.035
    gaps = source.normal(0, seed_effect, (seeds, 1)) + lesion + source.normal(0, 0.06, (seeds, 80))
    return gaps, [f"L{i // 2:02d}" for i in range(80)]


@pytest.mark.parametrize(("seeds", "seed_effect"), [(2, 0.0), (2, 0.01), (3, 0.01), (5, 0.02)])
def test_95_percent_intervals_cover_about_95_percent(seeds: int, seed_effect: float) -> None:
    source = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        gaps, lesions = nested_gaps(source, seeds, seed_effect)
        low, high = hierarchical_bootstrap(gaps, np.zeros_like(gaps), lesions, source, draws=500).interval()
        covered += low <= 0 <= high
    assert 0.91 <= covered / 200 <= 0.99


def test_a_t_test_over_all_scores_finds_differences_that_are_not_there() -> None:
    source = np.random.default_rng(11)
    found = sum(stats.ttest_1samp(nested_gaps(source, 3, 0.02)[0].ravel(), 0).pvalue < 0.05 for _ in range(200))
    assert found / 200 > 0.3  # where 0.05 was promised


# the permutation test


@pytest.mark.parametrize("lesions", ["abcdef", "aabbcc", "abcdefghij"])
def test_permutation_counts_every_sign_pattern(lesions: str) -> None:
    a, b = draw_scores(1, len(lesions), lift=0.02)
    gap = (a - b)[0]
    names = sorted(set(lesions))
    reached = []
    for signs in product([-1, 1], repeat=len(names)):
        flipped = [signs[names.index(lesion)] * gap[i] for i, lesion in enumerate(lesions)]
        reached.append(abs(np.mean(flipped)) >= abs(gap.mean()) - 1e-12)
    assert paired_permutation(a, b, list(lesions), rng()) == approx(np.mean(reached))


@pytest.mark.parametrize("lesions", [5, 60])
def test_permutation_adds_the_seeds_to_every_pattern(lesions: int) -> None:
    lift = np.array([[0.0], [0.14], [0.07]])
    a, b = draw_scores(3, lesions, lift=0.0)
    a = a + lift + np.random.default_rng(6).normal(0, 0.06, lesions)
    parts = components(*lesion_sums(a - b, own_lesions(lesions)))
    source = np.random.default_rng(4)
    signs = source.choice([-1, 1], size=(200_000, lesions))
    weights, scales, degrees = seed_part(parts).terms
    term = source.choice(len(weights), p=weights, size=200_000)
    seeds = scales[term] * source.standard_t(degrees[term])
    gap = (a - b).mean(axis=0)
    # the lesions' own part of the square of the difference, as their part of its variance
    by_lesions = min(1.0, gap.var(ddof=1) / lesions / (parts.lesions + parts.seeds))
    square = gap.var() + by_lesions * gap.mean() ** 2
    flipped = signs @ gap / lesions * (square / (gap**2).mean()) ** 0.5
    drawn = flipped * parts.share**0.5 + seeds
    expected = (np.abs(drawn) >= abs(gap.mean())).mean()
    assert paired_permutation(a, b, own_lesions(lesions), rng(), 20_000) == approx(expected, abs=0.003)


@pytest.mark.slow
def test_a_p_for_many_contrasts_keeps_to_its_share_of_five_percent() -> None:
    source, studies, level = np.random.default_rng(3), 1500, 0.05 / 28
    gaps = [source.normal(0, 0.02, 12) + source.normal(0, 0.06, (2, 12)) for _ in range(studies)]
    found = {
        family: np.mean([
            paired_permutation(gap, np.zeros_like(gap), own_lesions(12), rng(), family=family) < level for gap in gaps
        ])
        for family in (28, 1)
    }  # fmt: skip
    assert found[28] < 2 * level
    assert found[1] > 3 * level  # what the prior of the interval would give


def test_seeds_that_disagree_are_no_evidence_however_many_lesions_gain() -> None:
    b = np.full((2, 500), 0.5)
    a = b + np.array([[0.005], [0.035]])  # every lesion gains under both seeds
    assert paired_permutation(a, b, own_lesions(500), rng(), 500) > 0.3


def test_six_lesions_that_all_gain_give_two_patterns_in_sixty_four() -> None:
    a, b = np.full((1, 6), 0.8), np.full((1, 6), 0.7)
    assert paired_permutation(a, b, list("abcdef"), rng()) == 2 / 64


def test_drawn_patterns_agree_with_counted_ones() -> None:
    a, b = draw_scores(1, 13, lift=0.015)
    sums = (a - b)[0]
    counted = np.mean([abs(np.dot(s, sums)) >= abs(sums.sum()) - 1e-12 for s in product([-1, 1], repeat=13)])
    assert paired_permutation(a, b, own_lesions(13), rng()) == approx(counted, abs=0.02)


def test_p_is_never_zero() -> None:
    b = np.full((1, 200), 0.5)
    assert paired_permutation(b + 0.1, b, own_lesions(200), rng(), draws=99) == 1 / 100


# families, margins, verdicts


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_out_what_could_not_be_tested() -> None:
    assert holm([0.02, nan, 0.5]) == approx([0.04, nan, 0.5], nan_ok=True)


def test_holm_of_nothing_is_nothing() -> None:
    assert len(holm([])) == 0


def test_holm_matches_its_definition() -> None:
    p = np.random.default_rng(2).uniform(0, 0.3, 9)
    for value, adjusted in zip(p, holm(p), strict=True):
        assert adjusted == approx(max(min(1, sum(p >= other) * other) for other in p[p <= value]))


def test_equivalence_p_is_below_five_percent_where_the_90_percent_interval_is_inside() -> None:
    a, b = draw_scores(3, 60)
    boot = hierarchical_bootstrap(a, b, own_lesions(60), rng())
    low, high = boot.interval(0.9)
    end = max(-low, high)
    assert equivalence_p(boot, 1.01 * end) < 0.05 < equivalence_p(boot, 0.99 * end)


def test_equivalence_p_is_high_where_the_difference_is_the_margin() -> None:
    b = np.full((2, 30), 0.5)
    boot = hierarchical_bootstrap(b + 0.01, b, own_lesions(30), rng(), 100)
    assert equivalence_p(boot, 0.009) == 1
    assert equivalence_p(boot, 0.011) == 1 / (len(boot.deviations) + 1)


def test_false_claim_is_students_t_for_one_training() -> None:
    a, b = draw_scores(1, 80, lift=0.008)
    gap = (a - b)[0]
    expected = stats.t.cdf(-abs(gap.mean()) / stats.sem(gap), 79)
    claim = hierarchical_bootstrap(a, b, own_lesions(80), rng()).false_claim()
    assert claim == approx(expected, abs=0.01)
    assert hierarchical_bootstrap(b, a, own_lesions(80), rng()).false_claim() == claim


def test_a_claim_about_arms_that_are_the_same_is_false_half_of_the_time() -> None:
    _, b = draw_scores(2, 30)
    assert hierarchical_bootstrap(b, b, own_lesions(30), rng()).false_claim() == 0.5


def test_a_certain_gain_is_no_false_claim() -> None:
    _, b = draw_scores(2, 30)
    assert hierarchical_bootstrap(b + 0.01, b, own_lesions(30), rng()).false_claim() == 0


def test_equivalence_needs_both_ends_inside_the_margin() -> None:
    assert equivalence(Interval(-0.004, 0.009), 0.01)
    assert not equivalence(Interval(-0.011, 0.002), 0.01)
    assert not equivalence(Interval(nan, nan), 0.01)


@pytest.mark.parametrize(
    ("interval95", "interval90", "p", "word"),
    [
        ((0.004, 0.021), (0.005, 0.020), 0.01, "better"),
        ((-0.021, -0.004), (-0.020, -0.005), 0.01, "worse"),
        ((0.004, 0.021), (0.005, 0.020), 0.08, "undecided"),  # the family is too large for this p
        ((-0.001, 0.021), (0.001, 0.020), 0.01, "undecided"),  # trainings vary too much for this interval
        ((-0.006, 0.007), (-0.005, 0.006), 0.80, "equivalent"),
        ((0.001, 0.005), (0.002, 0.004), 0.01, "better"),  # certain, if small
        ((0.001, 0.005), (0.002, 0.004), 0.09, "equivalent"),
        ((-0.050, 0.060), (-0.040, 0.050), 0.80, "undecided"),
        ((nan, nan), (nan, nan), nan, "undecided"),
    ],
)
def test_verdicts(interval95: tuple[float, float], interval90: tuple[float, float], p: float, word: str) -> None:
    assert verdict(Interval(*interval95), Interval(*interval90), 0.01, p) == word


# complete pairs


def test_pairs_average_over_cells_with_equal_weight() -> None:
    a = np.array([[[0.8, 0.6]], [[0.4, 0.2]]])  # two cells, one seed, two images
    pairs = complete_pairs(a, np.zeros_like(a))
    assert pairs.scores_a.tolist() == approx(np.array([[0.6, 0.4]]))
    assert pairs.left_out == 0


def test_an_image_missing_in_one_arm_is_left_out_of_both() -> None:
    a, b = np.full((1, 2, 3), 0.5), np.full((1, 2, 3), 0.4)
    b[0, 1, 2] = nan
    pairs = complete_pairs(a, b)
    assert pairs.images.tolist() == [True, True, False]
    assert pairs.scores_a.shape == pairs.scores_b.shape == (2, 2)


def test_arms_that_never_meet_have_no_pairs() -> None:
    a, b = np.full((2, 2, 3), 0.5), np.full((2, 2, 3), nan)
    pairs = complete_pairs(a, b)
    assert (pairs.scores_a.size, pairs.left_out, pairs.images.any()) == (0, 4, False)


@pytest.mark.parametrize("seed", range(20))
def test_no_set_of_cells_and_seeds_holds_more_complete_pairs(seed: int) -> None:
    present = np.random.default_rng(seed).random((4, 3)) < 0.7
    scores = np.where(present[:, :, None], 0.5, nan)
    largest = 0
    for cells in product([False, True], repeat=4):
        for seeds in product([False, True], repeat=3):
            block = np.outer(cells, seeds)
            largest = max(largest, block.sum() if present[block].all() else 0)
    pairs = complete_pairs(scores, scores)
    assert pairs.cells.sum() * pairs.seeds.sum() == largest
    assert pairs.left_out == 12 - largest
