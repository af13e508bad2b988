"""What a ledger takes over, keeps and refuses; run folders are drawn."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from counted import counting

from compare.execution import ledger as module
from compare.execution.ledger import Ledger, locked_study, outcome_of, read_outcomes, write_outcome
from compare.study.factors import PLAN_COLUMNS
from compare.study.plan import Outcome, Task
from dermssl.errors import UserError
from dermssl.runs.folder import Run

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "study"
    place.mkdir()
    return place


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    """A pretraining, two fine-tunings that need it, and one that needs nothing."""
    need = counting(tmp_path, 0, stage="pretrain")
    return [need, counting(tmp_path, 1, needs=[need]), counting(tmp_path, 2, needs=[need]), counting(tmp_path, 3)]


def done(task: Task, jaccard: float = 0.5) -> Outcome:
    """The task's run folder with a result and its seal."""
    place = task.config.out / f"run-{task.id}"
    place.mkdir()
    (place / "scores").write_text("0.5")
    Run(place).finish({"jaccard": jaccard})
    return Outcome(state="done", folder=str(place), seconds=12.0, memory_mb=80.5, host="here", started="2026-11-23")


def plan_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "plan.csv", dtype={"id": str, "hash": str})


def events(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "history.jsonl").read_text().splitlines()
    return [(line["event"], line["what"]) for line in map(json.loads, lines)]


def states(ledger: Ledger) -> list[str]:
    return [ledger.state(task.id) for task in ledger.tasks]


def test_the_plan_has_a_row_a_run_from_the_beginning(folder: Path, tasks: list[Task]) -> None:
    Ledger(folder, tasks)
    plan = plan_of(folder)
    assert plan.columns.tolist() == PLAN_COLUMNS
    assert plan["name"].tolist() == [task.name for task in tasks]
    assert plan["state"].tolist() == ["planned"] * 4
    assert plan["seed"].tolist() == [0, 1, 2, 3]
    assert plan["lr"].isna().all()
    assert events(folder) == [("began", "4 runs")]


def test_the_plan_says_what_a_run_came_to(folder: Path, tasks: list[Task]) -> None:
    ledger = Ledger(folder, tasks)
    ledger.began(tasks[3])
    ledger.ended(tasks[3], done(tasks[3]))
    ledger.save(at_once=True)
    row = plan_of(folder).iloc[3]
    assert row["hash"] == tasks[3].id
    assert row[["state", "attempts", "seconds", "memory_mb", "host"]].tolist() == ["done", 1, 12.0, 80.5, "here"]
    assert row["folder"] == str(tasks[3].config.out / f"run-{tasks[3].id}")


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(),
        Outcome(state="failed", error="UserError: no room, at all\nsecond line", attempts=2, host="there", lost=True),
        Outcome(state="done", folder="runs/a-b", seconds=1.5, attempts=1, memory_mb=7.0, started="2026-11-23"),
    ],
)
def test_an_outcome_reads_back_as_it_was_written(outcome: Outcome, folder: Path, tasks: list[Task]) -> None:
    write_outcome(folder, tasks[0], outcome)
    assert read_outcomes(folder) == {tasks[0].id: outcome}


def test_a_row_of_the_plan_reads_back_but_for_what_it_has_no_column_of(folder: Path, tasks: list[Task]) -> None:
    ledger = Ledger(folder, tasks)
    outcomes = [Outcome(), done(tasks[1]), Outcome(state="failed", error="nan, at step 7"), done(tasks[3])]
    for task, outcome in zip(tasks, outcomes, strict=True):
        ledger.outcomes[task.id] = outcome
    ledger.save(at_once=True)
    assert read_outcomes(folder) == {task.id: outcome for task, outcome in zip(tasks, outcomes, strict=True)}


def test_what_is_done_is_taken_over_and_what_it_made_ready_is_ready(folder: Path, tasks: list[Task]) -> None:
    first = Ledger(folder, tasks)
    assert first.ready() == [tasks[0], tasks[3]]
    first.began(tasks[0])
    first.ended(tasks[0], done(tasks[0]))
    first.save(at_once=True)
    second = Ledger(folder, tasks)
    assert states(second) == ["done", "planned", "planned", "planned"]
    assert second.ready() == tasks[1:]
    assert second.folders == {tasks[0].id: tasks[0].config.out / f"run-{tasks[0].id}"}


