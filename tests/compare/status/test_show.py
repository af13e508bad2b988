"""One run in words."""

import json
import platform
from dataclasses import replace
from math import nan
from pathlib import Path

import pytest
from drawn_plan import draw_run, running, small_study, write_plan

from compare.status.show import explain_run
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task
from compare.text import WIDTH
from dermssl.errors import UserError

RESULT = {"jaccard": 0.8125, "dice": 0.9, "failure_rate": 0.25, "n_val": 12, "seconds": 33.0}


@pytest.fixture
def study(tmp_path: Path) -> StudyConfig:
    return small_study(tmp_path)


def done(study: StudyConfig) -> tuple[Task, Path]:
    """The study's last fine-tuning, done."""
    task = write_plan(study, {})[-1]
    folder = draw_run(study, task, result=RESULT)
    write_plan(study, {task.name: Outcome(state="done", folder=str(folder), seconds=45.0, attempts=2, host="node7",
                                          memory_mb=1500.0, started="2026-01-02T03:04:05+00:00")})  # fmt: skip
    return task, folder


def test_a_run_is_known_by_its_folder_its_id_the_beginning_of_it_and_its_name(study: StudyConfig) -> None:
    task, folder = done(study)
    texts = {explain_run(word, study) for word in (str(folder), folder.name, task.id, task.id[:5], task.name)}
    assert len(texts) == 1


def test_it_tells_what_was_done_how_long_it_took_and_what_was_found(study: StudyConfig) -> None:
    task, _ = done(study)
    text = explain_run(task.id, study)
    assert task.name in text
    assert "done, took 45 s, held 1.5 GB, on node7, begun 2026-01-02T03:04:05+00:00, 2 attempts" in text
    assert "Fine-tunes unet on tu-tf_efficientnet_lite0 for 4000 steps of 16 images at" in " ".join(text.split())
    assert "images:   9 to train and 3 held out" in text
    assert "scores of 12 held-out images" in text
    assert "mean IoU  0.812" in text
    assert "random weights" in text
    assert "commit 1a2b3c4d5e" in text


def test_options_are_told_where_they_are_not_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("ema: 0.5\nbatch_size: 16\n")
    study = small_study(tmp_path, finetune=tmp_path / "f.yaml")
    text = explain_run(done(study)[0].id, study)
    assert "ema 0.5" in text
    assert "batch_size" not in text  # it is as by default


def test_the_loss_is_drawn_as_a_line(study: StudyConfig) -> None:
    assert "loss over 3 rows of metrics.csv: 1.0000 to 0.3333\n  █▃▁" in explain_run(done(study)[0].id, study)


