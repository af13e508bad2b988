"""A study folder as tables see it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import dermssl
from compare.records.study import row_labels
from dermssl.errors import UserError

DOCUMENTS = Path(__file__).parents[3] / "docs"


def test_a_combination_that_rows_share_is_named_once_and_every_row_gets_its_own() -> None:
    named: list[object] = []

    def name(row: dict[str, object]) -> str:
        named.append(row)
        return f"{row['decoder']} {row['lr']}"

    rows = pd.DataFrame(
        {"decoder": ["b", "a", "b", "a", "b"], "lr": [1.0, np.nan, 1.0, np.nan, 2.0]}, index=[7, 7, 1, 0, 3]
    )
    assert row_labels(rows, ["decoder", "lr"], name) == ["b 1.0", "a nan", "b 1.0", "a nan", "b 2.0"]
    assert len(named) == 3


def test_no_rows_have_no_labels() -> None:
    assert row_labels(pd.DataFrame({"init": [], "method": []}), ["init", "method"], str) == []


def test_scores_of_a_study_are_those_of_its_published_table() -> None:
    scores = dermssl.study_scores(DOCUMENTS / "results/demo")
    assert {"arm", "image_id", "jaccard", "seed"} <= set(scores.columns)
    assert len(scores) > 100
    assert scores["jaccard"].between(0, 1).all()
    with pytest.raises(UserError, match="no study here"):
        dermssl.study_scores(DOCUMENTS)
