"""What the report says of contrasts that tell each other how trainings vary."""

from pathlib import Path

import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.page.borrowed import borrows, without_borrowing
from compare.records.study import Study, read_study
from compare.tables.contrasts import contrast_table

FEW = {"images": 24, "probes": False, "pretrained": False, "masks": False}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, pd.DataFrame]:
    design = Design(init=("ssl", "imagenet"), seed=(0, 1, 2), **FEW)  # type: ignore[arg-type]
    study = read_study(draw_study(tmp_path_factory.mktemp("borrowed") / "study", design))
    return study, contrast_table(study, 200)


def test_a_study_of_two_arms_and_one_cell_borrows_nothing_and_says_nothing(tmp_path: Path) -> None:
    design = Design(init=("ssl", "imagenet"), decoder=("unet",), label_fraction=(1.0,), **FEW)  # type: ignore[arg-type]
    study = read_study(draw_study(tmp_path / "study", design))
    contrasts = contrast_table(study, 60)
    assert not borrows(contrasts)
    assert without_borrowing(contrasts) == ""
    assert contrasts["seed_correlation"].isna().all()


def test_it_says_how_much_is_borrowed_and_how_far_cells_move_together(drawn: tuple[Study, pd.DataFrame]) -> None:
    said = without_borrowing(drawn[1])
    assert borrows(drawn[1])
    assert "degrees of freedom in place of 2, in the median" in said
    assert "trainings of two cells under one seed are " in said
    _, contrasts = drawn
    assert "not seen to move together" in without_borrowing(contrasts.assign(seed_correlation=0.01))
    assert "correlated by about 0.6" in without_borrowing(contrasts.assign(seed_correlation=0.6))


def test_equal_verdicts_are_said_to_be_equal(drawn: tuple[Study, pd.DataFrame]) -> None:
    _, contrasts = drawn
    said = without_borrowing(contrasts.assign(alone_verdict=contrasts["verdict"]))
    assert said.endswith("By its own variance alone every contrast would have the same verdict.")


def test_other_verdicts_are_named_with_their_cell(drawn: tuple[Study, pd.DataFrame]) -> None:
    _, contrasts = drawn
    other = contrasts.assign(
        verdict="better", alone_verdict=["better", "undecided", *["better"] * (len(contrasts) - 2)]
    )
    said = without_borrowing(other)
    assert "1 of 4 verdicts would be another: ssl − imagenet (unet and 10 %) undecided, not better" in said  # noqa: RUF001
