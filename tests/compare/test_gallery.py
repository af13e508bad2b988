"""Pictures of a report: which images stand in it, and what the best run made of them."""

import json
from pathlib import Path

import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.page.best_run import best_run, segmentations
from compare.page.gallery import gallery
from compare.tables.study import Study, read_study

SMALL = {"decoder": ("unet",), "label_fraction": (1.0,), "probes": False, "pretrained": False}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(draw_study(tmp_path / "study", Design(**SMALL, examples=9)))  # type: ignore[arg-type]


def test_images_go_from_the_worst_over_the_median_to_the_best(study: Study) -> None:
    sheet = gallery(study)[0]
    mean = study.scores.groupby("image_id")["jaccard"].mean()
    shown = [mean[row.image_id] for row in sheet.rows]
    assert shown == sorted(shown)
    assert [row.note for row in sheet.rows] == ["worst", "", "median", "", "best"]
    saved = [path.name[:12] for path in (study.folder / "runs/finetune-ssl-unet-1-0/examples").glob("*.jpg")]
    assert shown[0] == min(mean[saved])
    assert shown[-1] == max(mean[saved])
    assert shown[2] == mean[saved].median()


def test_every_picture_has_the_score_of_its_arm_and_seed(study: Study) -> None:
    sheet = gallery(study)[0]
    scores = study.scores[study.scores["seed"] == 0].set_index(["arm", "image_id"])["jaccard"]
    assert sheet.arms == ["ssl", "imagenet", "random"]
    for row in sheet.rows:
        assert [made.jaccard for made in row.predictions] == [scores[(arm, row.image_id)] for arm in sheet.arms]


def test_the_images_on_which_two_arms_differ_most_stand_apart(study: Study) -> None:
    sheet = gallery(study)[-1]
    assert sheet.apart
    assert sheet.arms == ["ssl", "imagenet"]
    gaps = [row.predictions[0].jaccard - row.predictions[1].jaccard for row in sheet.rows]
    assert gaps == sorted(gaps, reverse=True)
    scores = study.scores[study.scores["seed"] == 0].pivot(index="image_id", columns="arm", values="jaccard")
    saved = [path.name[:12] for path in (study.folder / "runs/finetune-ssl-unet-1-0/examples").glob("*.jpg")]
    whole = (scores["ssl"] - scores["imagenet"])[saved]
    assert gaps[0] == pytest.approx(whole.max())
    assert gaps[-1] == pytest.approx(whole.min())


def test_examples_of_all_folds_are_shown_together(tmp_path: Path) -> None:
    design = Design(**SMALL | {"fold": (0, 1)}, examples=3)  # type: ignore[arg-type]
    study = read_study(draw_study(tmp_path / "study", design))
    shown = {row.image_id for row in gallery(study)[0].rows}
    folds = study.scores[study.scores["image_id"].isin(shown)].groupby("image_id")["fold"].first()
    assert set(folds) == {0.0, 1.0}


def test_an_image_id_with_a_folder_is_found_under_its_flat_name(tmp_path: Path) -> None:
    folder = draw_study(tmp_path / "study", Design(**SMALL, examples=3))  # type: ignore[arg-type]
    scores = pd.read_parquet(folder / "scores.parquet")
    scores["image_id"] = scores["image_id"].str.replace("_", "/")
    scores.to_parquet(folder / "scores.parquet")
    assert len(gallery(read_study(folder))[0].rows) == 3


def test_runs_that_kept_no_pictures_have_no_gallery(tmp_path: Path) -> None:
    study = read_study(draw_study(tmp_path / "study", Design(**SMALL, examples=0)))  # type: ignore[arg-type]
    for path in study.folder.rglob("examples/*"):
        path.unlink()
    assert gallery(study) == []
    assert segmentations(study) is None


def test_the_best_run_is_that_with_the_highest_mean(study: Study) -> None:
    best = best_run(study)
    assert best is not None
    results = [json.loads(path.read_text()) for path in study.folder.glob("runs/finetune-*/result.json")]
    assert best["jaccard"] == pytest.approx(max(result["jaccard"] for result in results))
    titles = [axis.get_title() for axis in segmentations(study, most=4).axes]  # type: ignore[union-attr]
    shown = [float(title.rpartition(" ")[2]) for title in titles if title]
    assert len(shown) == 4
    assert shown == sorted(shown)


def test_a_study_without_scores_has_no_best_run(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: bare")
    assert best_run(read_study(tmp_path)) is None
    assert gallery(read_study(tmp_path)) == []
