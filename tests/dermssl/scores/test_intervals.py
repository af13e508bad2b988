from math import isnan

import numpy as np
import pytest

from dermssl.scores.intervals import class_mean


def test_one_class_gives_the_plain_mean_inside_its_interval() -> None:
    values = np.random.default_rng(0).random(40)
    mean, low, high = class_mean(values, np.zeros(40), np.arange(40), seed=0)
    assert mean == pytest.approx(values.mean())
    assert low < mean < high


def test_classes_count_alike_however_many_images_they_have() -> None:
    hits = [1, 1, 1, 1, 1, 1, 1, 1, 0, 1]  # eight of the first class, a half of the second
    assert class_mean(hits, [0] * 8 + [1] * 2, range(10), seed=0).mean == pytest.approx(0.75)


def test_constant_values_leave_no_doubt() -> None:
    assert class_mean(np.ones(9), [0, 1, 2] * 3, range(9), seed=0) == (1, 1, 1)


def test_a_single_lesion_gives_no_interval() -> None:
    mean, low, high = class_mean([0.2, 0.4], [0, 0], ["a", "a"], seed=0)
    assert mean == pytest.approx(0.3)
    assert isnan(low)
    assert isnan(high)


def test_doubling_the_photographs_of_every_lesion_does_not_narrow_the_interval() -> None:
    values = np.random.default_rng(1).random(30)
    once = class_mean(values, np.zeros(30), np.arange(30), seed=0)
    twice = class_mean(np.tile(values, 2), np.zeros(60), np.tile(np.arange(30), 2), seed=0)
    assert twice == pytest.approx(once)


@pytest.mark.parametrize("count", [10, 60])
def test_the_interval_covers_the_true_mean(count: int) -> None:
    rng = np.random.default_rng(2)
    intervals = [class_mean(rng.normal(size=count), np.zeros(count), np.arange(count), seed=i) for i in range(100)]
    covered = np.mean([low < 0 < high for _, low, high in intervals])
    assert 0.88 <= covered <= 0.99


def test_equal_seeds_give_equal_intervals() -> None:
    values = np.random.default_rng(3).random(20)
    assert class_mean(values, np.zeros(20), range(20), 5) == class_mean(values, np.zeros(20), range(20), 5)