def test_what_ran_when_a_command_was_killed_is_planned_again_and_its_attempts_count_anew(
    folder: Path, tasks: list[Task]
) -> None:
    killed = Ledger(folder, tasks)
    killed.began(tasks[3])
    killed.again(tasks[3], Outcome(state="failed", error="loss is nan"))
    killed.began(tasks[0])
    killed.save(at_once=True)
    assert plan_of(folder)["state"].tolist() == ["running", "planned", "planned", "planned"]
    assert Ledger(folder, tasks).outcomes == {task.id: Outcome() for task in tasks}


def test_what_ran_when_a_command_was_stopped_is_planned_in_the_file(folder: Path, tasks: list[Task]) -> None:
    ledger = Ledger(folder, tasks)
    ledger.began(tasks[0])
    ledger.stopped()
    assert read_outcomes(folder) == {task.id: Outcome() for task in tasks}


def test_a_run_whose_folder_is_gone_or_has_no_result_is_done_again(folder: Path, tasks: list[Task]) -> None:
    first = Ledger(folder, tasks)
    for task in tasks:
        first.outcomes[task.id] = done(task)
    first.save(at_once=True)
    (Path(first.outcomes[tasks[1].id].folder) / "result.json").unlink()
    Path(first.outcomes[tasks[2].id].folder).rename(folder / "elsewhere")
    assert states(Ledger(folder, tasks)) == ["done", "planned", "planned", "done"]


@pytest.mark.parametrize(("name", "named"), [("scores", "scores"), ("result.json", "result.json")])
def test_a_run_that_was_changed_by_hand_is_refused_and_taken_only_on_trust(
    name: str, named: str, folder: Path, tasks: list[Task]
) -> None:
    first = Ledger(folder, tasks)
    first.outcomes[tasks[0].id] = outcome = done(tasks[0])
    first.save(at_once=True)
    (Path(outcome.folder) / name).write_text('{"jaccard": 0.9}')
    before = (folder / "plan.csv").read_bytes()
    with pytest.raises(UserError, match=rf"run-{tasks[0].id}: was changed since it was finished \({named}\)"):
        Ledger(folder, tasks)
    assert (folder / "plan.csv").read_bytes() == before
    assert states(Ledger(folder, tasks, trust=True))[0] == "done"
    assert events(folder)[-1] == ("trusted", f"{outcome.folder} with changed {named}")


def test_a_change_to_several_runs_is_told_in_one_sentence(folder: Path, tasks: list[Task]) -> None:
    first = Ledger(folder, tasks)
    for task in tasks[:3]:
        first.outcomes[task.id] = done(task)
        (Path(first.outcomes[task.id].folder) / "scores").unlink()
    first.save(at_once=True)
    with pytest.raises(UserError, match=r" \(and 2 other runs like it\): was changed"):
        Ledger(folder, tasks)


def test_runs_that_come_and_go_are_told(folder: Path, tasks: list[Task]) -> None:
    Ledger(folder, tasks[:3])
    Ledger(folder, tasks[1:])
    assert events(folder) == [
        ("began", "3 runs"),
        ("extended", "1 runs that it did not have, 3 in all"),
        ("changed", "1 runs are no longer part of it"),
    ]
    assert plan_of(folder)["id"].tolist() == [task.id for task in tasks[1:]]


def test_opening_a_study_that_stands_changes_nothing(folder: Path, tasks: list[Task]) -> None:
    Ledger(folder, tasks)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Ledger(folder, tasks)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_jobs_of_a_cluster_left_is_taken_in_and_does_not_undo_what_is_done(
    folder: Path, tasks: list[Task]
) -> None:
    first = Ledger(folder, tasks)
    first.outcomes[tasks[0].id] = done(tasks[0])
    first.save(at_once=True)
    write_outcome(folder, tasks[0], Outcome(state="failed", error="an earlier try"))
    write_outcome(folder, tasks[1], replace(done(tasks[1]), attempts=2))
    write_outcome(folder, tasks[2], Outcome(state="failed", error="loss is nan", attempts=2))
    second = Ledger(folder, tasks)
    assert states(second) == ["done", "done", "failed", "planned"]
    assert second.attempts(tasks[1]) == 2
    assert plan_of(folder)["error"].tolist()[2] == "loss is nan"