def test_a_run_that_diverged_is_told_with_the_magnitude_of_its_loss(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    folder = draw_run(study, task, result=RESULT | {"diverged": True})
    (folder / "metrics.csv").write_text("epoch,loss\n0,1.5\n1,66382958692401152.0\n2,inf\n")
    text = explain_run(str(folder), study)
    assert "loss over 3 rows of metrics.csv: 1.5000 to inf\n" in text
    assert "diverged: the loss ended far above where it began" in text


def test_a_score_of_one_lesion_has_no_interval(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    scores = {"balanced_accuracy": 0.5, "low": nan, "high": nan, "n": 2}
    text = explain_run(str(draw_run(study, task, result={"knn": scores})), study)
    assert "knn: balanced accuracy 0.500 (95 % interval none: one lesion, n = 2 images)" in text


def test_a_run_whose_files_were_changed_is_told_with_the_files(study: StudyConfig) -> None:
    task, folder = done(study)
    assert "files: whole, as sealed" in explain_run(task.id, study)
    (folder / "metrics.csv").write_text("epoch,loss\n0,0.1\n")
    assert "changed since the run ended: metrics.csv" in explain_run(task.id, study)


def test_the_command_that_does_it_again_names_its_own_options(study: StudyConfig) -> None:
    task, folder = done(study)
    assert f"python -m finetune --config {folder}/config.yaml --out runs/again" in explain_run(task.id, study)


def test_a_failed_run_has_its_reason_and_the_end_of_its_log(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    write_plan(study, {task.name: Outcome(state="failed", error="RuntimeError: no luck (model.py:3)", attempts=2)})
    log = study.folder / "logs" / f"{task.id}.txt"
    log.parent.mkdir()
    log.write_text("".join(f"line {i}\n" for i in range(100)))
    text = explain_run(task.id, study)
    assert "failed: RuntimeError: no luck (model.py:3)" in text
    assert str(log) in text
    assert "line 99" in text
    assert "line 80" not in text


def test_a_run_that_has_not_begun_says_so(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    text = explain_run(task.id, study)
    assert "It has not begun" in text
    assert f"python -m compare run {study.folder}" in text


def test_a_run_that_goes_on_shows_the_folder_that_it_works_in(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    folder = draw_run(study, task)
    write_plan(study, {task.name: running()})
    text = explain_run(task.id, study)
    assert str(folder) in text
    assert "unfinished" in text


def test_a_run_that_was_killed_with_its_command_is_not_said_to_go_on(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    draw_run(study, task)
    write_plan(study, {task.name: replace(running(), host=platform.node())})
    assert "state:    stopped" in explain_run(task.id, study)


def test_a_run_of_no_study_is_explained_as_well(study: StudyConfig) -> None:
    task = write_plan(study, {})[0]
    folder = draw_run(study, task, result={"seconds": 3.0})
    text = explain_run(folder.name, study)
    assert "in no study's plan" in text
    assert "Pretrains tu-tf_efficientnet_lite0 by simclr for 100 epochs" in text


def test_an_encoder_file_that_is_gone_is_told(study: StudyConfig) -> None:
    task = next(task for task in write_plan(study, {}) if task.stage == "finetune" and task.factors["init"] == "ssl")
    assert "which is gone" in explain_run(str(draw_run(study, task)), study)


def test_a_search_shows_what_it_tried(tmp_path: Path) -> None:
    study = small_study(tmp_path, search="grid")
    task = next(task for task in write_plan(study, {}) if task.stage == "search")
    folder = study.folder / "search" / "abc"
    folder.mkdir(parents=True)
    trials = [{"lr": 1e-4, "seed": 0, "jaccard": 0.5}, {"lr": 1e-3, "seed": 0, "jaccard": 0.75}]
    found = {"strategy": "grid", "best": 1e-3, "jaccard": 0.75, "at_edge": True, "trials": trials}
    (folder / "result.json").write_text(json.dumps(found))
    write_plan(study, {task.name: Outcome(state="done", folder=str(folder))})
    text = " ".join(explain_run(task.id, study).split())
    assert "0.001 is best, mean IoU 0.750, which lies at the edge of what was tried" in text
    assert "0.0001 0 0.5000 0.001 0 0.7500" in text


def test_a_word_that_means_no_run_is_answered_with_the_nearest(study: StudyConfig) -> None:
    task, _ = done(study)
    with pytest.raises(UserError, match=f"no run has this folder, hash, id or name.*did you mean '{task.name}'"):
        explain_run(task.name.replace("unet", "unett"), study)


def test_a_word_that_means_several_runs_is_answered_with_them(study: StudyConfig) -> None:
    tasks = write_plan(study, {})
    for name, task in zip(("run-aaaa1", "run-aaaa2"), tasks[-2:], strict=True):
        draw_run(study, task).rename(study.runs / "finetune" / name)
    with pytest.raises(UserError, match=r"'aaaa' means 2 runs .*run-aaaa1.*run-aaaa2"):
        explain_run("aaaa", study)


def test_a_short_beginning_is_not_taken_for_a_hash(study: StudyConfig) -> None:
    task, _ = done(study)
    with pytest.raises(UserError, match="no run has this"):
        explain_run(task.id[:2], study)


def test_no_line_but_a_command_is_longer_than_the_page(study: StudyConfig) -> None:
    lines = explain_run(done(study)[0].id, study).splitlines()
    assert max(len(line) for line in lines if not line.lstrip().startswith(("again:", "folder:", "study:"))) <= WIDTH
