import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from drawn_study import CLEAN, ENVIRONMENT, Design, draw_study, write_run

from compare.records.study import Study, read_study
from compare.tables.deviations import DEVIATIONS, deviation_table

HISTORY = (("extended", "3 runs that it did not have"), ("retried", "a run: killed"), ("finished", "9 runs"))
FAILED = frozenset({("ssl", "unet", 1.0, 0)})
DESIGN = Design(decoder=("unet",), label_fraction=(1.0,), images=20)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(draw_study(tmp_path / "study", DESIGN))


def first_run(study: Study) -> Path:
    return Path(study.runs("finetune")["folder"].iloc[0])


def said(study: Study) -> dict[str, str]:
    return dict(deviation_table(study)[["kind", "what"]].to_numpy().tolist())


def test_a_study_that_went_as_declared_has_none(study: Study) -> None:
    table = deviation_table(study)
    assert table.empty
    assert table.columns.tolist() == DEVIATIONS


def test_what_the_history_tells_stands_with_its_time_and_an_end_is_no_departure(tmp_path: Path) -> None:
    design = Design(decoder=("unet",), label_fraction=(1.0,), images=8, history=HISTORY)
    table = deviation_table(read_study(draw_study(tmp_path / "study", design)))
    assert table["kind"].tolist() == ["extended", "retried"]
    assert table["when"].tolist() == ["2026-11-23T12:01:00Z", "2026-11-23T12:02:00Z"]


def test_half_a_line_that_a_killed_process_left_is_passed_over(study: Study) -> None:
    with (study.folder / "history.jsonl").open("a") as history:
        history.write('{"when": "2026", "event": "extended", "wh')
    assert deviation_table(study).empty


def test_failed_and_missing_runs_are_named(tmp_path: Path) -> None:
    design = Design(decoder=("unet",), label_fraction=(1.0,), images=8, failed=FAILED)
    study = read_study(draw_study(tmp_path / "study", design))
    assert said(study) == {"failed": "1 of 10 runs failed: finetune-ssl-unet-1-0"}
    states = study.plan["state"].where(study.plan["stage"] != "probe", "planned")
    planned = Study(study.folder, study.options, study.plan.assign(state=states), study.scores, study.environment)
    assert said(planned)["missing"].startswith("3 of 10 runs not begun: probe-ssl")


def test_runs_whose_loss_has_blown_up_are_counted_and_named(study: Study) -> None:
    run = first_run(study)
    write_run(run, {}, json.loads((run / "result.json").read_text()) | {"diverged": True})
    assert said(study)["diverged"] == f"the loss of 1 of 10 finished runs has blown up: {run.name}"


def test_names_with_commas_in_them_stand_apart_by_semicolons(study: Study) -> None:
    plan = study.plan.assign(state="failed", name=[f"finetune, unet, seed {i}" for i in range(len(study.plan))])
    assert len(plan) == 10
    told = said(replace(study, plan=plan))["failed"]
    assert told == f"10 of 10 runs failed: {'; '.join(plan['name'])}"
    more = pd.concat([plan, plan.head(2)])
    assert said(replace(study, plan=more))["failed"].endswith("; finetune, unet, seed 9 and 2 more")


def test_runs_that_lack_the_same_files_are_one_row(study: Study) -> None:
    runs = study.runs("finetune").head(3)
    for folder in runs["folder"]:
        (Path(folder) / "split.json").unlink()
    (row,) = deviation_table(study)["what"]
    assert row == f"changed since the run ended, or gone: split.json, in 3 of 10 runs: {'; '.join(runs['name'])}"


def test_a_file_that_was_changed_by_hand_is_named_and_a_run_without_seal_is_counted(study: Study) -> None:
    split = first_run(study) / "split.json"
    split.write_text(split.read_text() + " ")
    assert said(study)["files"] == f"{first_run(study).name}: changed since the run ended, or gone: split.json"
    (first_run(study) / "seal.json").unlink()
    (row,) = deviation_table(study)["what"]
    assert row.startswith("1 of 10 runs have no seal")


def test_several_commits_versions_and_machines_are_told(study: Study) -> None:
    other = {**ENVIRONMENT, "commit": "ffff", "dirty": True, "cpu": "another", "versions": {"torch": "2.14.0"}}
    (first_run(study) / "environment.json").write_text(json.dumps(other))
    table = deviation_table(study)
    kinds = table.groupby("kind")["what"].agg("; ".join)
    assert "runs of 2 commits: 1a2b3c4d5e, ffff; 1 of 10 runs had uncommitted changes" in kinds["code"]
    assert kinds["versions"] == "torch in 2 versions: 2.13.0, 2.14.0"
    assert "2 kinds of machine" in kinds["machines"]


def test_an_image_that_one_run_did_not_score_is_left_out_of_all(study: Study) -> None:
    gone = (study.scores["image_id"] == "ISIC_0000003") & (study.scores["arm"] == "ssl") & (study.scores["seed"] == 1)
    scores = study.scores[~gone]
    told = said(Study(study.folder, study.options, study.plan, scores, study.environment))
    assert told == {"images": "1 of 20 images left out of the primary contrast: not scored by all"}


def test_a_contrast_without_any_pair_leaves_no_images_out(study: Study) -> None:
    scores = study.scores[study.scores["arm"] != "ssl"]
    assert deviation_table(Study(study.folder, study.options, study.plan, scores, study.environment)).empty


def test_leaks_that_were_allowed_and_a_limit_are_told(study: Study) -> None:
    run = first_run(study)
    leak = {**CLEAN, "action": "allowed", "leaking_held_out": 2, "leaking_training": 3}
    result = json.loads((run / "result.json").read_text()) | {"leaks": {"training": leak, "encoder": CLEAN}}
    write_run(run, {"limit": 100}, result)
    told = said(study)
    assert told["leaks"] == "3 images were trained on that leak into 2 held-out ones, in 1 finetune run"
    assert told["images"] == "only 100 images of the data set were used (--limit)"
