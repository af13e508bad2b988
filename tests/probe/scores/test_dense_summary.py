from collections.abc import Sequence

import pandas as pd
import pytest

from probe.scores.dense_summary import clamped, summaries


@pytest.mark.parametrize(
    ("sizes", "there", "expected"), [((10, 50, 200), 40, (10, 40)), ((200, 10), 300, (10, 200)), ((5, 5), 3, (3,))]
)
def test_sizes_above_what_is_there_are_clamped(sizes: Sequence[int], there: int, expected: Sequence[int]) -> None:
    assert clamped(sizes, there) == expected


def test_a_score_is_the_mean_over_pictures_for_each_number_fitted_on() -> None:
    table = pd.DataFrame({"n_train": [4, 8, 4, 8], "jaccard": [0.2, 0.5, 0.4, 0.7], "lesion_id": ["a", "a", "b", "b"]})
    found = summaries(table, seed=0)
    assert {size: interval.mean for size, interval in found.items()} == pytest.approx({4: 0.3, 8: 0.6})
