"""Scores as they are printed."""

from math import nan

from dermssl.scores.intervals import ScoreInterval
from probe.scores.measures import ScoreLine, as_table


def test_a_score_has_its_interval_beside_it() -> None:
    table = as_table([ScoreLine("kNN, k = 3", "balanced accuracy", ScoreInterval(0.5, 0.25, 0.75), 12)])
    assert table.splitlines()[1].split("  ")[-1] == "12"
    assert "0.250 to 0.750" in table


def test_an_interval_that_cannot_be_had_is_said_to_be_none() -> None:
    line = as_table([ScoreLine("kNN, k = 1", "balanced accuracy", ScoreInterval(0.5, nan, nan), 2)]).splitlines()[1]
    assert "0.500   none: one lesion     2" in line
    assert "nan" not in line