def test_a_plan_of_an_older_form_tells_nothing(folder: Path, tasks: list[Task]) -> None:
    pd.DataFrame({"stage": ["finetune"], "name": ["unet"], "state": ["done"]}).to_csv(folder / "plan.csv", index=False)
    assert read_outcomes(folder) == {}
    assert states(Ledger(folder, tasks)) == ["planned"] * 4


def test_an_empty_cell_is_the_default() -> None:
    row = {"id": "0" * 10, "state": "planned", "seconds": float("nan"), "folder": float("nan"), "attempts": 0}
    assert outcome_of(row) == Outcome()


def written(ledger: Ledger, monkeypatch: pytest.MonkeyPatch, seconds: Sequence[float]) -> list[int]:
    """How often plan.csv is written when a run begins and the ledger is saved at each of these times."""
    count = [0]
    monkeypatch.setattr(module, "write_table", lambda *_: count.__setitem__(0, count[0] + 1))
    monkeypatch.setattr(ledger, "_written", 0.0)
    found = []
    for now in seconds:
        monkeypatch.setattr(module.time, "monotonic", lambda now=now: now)
        ledger.began(ledger.tasks[3])
        ledger.save()
        found.append(count[0])
    return found


def test_the_plan_is_written_at_most_a_few_times_a_second(
    folder: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(folder, tasks)
    assert written(ledger, monkeypatch, [0.1, 0.2, 0.4, 0.5, 0.6, 0.8]) == [0, 0, 1, 1, 1, 2]


def test_nothing_is_written_where_nothing_changed(
    folder: Path, tasks: list[Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(folder, tasks)
    monkeypatch.setattr(module, "write_table", lambda *_: pytest.fail("written"))
    monkeypatch.setattr(ledger, "_written", -1e9)
    ledger.save()


def test_the_line_of_a_run_tells_how_far_the_study_is(
    folder: Path, tasks: list[Task], capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(folder, tasks)
    ledger.slots = 2
    for task, jaccard in ((tasks[0], 0.0), (tasks[1], 0.812)):
        ledger.began(task)
        ledger.ended(task, done(task, jaccard))
    ledger.began(tasks[2])
    ledger.ended(tasks[2], Outcome(state="failed", error="loss is nan", seconds=3.0))
    assert capsys.readouterr().out.splitlines() == [
        f"[1/4] {tasks[0].name}: done, mean IoU 0.000 (12 s)",  # of fine-tuning nothing is known yet
        f"[2/4] {tasks[1].name}: done, mean IoU 0.812 (12 s), about 12 s left",
        f"[3/4] {tasks[2].name}: failed: loss is nan (3 s), about 6 s left",
    ]


def test_the_time_left_goes_by_what_is_expected_until_runs_tell_and_names_what_nothing_tells_of(
    folder: Path, tasks: list[Task], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    probes = [counting(tmp_path, number, stage="probe") for number in (5, 6)]
    ledger = Ledger(folder, [*tasks, *probes])
    assert ledger.time_left() == ""
    ledger.expected = {task.id: 100.0 for task in tasks}
    assert ledger.time_left() == ", about 7 min left without 2 probes"
    ledger.began(tasks[0])
    now += 60
    assert ledger.time_left() == ", about 6 min left without 2 probes"  # 340 s
    now += 60  # longer than expected, but it cannot take less than nothing
    assert ledger.time_left() == ", about 5 min left without 2 probes"
    ledger.ended(tasks[0], done(tasks[0]))
    ledger.began(tasks[1])
    ledger.ended(tasks[1], done(tasks[1]))  # in 12 s, and so will the two others
    ledger.slots = 2
    assert ledger.time_left() == ", about 12 s left without 2 probes"


@pytest.mark.slow
def test_a_study_is_run_by_one_command_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "study"
    lock = f"with locked_study(Path({str(place)!r})): pass"
    code = f"from pathlib import Path\nfrom compare.execution.ledger import locked_study\n{lock}"
    other = [sys.executable, "-c", code]
    with locked_study(place):
        with (
            pytest.raises(UserError, match=f"{place}: another command runs this study; wait for it"),
            locked_study(place),
        ):
            pytest.fail("held twice")
        there = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=False)
        assert "another command runs this study" in there.stderr
    assert subprocess.run(other, cwd=ROOT, check=False).returncode == 0
