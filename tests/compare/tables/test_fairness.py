import json
from pathlib import Path

import pytest
import yaml
from drawn_study import Design, draw_study

from compare.records.study import Study, read_study
from compare.tables.fairness import FAIRNESS, fairness_table
from compare.tables.search_tables import SEARCH, TRIALS, search_table, trial_table

DESIGN = Design(decoder=("unet",), label_fraction=(1.0,), images=20, searched=True)
ROWS = [
    "seeds", "held-out images", "split", "training images", "optimiser steps", "other options", "commit", "machine",
    "library versions", "search of the learning rate", "search scored on training images",
]  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(draw_study(tmp_path / "study", DESIGN))


def run_of(study: Study, arm: str, stage: str = "finetune") -> Path:
    runs = study.runs(stage)
    return Path(runs.loc[runs["arm"] == arm, "folder"].iloc[0])


def change(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def unlike(study: Study) -> dict[str, str]:
    table = fairness_table(study)
    return dict(table.loc[table["same"].eq(False), ["what", "detail"]].to_numpy().tolist())


def test_arms_that_were_treated_alike_are_the_same_in_everything(study: Study) -> None:
    table = fairness_table(study)
    assert table.columns.tolist() == FAIRNESS
    assert table["what"].tolist() == ROWS
    assert table["same"].tolist() == [True] * len(ROWS)
    assert table["detail"].ne("").iloc[:8].all()


@pytest.mark.parametrize(
    ("what", "key", "value", "says"),
    [
        ("split", "split", "other", "differ in 1 of 2 blocks: ssl other, imagenet sNone, random sNone"),
        ("training images", "n_train", 100, "differ in 1 of 2 blocks: ssl 100, imagenet 240, random 240"),
        ("optimiser steps", "steps", 90, "differ in 1 of 2 blocks: ssl 90, imagenet 150, random 150"),
    ],
)
def test_a_run_that_was_treated_otherwise_is_seen(study: Study, what: str, key: str, value: object, says: str) -> None:
    change(run_of(study, "ssl") / "result.json", **{key: value})
    assert unlike(study) == {what: says}


def test_an_option_that_differs_is_named_with_its_values(study: Study) -> None:
    path = run_of(study, "imagenet") / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"augmentation": "strong", "threads": 3}))
    assert unlike(study) == {"other options": "augmentation is dermoscopy or strong"}  # threads are pace


def test_other_seeds_and_images_in_one_arm_are_seen(study: Study) -> None:
    plan = study.plan[study.plan["folder"] != str(run_of(study, "random"))]
    scores = study.scores[(study.scores["image_id"] != "ISIC_0000003") | (study.scores["arm"] != "ssl")]
    found = unlike(Study(study.folder, study.options, plan, scores, study.environment))
    assert found["seeds"] == "random lacks 1 of 2 runs in unet at 1"
    assert found["held-out images"].startswith("differ in 2 of 2 blocks: ssl 19 images, imagenet 20 images")


def test_another_commit_is_seen(study: Study) -> None:
    change(run_of(study, "ssl") / "environment.json", commit="ffff", versions={"torch": "2.14.0"})
    assert set(unlike(study)) == {"commit", "library versions"}


def test_the_compared_factor_may_differ_and_no_other(tmp_path: Path) -> None:
    design = Design(
        init=("ssl",), arms="loss", contrast=("bce_dice", "lovasz"), loss=("bce_dice", "lovasz"), decoder=("unet",),
        label_fraction=(1.0,), images=20,
    )  # fmt: skip
    study = read_study(draw_study(tmp_path / "study", design))
    assert unlike(study) == {}
    assert "all options but loss" in fairness_table(study)["detail"].tolist()


def test_runs_of_earlier_versions_do_not_tell_and_are_not_called_fair(study: Study) -> None:
    for folder in study.runs("finetune")["folder"]:
        (Path(folder) / "result.json").write_text("{}")
        (Path(folder) / "config.yaml").unlink()
    same = fairness_table(study).set_index("what")["same"]
    assert same[["split", "training images", "optimiser steps", "other options"]].tolist() == [None] * 4


def test_a_search_with_another_budget_or_on_held_out_images_is_seen(study: Study) -> None:
    path = run_of(study, "random", "search") / "result.json"
    trials = json.loads(path.read_text())["trials"]
    change(path, trials=trials[:4], scored="held_out")
    assert set(unlike(study)) == {"search of the learning rate", "search scored on training images"}


def test_a_search_tells_its_rates_its_best_and_whether_it_lies_at_the_edge(study: Study) -> None:
    table = search_table(study)
    assert table.columns.tolist() == SEARCH
    row = table[table["arm"] == "random"].iloc[0]
    assert row[["trials", "seeds", "lowest", "highest", "best_lr"]].tolist() == [3, 2, 0.0001, 0.01, 0.01]
    assert table["at_the_edge"].tolist() == [False, False, True]


def test_trials_stand_one_by_one(study: Study) -> None:
    table = trial_table(study)
    assert table.columns.tolist() == TRIALS
    assert len(table) == 3 * 3 * 2
    means = table.groupby(["arm", "lr"])["jaccard"].mean().unstack()
    assert means.idxmax(axis=1).to_dict() == {"ssl": 0.001, "imagenet": 0.001, "random": 0.01}


def test_a_study_without_search_or_runs_says_nothing(whole_study: Path, tmp_path: Path) -> None:
    assert search_table(read_study(whole_study)).empty
    (tmp_path / "study.yaml").write_text("name: bare")
    assert fairness_table(read_study(tmp_path)).empty
