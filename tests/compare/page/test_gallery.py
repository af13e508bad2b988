"""Pictures of a report: which images stand in it, and what the best run made of them."""

import base64
import io
import json
from pathlib import Path

import pytest
from drawn_study import LIFT, Design, draw_study, lesion_radius
from PIL import Image

from compare.figures.best_run import best_run, segmentations
from compare.figures.pictures import photograph_paths
from compare.page import report
from compare.page.gallery import gallery
from compare.records.study import Study, read_study

SMALL = {"decoder": ("unet",), "label_fraction": (1.0,), "probes": False, "pretrained": False}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(draw_study(tmp_path / "study", Design(**SMALL, pictures=True)))  # type: ignore[arg-type]


def test_images_go_from_the_worst_over_the_median_to_the_best(study: Study) -> None:
    sheet = gallery(study)[0]
    mean = study.scores.groupby("image_id")["jaccard"].mean()
    shown = [mean[row.image_id] for row in sheet.rows]
    assert shown == sorted(shown)
    assert [row.note for row in sheet.rows] == ["worst", "", "median", "", "best"]
    assert (shown[0], shown[-1]) == (mean.min(), mean.max())
    assert shown[2] == mean.sort_values().iloc[40]  # of 80 images


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
    whole = scores["ssl"] - scores["imagenet"]
    assert gaps[0] == pytest.approx(whole.max())
    assert gaps[-1] == pytest.approx(whole.min())


def test_every_image_has_its_photograph_and_its_outlines(study: Study) -> None:
    known = photograph_paths(study)
    for row in gallery(study)[0].rows:
        picture = Image.open(io.BytesIO(base64.b64decode(row.source.removeprefix("data:image/webp;base64,"))))
        with Image.open(known[row.image_id]) as whole:
            assert (row.width, row.height) == picture.size == whole.size
        # The lesion is a disc about the middle, so its outline crosses the middle row at the lesion's two ends.
        radius = lesion_radius(int(row.image_id.removeprefix("ISIC_")))
        across = [float(point.split()[0]) for point in row.truth.strip("MZ").split("L")]
        assert (min(across), max(across)) == pytest.approx((32.5 - radius, 32.5 + radius), abs=1)
        assert all(made.outline.startswith("M") for made in row.predictions)


def test_without_photographs_the_same_images_are_shown_by_their_outlines(study: Study, tmp_path: Path) -> None:
    bare = read_study(draw_study(tmp_path / "bare", Design(**SMALL)))  # type: ignore[arg-type]
    outlines = [[(row.image_id, row.truth, row.predictions) for row in gallery(one)[0].rows] for one in (study, bare)]
    assert outlines[0] == outlines[1]
    assert {row.source for row in gallery(bare)[0].rows} == {""}


@pytest.mark.slow
def test_a_few_arms_have_a_column_each_and_many_stand_in_rows_with_the_primary_ones_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not gallery(read_study(draw_study(tmp_path / "few", Design(**SMALL))))[0].wide  # type: ignore[arg-type]
    arms = ("random", *(f"ssl (method_{i})" for i in range(8)), "imagenet")
    for arm in arms[1:-1]:
        monkeypatch.setitem(LIFT, arm, 0.02)
    design = Design(**SMALL, init=arms, contrast=("ssl (method_3)", "random"), images=12)  # type: ignore[arg-type]
    folder = draw_study(tmp_path / "many", design)
    spread, apart = gallery(read_study(folder))
    others = [arm for arm in arms if arm not in ("ssl (method_3)", "random")]
    assert spread.wide
    assert spread.arms == ["ssl (method_3)", "random", *others]
    assert [made.arm for made in spread.rows[0].predictions] == spread.arms
    assert apart.arms == spread.arms[:2]
    assert not apart.wide
    monkeypatch.setattr(report, "DRAWS", 20)
    page = report.write_report(folder).page.read_text()
    assert page.count('class="shots"') == 5
    assert page.count('class="under"') == page.count('class="shot"') - 2 * len(apart.rows) == 5 * len(arms)


def test_a_run_without_masks_leaves_its_arm_out(study: Study) -> None:
    (study.folder / "runs" / "finetune-ssl-unet-1-0" / "masks.parquet").unlink()
    (study.folder / "runs" / "finetune-ssl-unet-1-1" / "masks.parquet").unlink()
    assert [sheet.arms for sheet in gallery(study)] == [["imagenet", "random"]]


def test_images_of_all_folds_are_shown_together(tmp_path: Path) -> None:
    design = Design(**SMALL | {"fold": (0, 1)})  # type: ignore[arg-type]
    study = read_study(draw_study(tmp_path / "study", design))
    shown = {row.image_id for row in gallery(study)[0].rows}
    folds = study.scores[study.scores["image_id"].isin(shown)].groupby("image_id")["fold"].first()
    assert set(folds) == {0.0, 1.0}


def test_runs_that_kept_no_masks_have_no_gallery(tmp_path: Path) -> None:
    study = read_study(draw_study(tmp_path / "study", Design(**SMALL, masks=False)))  # type: ignore[arg-type]
    assert gallery(study) == []
    assert segmentations(study) is None


def test_the_best_run_is_that_with_the_highest_mean(study: Study) -> None:
    best = best_run(study)
    assert best is not None
    results = [json.loads(path.read_text()) for path in study.folder.glob("runs/finetune-*/result.json")]
    assert best["jaccard"] == pytest.approx(max(result["jaccard"] for result in results))
    scores = study.scores[study.scores["run"] == Path(best["folder"]).name]["jaccard"]
    titles = [axis.get_title() for axis in segmentations(study, most=4).axes]  # type: ignore[union-attr]
    shown = [float(title.rpartition(" ")[2]) for title in titles if title]
    assert len(shown) == 4
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == pytest.approx((scores.min(), scores.max()), abs=5e-4)


def test_a_study_without_scores_has_no_best_run(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: bare")
    assert best_run(read_study(tmp_path)) is None
    assert gallery(read_study(tmp_path)) == []
