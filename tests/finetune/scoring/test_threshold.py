"""The threshold search, against trying every threshold on whole masks."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.scores.counts import count, jaccard
from finetune.scoring.threshold import THRESHOLDS, best_on_curve, best_threshold, threshold_curve

Mask = NDArray[np.bool_]
Probability = NDArray[np.float32]


def by_trying(probabilities: list[Probability], truths: list[Mask]) -> dict[float, float]:
    """The mean Jaccard at every threshold, from masks cut as predictions are."""
    return {
        threshold: float(
            np.mean([jaccard(count(t, p > threshold)) for p, t in zip(probabilities, truths, strict=True)])
        )
        for threshold in THRESHOLDS.tolist()
    }


def of_network(seed: int, images: int = 4) -> tuple[list[Probability], list[Mask]]:
    """Truths of several sizes and probabilities that tell something of them, too low as a whole; one truth is empty."""
    rng = np.random.default_rng(seed)
    truths = [rng.random(rng.integers(4, 20, 2)) < 0.4 for _ in range(images)]
    truths[0][:] = False
    lift = rng.uniform(0.1, 0.4)
    return [(rng.random(t.shape) * 0.5 + lift * t).astype(np.float32) for t in truths], truths


def one(*values: float) -> Probability:
    return np.array([values], np.float32)


def lesion(*values: int) -> Mask:
    return np.array([values], bool)


@pytest.mark.parametrize("seed", range(5))
def test_the_curve_equals_cutting_every_image_at_every_threshold(seed: int) -> None:
    probabilities, truths = of_network(seed)
    expected = by_trying(probabilities, truths)
    curve = threshold_curve(probabilities, truths)
    assert curve["threshold"].tolist() == list(expected)
    assert curve["jaccard"].tolist() == pytest.approx(list(expected.values()), abs=1e-12)
    assert set(curve["images"]) == {4}


@pytest.mark.parametrize("seed", range(5))
def test_the_best_threshold_is_the_one_that_trying_finds(seed: int) -> None:
    probabilities, truths = of_network(seed)
    expected = by_trying(probabilities, truths)
    highest = max(expected.values())
    good = [threshold for threshold, value in expected.items() if value > highest - 1e-12]
    assert best_threshold(probabilities, truths) == min(good, key=lambda threshold: round(abs(threshold - 0.5), 2))


def test_thresholds_are_the_hundredths_between_0_and_1() -> None:
    assert THRESHOLDS.tolist() == [number / 100 for number in range(1, 100)]


def test_a_probability_just_at_a_threshold_is_skin_as_in_a_mask() -> None:
    off = {}
    for threshold in THRESHOLDS.tolist():
        at = one(threshold, np.nextafter(np.float32(threshold), np.float32(1)))
        curve = threshold_curve([at], [lesion(1, 1)])
        jaccards = curve.loc[curve["threshold"] == threshold, "jaccard"].item(), (at > threshold).mean()
        if jaccards != (1 / 2, 1 / 2):
            off[threshold] = jaccards
    assert off == {}


def test_every_image_counts_the_same_however_large_it_is() -> None:
    small, large = one(0.2, 0.0), np.full((50, 50), 0.6, np.float32)
    curve = threshold_curve([small, large], [lesion(1, 0), np.zeros((50, 50), bool)]).set_index("threshold")["jaccard"]
    assert curve.loc[[0.1, 0.3, 0.7]].tolist() == [1 / 2, 0, 1 / 2]


@pytest.mark.parametrize(
    ("values", "best"),
    [((0.1, 0.9), 0.5), ((0.1, 0.3), 0.29), ((0.7, 0.9), 0.7), ((0.0, 0.005), 0.5)],
    ids=["around", "below", "above", "never"],
)
def test_of_equally_good_thresholds_it_is_the_nearest_to_a_half(values: tuple[float, float], best: float) -> None:
    assert best_threshold([one(*values)], [lesion(0, 1)]) == best


@pytest.mark.parametrize("pair", [(0.4, 0.6), (0.3, 0.7), (0.21, 0.79)])
def test_of_two_thresholds_equally_near_to_a_half_it_is_the_lower(pair: tuple[float, float]) -> None:
    curve = threshold_curve([one(0.1, 0.9)], [lesion(0, 1)])
    curve["jaccard"] = curve["threshold"].isin([*pair, 0.1, 0.9]).astype(float)
    assert best_on_curve(curve) == pair[0]


def test_images_are_read_once_one_at_a_time() -> None:
    probabilities, truths = of_network(0)
    held: list[str] = []

    def told(kind: str, images: list[NDArray[np.generic]]) -> Iterator[NDArray[np.generic]]:
        for image in images:
            held.append(kind)
            yield image

    best_threshold(told("probability", probabilities), told("truth", truths))
    assert held == ["probability", "truth"] * 4


def test_a_search_without_an_image_is_refused() -> None:
    with pytest.raises(ValueError, match="no image to find a threshold on"):
        best_threshold([], [])


def test_more_of_either_are_refused() -> None:
    with pytest.raises(ValueError, match=r"longer|shorter"):
        best_threshold([one(0.5)], [])


def test_a_truth_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match=r"probabilities are \(1, 2\) and truth \(1, 3\); both must have one size"):
        best_threshold([one(0.1, 0.2)], [lesion(0, 1, 1)])


def test_a_probability_that_is_nan_is_above_no_threshold() -> None:
    curve = threshold_curve([one(0.995, np.nan)], [lesion(1, 0)])
    assert curve["jaccard"].eq(1).all()
