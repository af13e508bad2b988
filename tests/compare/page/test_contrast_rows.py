"""Which contrasts a reader meets: those with a difference, of many those of the primary arms; and the rest in words."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.page.contrast_rows import LONG, contrast_tables, leading_rows, left_out, readable_contrasts
from compare.records.study import Study, read_study
from compare.tables.all_tables import contrast_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three arms in one cell under two seeds."""
    design = Design(decoder=("unet",), label_fraction=(1.0,), probes=False, pretrained=False, images=8)
    return read_study(draw_study(tmp_path_factory.mktemp("rows") / "study", design))


def pairs(arms: int, without: str = "") -> pd.DataFrame:
    """Every pair of arms called a, b, c and so on; those of the letters in `without` have no difference."""
    table = pd.DataFrame(list(combinations("abcdefghijk"[:arms], 2)), columns=["a", "b"])
    lone = table["a"].isin(list(without)) | table["b"].isin(list(without))
    numbers = {"difference": np.where(lone, np.nan, 0.01), "low": 0.0, "high": 0.02, "p": 0.5, "adjusted_p": 0.5}
    place = {"setting": "unet", "label_fraction": 1.0, "pooled": True, "cells": 1, "verdict": "undecided"}
    counts = {"images": np.where(lone, 0, 8), "seeds": np.where(lone, 0, 2), "pairs_left_out": np.where(lone, 2, 0)}
    return table.assign(**numbers, **place, **counts)


def test_contrasts_without_a_difference_are_passed_over_but_for_the_primary_one() -> None:
    kept = readable_contrasts(pairs(4, without="ad"))
    assert kept[["a", "b"]].to_numpy().tolist() == [["a", "b"], ["b", "c"]]


@pytest.mark.parametrize(("arms", "first"), [(2, 1), (6, 15), (7, 11), (11, 19)])
def test_of_more_pairs_than_can_be_read_those_of_the_primary_arms_stand_first(arms: int, first: int) -> None:
    table = pairs(arms)
    assert (len(table) <= LONG) == (arms <= 6)
    open_rows = table[leading_rows(table)]
    assert len(open_rows) == first
    if arms > 6:
        assert (open_rows[["a", "b"]].isin(["a", "b"])).any(axis=1).all()


def test_a_primary_arm_may_be_the_second_of_a_pair() -> None:
    table = pairs(7)
    primary = (table["a"] == "d") & (table["b"] == "f")
    table = pd.concat([table[primary], table[~primary]], ignore_index=True)
    shown = table[leading_rows(table)]
    assert len(shown) == 11
    assert {"a", "g"} <= {*shown["a"], *shown["b"]}


def test_what_is_not_read_first_stands_folded_and_nothing_twice(study: Study) -> None:
    cells = pd.concat([pairs(7), *(pairs(7).assign(pooled=False, setting=name) for name in ("unet", "fpn"))])
    made = contrast_tables(study, cells.reset_index(drop=True))
    assert [table.folded for table in made] == ["", "Contrasts of other arms (10)", "Other contrasts by cell (40)"]
    shown = [
        (row["a"], row["b"], row["setting"], row["pooled"])
        for one in made
        for rows in one.groups.values()
        for row in rows
    ]
    assert len(shown) == len(set(shown)) == 3 * 21
    assert [table.short for table in made] == [True, False, False]
    assert made[0].caption.endswith("50 more contrasts stand in tables/contrasts.csv.")


def test_what_all_rows_share_is_said_once_and_has_no_column(study: Study) -> None:
    (table,) = contrast_tables(study, pairs(4))
    assert table.caption.endswith("All rows: unet, 100 % of the labels, 8 scored images, 2 seeds.")
    titles = [column.title for column in table.columns]
    assert not {"Setting", "Labels", "Images", "Seeds"} & set(titles)
    (table,) = contrast_tables(study, pairs(4).assign(seeds=[2, 2, 2, 2, 2, 1]))
    assert table.caption.endswith("All rows: unet, 100 % of the labels, 8 scored images.")
    assert "Seeds" in [column.title for column in table.columns]


def test_folded_rows_that_differ_keep_their_column_in_the_open_table(study: Study) -> None:
    rows = pairs(7)
    first, rest = contrast_tables(study, rows.assign(images=np.where(leading_rows(rows), 8, 7)))
    assert "Images" in [column.title for column in first.columns]
    assert "Images" in [column.title for column in rest.columns]


def test_contrasts_without_runs_are_told_by_the_arms_at_fault(study: Study) -> None:
    assert left_out(study, pairs(4)) == ""
    assert left_out(study, pairs(6, without="bd")) == (
        "Only complete pairs of runs are compared. 9 of 15 contrasts have no pair of runs: all those of b and d."
    )
    apart = pairs(4)  # arms that were trained, but under other seeds
    apart.loc[[0, 5], "difference"] = np.nan
    assert left_out(study, apart).endswith("2 of 6 contrasts have no pair of runs: a − b, c − d.")  # noqa: RUF001


def test_contrasts_that_lack_some_pairs_are_named_as_long_as_they_are_few(study: Study) -> None:
    few = pairs(3).assign(pairs_left_out=[1, 0, 1])
    assert left_out(study, few).endswith("Pooled contrasts leave out, of 2 pairs: a − b 1, b − c 1.")  # noqa: RUF001
    many = pairs(5).assign(pairs_left_out=[1] * 9 + [2])
    assert left_out(study, many).endswith("10 of 10 pooled contrasts leave out 1 to 2 of 2 pairs each.")


def test_a_study_with_an_arm_that_failed_names_it(tmp_path: Path) -> None:
    failed = frozenset(("random", "unet", 1.0, seed) for seed in (0, 1))
    design = Design(decoder=("unet",), label_fraction=(1.0,), probes=False, pretrained=False, failed=failed, images=8)
    study = read_study(draw_study(tmp_path / "study", design))
    assert left_out(study, contrast_table(study, 20)).endswith(
        "2 of 3 contrasts have no pair of runs: all those of random."
    )
