"""Whether a training has diverged, by its losses."""

from math import inf, nan
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermssl.training.divergence import LossCourse, loss_course, lower_rate


@pytest.mark.parametrize(
    ("first", "last"),
    [(0.7, 6.6e16), (0.7, inf), (0.7, nan), (25.0, 251.0), (-1.0, 10.5)],
)
def test_a_loss_that_ends_far_above_its_start_or_as_no_number_has_diverged(first: float, last: float) -> None:
    assert LossCourse(first, last).diverged


@pytest.mark.parametrize(
    ("first", "last"),
    [(0.7, 0.3), (0.7, 0.9), (0.02, 0.4), (4.2, 8.4), (25.0, 249.0), (-0.1, -0.9), (0.0, 9.9), (300.0, 80.0)],
)
def test_a_loss_that_falls_wavers_or_doubles_has_not(first: float, last: float) -> None:
    assert not LossCourse(first, last).diverged


def test_the_sentence_has_both_losses_and_what_to_type() -> None:
    assert LossCourse(0.7123, 66382958692401152.0).sentence("--lr 0.03") == (
        "divergence: the loss was 0.712 at the first step and 6.64e+16 at the end, mostly because steps are too long, "
        "so do not trust what came of it; start anew with --lr 0.03"
    )


@pytest.mark.parametrize(("rate", "lower"), [(100.0, 0.3), (0.3, 0.03), (1.0, 0.1)])
def test_a_lower_rate_is_a_tenth_and_no_more_than_the_usual_one(rate: float, lower: float) -> None:
    assert lower_rate(rate, 0.3) == pytest.approx(lower)


@pytest.mark.parametrize(("first", "course"), [(torch.tensor(5.0), (5.0, 2.0)), (None, (3.0, 2.0))])
def test_the_course_is_read_from_the_rows(
    first: torch.Tensor | None, course: tuple[float, float], tmp_path: Path
) -> None:
    pd.DataFrame({"epoch": [0, 1, 2], "loss": [3.0, 9.0, 2.0]}).to_csv(tmp_path / "metrics.csv")
    assert loss_course(first, tmp_path / "metrics.csv") == LossCourse(*course)
