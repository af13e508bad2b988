"""What probabilities turned out to be, in pictures that can be checked by eye."""

import numpy as np
import pytest

from finetune.scoring.calibration import BINS, bin_shares, calibration_error, calibration_table


def by_loop(probability: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Each pixel into the bin whose edges it lies between."""
    found = np.zeros((3, BINS))
    for p, lesion in zip(probability.ravel().tolist(), truth.ravel().tolist(), strict=True):
        place = next(i for i in reversed(range(BINS)) if p >= i / BINS)
        found[:, place] += [1, lesion, p]
    return found / probability.size


def test_pixels_fall_into_the_bins_that_their_probability_lies_in() -> None:
    rng = np.random.default_rng(0)
    probability, truth = rng.random((13, 17), dtype=np.float32), rng.random((13, 17)) < 0.3
    np.testing.assert_allclose(bin_shares(probability, truth), by_loop(probability, truth), atol=1e-9)


def test_the_ends_of_the_scale_have_a_bin() -> None:
    pixels, lesion, probability = bin_shares(np.array([[0, 1]], np.float32), np.array([[False, True]]))
    assert (pixels[0], pixels[-1], lesion[0], lesion[-1]) == (0.5, 0.5, 0, 0.5)
    assert (probability.sum(), pixels.sum()) == (0.5, 1)


def test_the_rows_add_up_to_all_pixels_the_lesion_and_the_mean_probability() -> None:
    rng = np.random.default_rng(0)
    probability, truth = rng.random((40, 30), dtype=np.float32), rng.random((40, 30)) < 0.3
    assert bin_shares(probability, truth).sum(axis=1) == pytest.approx([1, truth.mean(), probability.mean()])


def test_a_network_that_is_right_three_times_in_four_and_says_so_has_no_error() -> None:
    truth = np.array([[1, 1, 1, 0], [0, 0, 0, 1]], bool)
    said = np.array([[0.75] * 4, [0.25] * 4], np.float32)
    table = calibration_table(bin_shares(said, truth))
    assert calibration_error(table) == pytest.approx(0)
    assert table["lesion"].dropna().tolist() == pytest.approx([0.25, 0.75])
    assert table["probability"].dropna().tolist() == pytest.approx([0.25, 0.75])


def test_one_that_is_sure_and_wrong_in_a_quarter_of_the_pixels_errs_by_a_quarter() -> None:
    truth = np.array([[1, 1, 1, 0]], bool)
    table = calibration_table(bin_shares(np.ones((1, 4), np.float32), truth))
    assert calibration_error(table) == pytest.approx(0.25)


def test_too_sure_and_too_unsure_do_not_cancel_out() -> None:
    truth = np.array([[1, 0]], bool)
    table = calibration_table(bin_shares(np.array([[0.6, 0.4]], np.float32), truth))
    assert calibration_error(table) == pytest.approx(0.4)


def test_a_large_picture_weighs_no_more_than_a_small_one() -> None:
    small = bin_shares(np.ones((1, 1), np.float32), np.ones((1, 1), bool))  # right
    large = bin_shares(np.ones((100, 100), np.float32), np.zeros((100, 100), bool))  # wrong
    table = calibration_table((small + large) / 2)
    assert table.iloc[-1]["lesion"] == pytest.approx(0.5)


def test_a_bin_without_pixels_says_nothing() -> None:
    table = calibration_table(bin_shares(np.zeros((2, 2), np.float32), np.zeros((2, 2), bool)))
    assert table["pixels"].tolist() == [1] + [0] * (BINS - 1)
    assert table["lesion"].notna().sum() == table["probability"].notna().sum() == 1
    assert calibration_error(table) == 0


def test_a_probability_that_is_nan_counts_as_no_lesion() -> None:
    truth = np.array([[False, True]])
    shares = bin_shares(np.array([[np.nan, np.nan]], np.float32), truth)
    np.testing.assert_array_equal(shares, bin_shares(np.zeros((1, 2), np.float32), truth))
