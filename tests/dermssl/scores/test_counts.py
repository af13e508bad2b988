"""Scores on masks that a reader can check by eye, and against counting pixel by pixel."""

import math

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from dermssl.data.masks import border_share
from dermssl.scores.counts import (
    SCORES,
    SURFACE_SCORES,
    Counts,
    accuracy,
    count,
    dice,
    isic_jaccard,
    jaccard,
    measures,
    scores_of_counts,
    sensitivity,
    specificity,
    summary,
)
from dermssl.scores.surfaces import surface_scores

Mask = NDArray[np.bool_]


def drawn(picture: str) -> Mask:
    """A mask from lines of # and . for lesion and skin."""
    return np.array([[letter == "#" for letter in line] for line in picture.split()])


SQUARE = drawn("##.. ##.. .... ....")
SHIFTED = drawn(".##. .##. .... ....")
EMPTY = drawn(".... .... .... ....")
FULL = drawn("#### #### #### ####")


def by_loop(truth: Mask, prediction: Mask) -> dict[str, float]:
    """Every score from its definition, a pixel at a time."""
    both = either = found = lesion = skin = left_alone = 0
    for t, p in zip(truth.ravel().tolist(), prediction.ravel().tolist(), strict=True):
        both += t and p
        either += t or p
        found += p
        lesion += t
        skin += not t
        left_alone += not t and not p
    overlap = both / either if either else 1.0
    return {
        "jaccard": overlap,
        "isic_jaccard": overlap if overlap >= 0.65 else 0.0,
        "dice": 2 * both / (found + lesion) if found + lesion else 1.0,
        "sensitivity": both / lesion if lesion else 1.0,
        "specificity": left_alone / skin if skin else 1.0,
        "accuracy": (both + left_alone) / truth.size,
    }


def random_masks(seed: int) -> tuple[Mask, Mask]:
    rng = np.random.default_rng(seed)
    return rng.random((5, 7)) < rng.random(), rng.random((5, 7)) < rng.random()


def test_a_square_shifted_by_one_overlaps_in_a_third() -> None:
    counts = count(SQUARE, SHIFTED)
    assert counts == Counts(tp=2, fp=2, fn=2, tn=10)
    assert jaccard(counts) == 2 / 6
    assert dice(counts) == 4 / 8
    assert sensitivity(counts) == 2 / 4
    assert specificity(counts) == 10 / 12
    assert accuracy(counts) == 12 / 16
    assert isic_jaccard(counts) == 0


@pytest.mark.parametrize("mask", [SQUARE, EMPTY, FULL], ids=["square", "empty", "full"])
def test_a_mask_agrees_with_itself_wholly(mask: Mask) -> None:
    assert {score(count(mask, mask)) for score in SCORES.values()} == {1.0}


@pytest.mark.parametrize(
    ("truth", "prediction", "expected"),
    [
        (EMPTY, SQUARE, {"jaccard": 0, "dice": 0, "sensitivity": 1, "specificity": 12 / 16, "accuracy": 12 / 16}),
        (SQUARE, EMPTY, {"jaccard": 0, "dice": 0, "sensitivity": 0, "specificity": 1, "accuracy": 12 / 16}),
        (SQUARE, FULL, {"jaccard": 4 / 16, "dice": 8 / 20, "sensitivity": 1, "specificity": 0, "accuracy": 4 / 16}),
        (FULL, SQUARE, {"jaccard": 4 / 16, "dice": 8 / 20, "sensitivity": 4 / 16, "specificity": 1}),
    ],
    ids=["nothing there", "nothing found", "all found", "all there"],
)
def test_empty_and_full_masks_score_by_what_there_is_to_find(
    truth: Mask, prediction: Mask, expected: dict[str, float]
) -> None:
    assert {name: SCORES[name](count(truth, prediction)) for name in expected} == expected


@pytest.mark.parametrize(("overlap", "kept"), [(64, 0.0), (65, 0.65), (66, 0.66), (100, 1.0), (0, 0.0)])
def test_the_isic_score_is_0_below_its_threshold_and_the_jaccard_from_it_on(overlap: int, kept: float) -> None:
    assert isic_jaccard(Counts(tp=overlap, fp=100 - overlap, fn=0, tn=5)) == kept


@pytest.mark.parametrize("seed", range(20))
def test_scores_equal_counting_pixel_by_pixel(seed: int) -> None:
    truth, prediction = random_masks(seed)
    found = scores_of_counts(count(truth, prediction))
    assert {name: found[name] for name in SCORES} == pytest.approx(by_loop(truth, prediction), rel=1e-12)
    assert found["tp"] + found["fp"] + found["fn"] + found["tn"] == truth.size


