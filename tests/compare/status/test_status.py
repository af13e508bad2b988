"""How far a study is."""

import fcntl
import io
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from drawn_plan import draw_run, running, small_study, write_plan

import compare.status.status
from compare.status.status import show_status, status_text
from compare.study.plan import Outcome
from compare.text import WIDTH
from dermssl.errors import NEW_PICTURE, UserError


def done(folder: Path, seconds: float = 100.0) -> Outcome:
    return Outcome(state="done", folder=str(folder), seconds=seconds, attempts=1)


@pytest.fixture
def half_done(tmp_path: Path) -> Iterator[Path]:
    """A pretraining and a run of each arm done, one that failed, one that runs at 4 of 10 epochs."""
    study = small_study(tmp_path, seed=(0, 1))
    tasks = write_plan(study, {})
    pretrain, ssl0, random0, ssl1, random1 = tasks
    outcomes = {
        pretrain.name: done(draw_run(study, pretrain, result={}), 400.0),
        ssl0.name: done(draw_run(study, ssl0, result={"jaccard": 0.81})),
        random0.name: done(draw_run(study, random0, result={"jaccard": 0.62})),
        ssl1.name: Outcome(state="failed", error="first line\nloss is nan at step 12", attempts=2),
        random1.name: running(),
    }
    draw_run(study, random1, rows=4)
    write_plan(study, outcomes)
    with (study.folder / ".lock").open("w") as lock:  # a command has been at it for two minutes
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps({"host": "node7", "id": 4711, "since": time.time() - 120}))
        lock.flush()
        yield study.folder


def test_every_stage_has_its_counts_by_state(half_done: Path) -> None:
    text, goes_on = status_text(half_done)
    lines = [line.split() for line in text.splitlines()]
    assert ["pretrain", "-", "-", "1", "-"] in lines
    assert ["finetune", "-", "1", "2", "1"] in lines
    assert text.startswith("study small: 3 of 5 runs done; last change ")
    assert goes_on


def test_a_run_that_goes_on_has_its_host_its_progress_and_its_rate(half_done: Path) -> None:
    text, _ = status_text(half_done)
    [row] = [line.split() for line in text.splitlines() if "4/10" in line]
    assert row[2:5] == ["4/10", "40", "node7"]
    assert row[:2] in (["60", "s"], ["61", "s"], ["62", "s"], ["63", "s"])


def test_a_run_that_goes_on_is_named_by_what_tells_it_from_others(half_done: Path) -> None:
    text, _ = status_text(half_done)
    assert next(line for line in text.splitlines() if "4/10" in line).endswith("  finetune, random, seed 1")


def test_a_failure_has_its_last_line(half_done: Path) -> None:
    text, _ = status_text(half_done)
    assert "loss is nan at step 12" in text
    assert "first line" not in text


def test_time_left_counts_what_the_running_run_has_done_already(half_done: Path) -> None:
    assert "time left: about 60 s, with 1 side by side as now" in status_text(half_done)[0]


def test_the_heading_tells_of_the_command(half_done: Path) -> None:
    assert "\n  a command is running it: process 4711 on node7, for 2 min\n" in status_text(half_done)[0]


def test_time_left_is_unknown_while_a_stage_has_no_finished_run(half_done: Path) -> None:
    table = pd.read_csv(half_done / "plan.csv", dtype=str)
    table.loc[table["state"] == "done", ["state", "folder"]] = "planned", ""
    table.to_csv(half_done / "plan.csv", index=False)
    assert "time left: unknown until the first pretrain run has ended" in status_text(half_done)[0]


def test_no_time_is_told_for_a_study_that_nobody_is_at(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    write_plan(study, {})
    text, goes_on = status_text(study.folder)
    assert (
        f"5 runs left, and no process works on them; go on with them:\n  python -m compare run {study.folder}" in text
    )
    assert "time left" not in text
    assert not goes_on


def test_arms_have_their_mean_so_far_and_no_verdict(half_done: Path) -> None:
    text, _ = status_text(half_done)
    lines = [line.split() for line in text.splitlines()]
    assert ["ssl", "1", "0.810", "0.810"] in lines
    assert ["random", "1", "0.620", "0.620"] in lines
    assert "no verdict" in text


def test_it_says_when_every_run_has_ended(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    tasks = write_plan(study, {})
    write_plan(study, {task.name: done(draw_run(study, task, result={"jaccard": 0.5})) for task in tasks})
    text, goes_on = status_text(study.folder)
    assert "every run has ended" in text
    assert not goes_on


def test_a_plan_of_an_older_form_is_read(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    study.folder.mkdir(parents=True)
    rows = "stage,name,hash,state,seconds,init,method,encoder,decoder,label_fraction,seed,folder,error\n"
    (study.folder / "plan.csv").write_text(rows + "finetune,one,abc,failed,3.0,ssl,simclr,e,unet,1.0,0,,it broke\n")
    assert "one: it broke" in status_text(study.folder)[0]


def test_no_line_is_longer_than_the_page(half_done: Path) -> None:
    assert max(map(len, status_text(half_done)[0].splitlines())) <= WIDTH


def test_without_a_terminal_it_is_printed_once(half_done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show_status(half_done)
    printed = capsys.readouterr().out
    assert printed.count("study small") == 1
    assert NEW_PICTURE not in printed


def test_a_terminal_is_drawn_anew_until_nothing_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    pictures = iter([("first", True), ("second", True), ("last", False)])
    monkeypatch.setattr(compare.status.status, "status_text", lambda _: next(pictures))
    monkeypatch.setattr(compare.status.status, "EVERY", 0.0)
    monkeypatch.setattr(sys, "stdout", screen := Terminal())
    show_status(tmp_path)
    assert screen.getvalue().split(NEW_PICTURE) == ["", "first\n", "second\n", "last\n"]


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no study has been run here"):
        status_text(tmp_path)
