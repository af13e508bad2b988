"""What is kept of a study says what the study said, without a run folder or an image."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study
from pandas.testing import assert_frame_equal

from compare.page.report import study_report
from compare.records.kept import keep_study, packed_table, unpacked_table
from compare.records.run_files import is_kept
from compare.records.study import Study, read_study
from compare.tables.all_tables import all_tables
from compare.tables.subgroups import subgroups_of
from dermssl.errors import UserError
from dermssl.scores.counts import Counts, scores_of_counts


def count_pixels(folder: Path) -> None:
    """Gives the drawn scores whole pixel counts, and the scores that follow from these."""
    scores = pd.read_parquet(folder / "scores.parquet").reset_index(drop=True)
    whole = scores["width"] * scores["height"]
    truth = (scores["area"] * whole).round().astype(int)
    tp = (scores["jaccard"] * truth).round().astype(int)
    counts = [Counts(t, 0, n - t, w - n) for t, n, w in zip(tp, truth, whole, strict=True)]
    table = pd.DataFrame([scores_of_counts(one) for one in counts])
    kept = [name for name in scores if name not in table and name not in ("surface_dice", "hd95")]
    pd.concat([scores[kept], table], axis=1).to_parquet(folder / "scores.parquet")


def keep(folder: Path, place: Path) -> Study:
    study = read_study(folder)
    keep_study(study, all_tables(study, 200), subgroups_of(study), place)
    return read_study(place)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, pd.DataFrame], str, Study]:
    """Tables and report of a study, and what was kept of it after the study itself is gone."""
    root = tmp_path_factory.mktemp("kept")
    design = Design(pictures=True, searched=True, images=40, seed=(0, 1, 2), decoder=("unet",), masks=False,
                    history=(("changed", "seed from [0] to [0, 1, 2]"),))  # fmt: skip
    folder = draw_study(root / "study", design)
    count_pixels(folder)
    study = read_study(folder)
    tables, markdown = all_tables(study, 200), study_report(study).markdown
    kept = keep(folder, root / "kept")
    shutil.rmtree(folder)
    return tables, markdown, kept


def test_every_table_is_what_it_was(both: tuple[dict[str, pd.DataFrame], str, Study]) -> None:
    tables, _, kept = both
    again = all_tables(kept, 200)
    assert set(again) == set(tables)
    tables = tables | {"runs": tables["runs"].assign(host="")}  # of which machine, nobody needs to know
    for name, table in tables.items():
        assert_frame_equal(again[name], table, check_dtype=False, obj=name)


def test_the_report_is_what_it_was_but_for_its_date(both: tuple[dict[str, pd.DataFrame], str, Study]) -> None:
    _, markdown, kept = both
    again = study_report(kept).markdown
    assert [line for line in again.splitlines() if " UTC" not in line] == [
        line for line in markdown.splitlines() if " UTC" not in line
    ]


def test_scores_come_back_to_the_last_bit(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(images=30, probes=False))
    count_pixels(folder)
    study, kept = read_study(folder), keep(folder, tmp_path / "kept")
    for name in ("jaccard", "isic_jaccard", "dice", "sensitivity", "specificity", "accuracy"):
        assert np.array_equal(study.scores[name], kept.scores[name]), name


def test_keeping_again_writes_the_same_scores_and_runs(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(images=20, probes=False, decoder=("unet",)))
    count_pixels(folder)
    for place in ("first", "second"):
        keep(folder, tmp_path / place)
    for name in ("scores.parquet", "images.parquet", "runs.zip", "plan.csv", "environment.json"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name


def test_nothing_of_the_machine_is_kept(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(images=20, probes=False, decoder=("unet",)))
    count_pixels(folder)
    plan = pd.read_csv(folder / "plan.csv").assign(host="ward-7-laptop")
    plan.to_csv(folder / "plan.csv", index=False)
    place = keep(folder, tmp_path / "kept").folder
    for path in place.rglob("*"):
        assert b"ward-7-laptop" not in path.read_bytes(), path.name
    assert str(tmp_path) not in (place / "plan.csv").read_text()


def test_a_study_without_scores_and_a_kept_one_are_refused(tmp_path: Path) -> None:
    empty = draw_study(tmp_path / "empty", Design(decoder=("unet",), images=12, probes=False))
    (empty / "scores.parquet").unlink()
    with pytest.raises(UserError, match="has no scores yet"):
        keep(empty, tmp_path / "nowhere")
    folder = draw_study(tmp_path / "study", Design(images=12, probes=False, decoder=("unet",)))
    with pytest.raises(UserError, match="has no pixel counts"):
        keep(folder, tmp_path / "nowhere")
    count_pixels(folder)
    kept = keep(folder, tmp_path / "kept")
    assert is_kept(kept.folder)
    with pytest.raises(UserError, match="is a kept study already"):
        keep(kept.folder, tmp_path / "twice")


def test_a_study_whose_runs_are_elsewhere_is_not_kept_in_part(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(images=12, probes=False, decoder=("unet",)))
    count_pixels(folder)
    (folder / "runs").rename(folder / "moved")
    with pytest.raises(UserError, match=r"finished runs not found .*; type this where"):
        keep(folder, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_table_survives_json_with_its_gaps() -> None:
    table = pd.DataFrame(
        {"word": ["a", "", "nan"], "number": [1.5, float("nan"), -0.0], "count": [1, 2, 3], "yes": [True, False, True]}
    )
    assert_frame_equal(unpacked_table(packed_table(table)), table)
    assert_frame_equal(unpacked_table(packed_table(table.iloc[:0])), table.iloc[:0], check_dtype=False)
