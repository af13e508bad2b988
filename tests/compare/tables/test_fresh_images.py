"""A study whose recipe was chosen on some folds says what it finds on the others."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from drawn_study import Design, draw_study

from compare.page.fresh import fresh_in_words
from compare.page.report import write_report
from compare.records.study import Study, read_study
from compare.tables.contrasts import contrast_table
from compare.tables.fresh_images import fresh_contrast_table

FOLDS = Design(fold=(0, 1, 2), seed=(0, 1, 2), decoder=("unet",), label_fraction=(0.1,), probes=False)


def chosen_study(folder: Path, chosen_on: Sequence[int], design: Design = FOLDS) -> Study:
    draw_study(folder, design)
    path = folder / "study.yaml"
    options = yaml.safe_load(path.read_text()) | {"chosen_on": list(chosen_on), "folds": 3}
    path.write_text(yaml.safe_dump(options))
    return read_study(folder)


@pytest.mark.parametrize("chosen_on", [[0], [1, 2]])
def test_fresh_contrasts_are_those_of_a_study_that_never_saw_the_chosen_folds(
    tmp_path: Path, chosen_on: list[int]
) -> None:
    study = chosen_study(tmp_path / "s", chosen_on)
    path = study.folder / "scores.parquet"
    scores = pd.read_parquet(path)
    scores[~scores["fold"].isin(chosen_on)].to_parquet(path)
    alone, fresh = contrast_table(read_study(study.folder), 200).iloc[:1], fresh_contrast_table(study, 200)
    pd.testing.assert_frame_equal(fresh, alone)
    wide = study.scores[~study.scores["fold"].isin(chosen_on)].pivot_table("jaccard", "image_id", "arm")
    assert fresh["difference"].item() == pytest.approx((wide["ssl"] - wide["imagenet"]).mean())
    assert fresh["images"].item() == len(wide) < len(study.lesions)


def test_a_study_without_a_choice_has_no_such_rows(tmp_path: Path) -> None:
    assert fresh_contrast_table(chosen_study(tmp_path / "s", []), 100).empty


def test_images_of_chosen_folds_cannot_move_the_fresh_difference(tmp_path: Path) -> None:
    study = chosen_study(tmp_path / "s", [0])
    before = fresh_contrast_table(study, 100)["difference"].item()
    chosen = study.scores["fold"] == 0
    study.scores.loc[chosen & (study.scores["arm"] == "ssl"), "jaccard"] = 1.0
    assert fresh_contrast_table(study, 100)["difference"].item() == before
    assert contrast_table(study, 100)["difference"].iloc[0] > before


def test_the_page_says_it_in_a_sentence_and_in_a_table(tmp_path: Path) -> None:
    study = chosen_study(tmp_path / "s", [0])
    fresh = fresh_contrast_table(study)
    [sentence] = fresh_in_words(study, fresh)
    gap = f"{100 * fresh['difference'].item():+.1f}"
    assert sentence.startswith("The images of fold 0 had a part in choosing what is compared; on the ")
    assert f"other images the difference is {gap} points" in sentence
    report = write_report(study.folder)
    assert sentence.replace("-", "−") in report.markdown.read_text().replace("-", "−")  # noqa: RUF001
    assert "the images that had no part in choosing what is compared" in report.page.read_text()


def test_as_long_as_only_chosen_folds_are_scored_the_page_says_so(tmp_path: Path) -> None:
    study = chosen_study(tmp_path / "s", [0])
    path = study.folder / "scores.parquet"
    scores = pd.read_parquet(path)
    scores[scores["fold"] == 0].to_parquet(path)
    report = write_report(study.folder)
    assert "no other image is scored by both arms yet" in report.markdown.read_text()
    fresh = pd.read_csv(report.tables / "fresh_contrasts.csv")
    assert np.isnan(fresh["difference"]).all()
