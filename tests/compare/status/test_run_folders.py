"""Which run folder is meant where plan.csv names none."""

import os
from dataclasses import replace
from pathlib import Path

from drawn_plan import draw_run, running, small_study, write_plan

from compare.status.run_folders import (
    TrainingProgress,
    failed_run_folders,
    folder_at_work,
    training_progress,
    unfinished_runs,
)
from compare.status.status import rows_of
from compare.study.config import StudyConfig


def at_work_of_last(study: StudyConfig) -> Path | None:
    row = rows_of(study.folder / "plan.csv")[-1]
    return folder_at_work(row, unfinished_runs(study.runs / row["stage"]))


def test_a_running_row_finds_the_folder_with_its_options(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    tasks = write_plan(study, {})
    folders = {task.name: draw_run(study, task) for task in tasks if task.stage == "finetune"}
    write_plan(study, dict.fromkeys(folders, running()))
    for row in rows_of(study.folder / "plan.csv"):
        if row["stage"] == "finetune":
            assert folder_at_work(row, unfinished_runs(study.runs / row["stage"])) == folders[row["name"]]


def test_a_folder_that_nobody_has_written_to_since_is_not_at_work(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task = write_plan(study, {})[-1]
    folder = draw_run(study, task)
    write_plan(study, {task.name: running()})
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    assert at_work_of_last(study) is None


def test_a_finished_folder_is_not_at_work_and_is_no_leftover(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task = write_plan(study, {})[-1]
    draw_run(study, task, result={"jaccard": 0.5})
    write_plan(study, {task.name: running()})
    assert at_work_of_last(study) is None
    assert failed_run_folders(task, study.runs) == []


def test_a_leftover_has_exactly_the_options_of_its_task(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task, other = (task for task in write_plan(study, {})[-2:])
    folder = draw_run(study, task)
    draw_run(study, replace(task, id="longer", config=replace(task.config, steps=7777)))
    assert failed_run_folders(task, study.runs) == [folder]
    assert failed_run_folders(other, study.runs) == []


def test_progress_is_what_log_and_metrics_tell(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task = write_plan(study, {})[-1]
    assert training_progress(draw_run(study, task, rows=4)) == TrainingProgress(4, 10, 40.0)
    assert TrainingProgress(4, 10, 40.0).share == 0.4
    assert training_progress(tmp_path) is None
