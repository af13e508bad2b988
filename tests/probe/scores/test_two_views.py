import numpy as np
import pytest
from numpy.typing import NDArray

from probe.scores.two_views import TwoViews, cropped, lit, random_symmetry


class Drawn(list):  # type: ignore[type-arg]
    """Pictures in a list, as a cache gives them."""


def pictures(count: int = 3) -> Drawn:
    rng = np.random.default_rng(0)
    return Drawn(rng.integers(60, 180, (40 + 8 * i, 60, 3), dtype=np.uint8) for i in range(count))


def test_views_are_squares_first_all_first_ones_then_all_second_ones() -> None:
    views = TwoViews(pictures(), side=16, seed=0)
    assert len(views) == 6
    assert {views[place].shape for place in range(6)} == {(16, 16, 3)}
    assert not np.array_equal(views[0], views[3])


def test_a_view_depends_on_seed_picture_and_place_alone() -> None:
    few, many = TwoViews(pictures(3), 16, seed=1), TwoViews(pictures(5), 16, seed=1)
    assert np.array_equal(few[2], many[2])
    assert np.array_equal(few[3 + 2], many[5 + 2])
    assert not np.array_equal(few[2], TwoViews(pictures(3), 16, seed=2)[2])


def test_a_crop_keeps_six_tenths_of_the_picture_or_more() -> None:
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 100, axis=1).repeat(3, axis=2)
    spans = [np.ptp(cropped(rows, 100, np.random.default_rng(seed)).astype(int)) + 1 for seed in range(200)]
    assert 100 * 0.6**0.5 - 1 <= min(spans) < 82
    assert max(spans) > 97


def test_all_eight_symmetries_are_drawn() -> None:
    corner: NDArray[np.uint8] = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    drawn = {random_symmetry(corner, np.random.default_rng(seed)).tobytes() for seed in range(100)}
    assert len(drawn) == 8


def test_other_light_keeps_the_order_of_grey_values_and_the_hue() -> None:
    ramp = np.arange(80, 140, dtype=np.uint8).reshape(1, -1, 1).repeat(3, axis=2)
    means = []
    for seed in range(50):
        changed = lit(ramp, np.random.default_rng(seed))
        assert (np.diff(changed[0, :, 0].astype(int)) >= 0).all()
        assert (changed[..., 0] == changed[..., 2]).all()
        means.append(changed.mean() / ramp.mean())
    assert 0.79 < min(means) < 0.85
    assert 1.15 < max(means) < 1.21
    assert np.mean(means) == pytest.approx(1, abs=0.05)