@pytest.mark.parametrize("seed", range(20))
def test_dice_follows_from_the_jaccard(seed: int) -> None:
    counts = count(*random_masks(seed))
    assert dice(counts) == pytest.approx(2 * jaccard(counts) / (1 + jaccard(counts)))


@pytest.mark.parametrize("seed", range(5))
def test_jaccard_and_dice_do_not_know_who_is_the_truth(seed: int) -> None:
    a, b = random_masks(seed)
    assert (jaccard(count(a, b)), dice(count(a, b))) == (jaccard(count(b, a)), dice(count(b, a)))


def test_masks_of_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truth is \(4, 4\) and prediction \(2, 4\); both must have the native size"):
        count(SQUARE, SQUARE[:2])


def test_the_summary_is_the_mean_over_images_and_not_over_pixels() -> None:
    small, large = count(SQUARE, SHIFTED), count(np.ones((40, 40), bool), np.ones((40, 40), bool))
    found = summary(pd.DataFrame([scores_of_counts(small), scores_of_counts(large)]))
    assert found["jaccard"] == pytest.approx((2 / 6 + 1) / 2)
    assert found["isic_jaccard"] == pytest.approx(1 / 2)
    assert found["failure_rate"] == 1 / 2


def test_an_image_at_the_threshold_has_not_failed() -> None:
    table = pd.DataFrame([scores_of_counts(Counts(tp=t, fp=100 - t, fn=0, tn=0)) for t in (64, 65, 90, 100)])
    assert summary(table)["failure_rate"] == 1 / 4


CORNER = {"area": 4 / 16, "border": 3 / 12}
NOTHING = {"area": 0.0, "border": 0.0}
EVERYTHING = {"area": 1.0, "border": 1.0}


@pytest.mark.parametrize(
    ("mask", "alone"),
    [(SQUARE, CORNER), (EMPTY, NOTHING), (FULL, EVERYTHING)],
    ids=["square", "empty", "full"],
)
def test_area_and_border_tell_of_each_mask_by_itself(mask: Mask, alone: dict[str, float]) -> None:
    found, turned = measures(mask, SHIFTED), measures(SHIFTED, mask)
    assert {name: found[name] for name in alone} == alone
    assert {name: turned[f"{name}_predicted"] for name in alone} == alone
    assert (found["area_predicted"], found["border_predicted"]) == (4 / 16, 2 / 12)


def test_a_lesion_wholly_inside_does_not_touch_the_border() -> None:
    assert measures(drawn(".... .##. .##. ...."), EMPTY)["border"] == 0


@pytest.mark.parametrize("seed", range(20))
def test_the_measures_of_an_image_are_counts_boundaries_and_the_masks_themselves(seed: int) -> None:
    truth, prediction = random_masks(seed)
    found = measures(truth, prediction)
    masks = {
        "area": truth.mean(),
        "area_predicted": prediction.mean(),
        "border": border_share(truth),
        "border_predicted": border_share(prediction),
    }
    assert found == {**scores_of_counts(count(truth, prediction)), **surface_scores(truth, prediction), **masks}


@pytest.mark.parametrize("truth", [SQUARE, EMPTY, FULL], ids=["square", "empty", "full"])
@pytest.mark.parametrize("prediction", [SQUARE, EMPTY, FULL], ids=["square", "empty", "full"])
def test_no_measure_is_ever_nan(truth: Mask, prediction: Mask) -> None:
    found = measures(truth, prediction)
    assert all(math.isfinite(value) for value in found.values())
    shares = set(found) - {"tp", "fp", "fn", "tn", "hd95"}
    assert all(0 <= found[name] <= 1 for name in shares)
    assert all(math.isfinite(value) for value in summary(pd.DataFrame([found])).values())


def test_the_summary_has_means_of_the_boundary_scores_and_the_median_of_hd95() -> None:
    pairs = [(SQUARE, SQUARE), (SQUARE, SHIFTED), (SQUARE, EMPTY)]
    found = summary(pd.DataFrame([measures(*pair) for pair in pairs]))
    diagonal = math.hypot(4, 4)
    assert found["surface_dice"] == pytest.approx((1 + 1 / 2 + 0) / 3)
    assert found["hd95"] == pytest.approx((0 + 1 + diagonal) / 3)
    assert found["hd95_share"] == pytest.approx((0 + 1 / diagonal + 1) / 3)
    assert found["hd95_median"] == 1


def test_the_summary_of_counts_alone_has_no_boundary_scores() -> None:
    found = summary(pd.DataFrame([scores_of_counts(count(SQUARE, SHIFTED))]))
    assert set(found) == {*SCORES, "failure_rate"}
    assert set(summary(pd.DataFrame([measures(SQUARE, SHIFTED)]))) == {*found, *SURFACE_SCORES, "hd95_median"}


def test_a_summary_of_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="the table of scores has no image"):
        summary(pd.DataFrame(columns=["jaccard"]))
