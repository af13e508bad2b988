"""Who is at a study, told of real processes that hold its folders and are killed."""

import os
import platform
import time
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_plan import draw_run, running, small_study, write_plan
from process_at import at, killed

from compare.execution.ledger import locked_study, write_outcome
from compare.execution.worker import utc
from compare.status.at_work import CommandState, RunAtWork, StudyPlace, command_at, is_alive, runs_at_work, with_jobs
from compare.status.status import PATIENCE, rows_of, status_text
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task
from dermssl.runs.folder import locked_run
from dermssl.runs.lock import Process


def begun(place: Path, host: str = "") -> tuple[StudyConfig, Task, Path]:
    """A study with a run that plan.csv has as running since now, the run, and its folder."""
    study = small_study(place)
    task = write_plan(study, {})[-1]
    write_plan(study, {task.name: replace(running(), host=host or platform.node(), started=utc(time.time()))})
    return study, task, draw_run(study, task)


def log_of(study: StudyConfig, task: Task) -> Path:
    return study.folder / "logs" / f"{task.id}.txt"


def seen(study: StudyConfig, *, ray: bool = False) -> list[RunAtWork]:
    rows = with_jobs(rows_of(study.folder / "plan.csv"), study.folder)
    return runs_at_work(rows, StudyPlace(study.folder, study.runs, ray), command_at(study.folder, rows))


def states(study: StudyConfig, *, ray: bool = False) -> list[str]:
    return [one.state for one in seen(study, ray=ray)]


def test_a_run_of_a_command_that_is_killed_with_its_worker_is_stopped(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    study.folder.mkdir(parents=True)
    with at(study.folder) as command:
        study, task, folder = begun(tmp_path)
        with at(folder, log=log_of(study, task)) as worker:
            assert states(study) == ["running"]
            assert (
                f"a command is running it: process {command.pid} on {platform.node()}, for"
                in status_text(study.folder)[0]
            )
            killed(command, worker)
            text, goes_on = status_text(study.folder)
    assert states(study) == ["stopped"]
    assert not goes_on
    assert f"no command is running it; the last one was killed (process {command.pid} on {platform.node()})" in text
    assert (
        f"5 runs left, and no process works on them; go on with them:\n  python -m compare run {study.folder}" in text
    )
    assert "time left" not in text
    row = next(line.split() for line in text.splitlines() if task.id in line)
    assert row[2:5] == ["3/10", "40", platform.node()]


def test_a_run_goes_on_whose_process_outlives_its_command(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path)
    with at(study.folder) as command, at(folder, log=log_of(study, task)):
        killed(command)
        text, goes_on = status_text(study.folder)
        assert states(study) == ["running"]
        assert "no command is running it" in text
        assert goes_on


def test_a_run_goes_on_whose_process_has_no_folder_yet(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task = write_plan(study, {})[-1]
    write_plan(study, {task.name: replace(running(), host=platform.node(), started=utc(time.time()))})
    with at(log=log_of(study, task)):
        [one] = seen(study)
        assert (one.state, one.folder) == ("running", None)
    assert states(study) == ["stopped"]


def test_what_a_loader_still_holds_is_not_called_stopped(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path)
    with at(folder, log=log_of(study, task), loader=True) as worker:
        killed(worker)
        assert states(study) == ["unclear"]


def test_a_process_at_an_equal_folder_of_another_study_keeps_no_killed_run_alive(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path)
    with at(folder, log=log_of(study, task)) as worker:
        killed(worker)
    with at(folder):
        assert states(study) == ["stopped"]


def test_who_holds_an_equal_folder_without_a_word_may_be_at_it(tmp_path: Path) -> None:
    study, _, folder = begun(tmp_path)
    with at(folder):
        (folder / ".lock").write_text("")  # as earlier versions left it
        assert states(study) == ["unclear"]
    assert states(study) == ["stopped"]


def test_a_command_that_looks_after_a_killed_one_does_not_bring_its_runs_back(tmp_path: Path) -> None:
    study, task, _ = begun(tmp_path)
    write_plan(study, {task.name: replace(running(), host=platform.node())})  # a minute ago
    with locked_study(study.folder):  # as `clean` does while it asks
        assert states(study) == ["stopped"]
        text, _ = status_text(study.folder)
    assert "5 runs left; none is running at this moment" in text


def test_a_run_of_another_machine_is_unclear_and_told_with_its_silence(tmp_path: Path) -> None:
    study, _, folder = begun(tmp_path, host="node7")
    for path in folder.iterdir():
        os.utime(path, (time.time() - 600, time.time() - 600))
    write_plan(
        study, {one["name"]: running() for one in rows_of(study.folder / "plan.csv") if one["state"] == "running"}
    )
    text, goes_on = status_text(study.folder)
    assert states(study) == ["unclear"]
    assert seen(study)[0].silent == pytest.approx(60, abs=10)
    assert "this machine cannot see whether a command is running it" in text
    assert "time left" not in text
    assert goes_on  # it may be heard of again


def test_a_machine_that_is_silent_for_long_is_no_longer_watched(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path, host="node7")
    assert status_text(study.folder)[1]
    long_ago = time.time() - 2 * PATIENCE
    write_plan(study, {task.name: replace(running(), started=utc(long_ago))})
    for path in [*folder.iterdir(), study.folder / "plan.csv"]:
        os.utime(path, (long_ago, long_ago))
    text, goes_on = status_text(study.folder)
    assert not goes_on
    assert next(line.split() for line in text.splitlines() if task.id in line)[:2] == ["60", "min"]
    assert (
        f"5 runs left; if no process works on them any more, go on with them:\n  python -m compare run {study.folder}"
        in text
    )


def test_a_run_of_another_machine_that_holds_its_folder_goes_on(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path, host="node7")
    with at(folder) as there:  # whose lock is seen from here, as on NFS
        log_of(study, task).parent.mkdir()
        log_of(study, task).write_text(f"{utc(time.time())} finetune, in process {there.pid} on node7\n")
        word = (folder / ".lock").read_text()
        (folder / ".lock").write_text(word.replace(f'"{platform.node()}"', '"node7"'))
        assert states(study) == ["running"]
        killed(there)
        assert states(study) == ["unclear"]


def test_where_ray_did_a_run_the_machine_of_the_command_does_not_tell(tmp_path: Path) -> None:
    study, _, _ = begun(tmp_path)
    assert [(one.state, one.host) for one in seen(study, ray=True)] == [("unclear", "")]
    assert states(study) == ["stopped"]


def test_nothing_is_stopped_while_its_command_may_be_alive_elsewhere(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path)
    with at(folder, log=log_of(study, task)) as worker:
        killed(worker)
    assert states(study) == ["stopped"]
    word = f'{{"host": "node7", "id": {os.getpid()}, "since": {time.time() - 100}}}'
    (study.folder / ".lock").write_text(word)
    assert command_at(study.folder, []).state == "unclear"
    assert states(study) == ["unclear"]


def test_a_job_of_a_cluster_is_seen_though_plan_csv_has_it_as_planned(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task = write_plan(study, {})[-1]
    folder = draw_run(study, task)
    with at(folder, log=log_of(study, task)) as job:
        assert states(study) == []  # of no array job
        (study.folder / "slurm").mkdir()
        assert states(study) == ["running"]
        assert "1 side by side" not in status_text(study.folder)[0]  # no time is known yet
        killed(job)
        text, goes_on = status_text(study.folder)
    assert states(study) == ["stopped"]
    assert f"python -m compare slurm {study.folder}" in text
    assert not goes_on


def test_a_run_that_a_command_was_at_before_plan_csv_was_written_is_no_job(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    task = write_plan(study, {})[-1]
    (study.folder / "slurm").mkdir()
    with at(draw_run(study, task), log=log_of(study, task)) as worker:
        later = time.time() + 60
        os.utime(study.folder / "plan.csv", (later, later))
        assert states(study) == ["running"]  # a report in between has written it
        killed(worker)
    assert states(study) == []


def test_a_run_that_is_begun_once_more_is_as_far_as_the_attempt_before(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path)
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    with at(folder, log=log_of(study, task)) as first:
        killed(first)
    with at(log=log_of(study, task)):
        assert [(one.state, one.folder) for one in seen(study)] == [("running", folder)]


def test_what_jobs_have_left_since_plan_csv_was_written_is_taken_in(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    *_, task, other = write_plan(study, {})
    (study.folder / "outcomes").mkdir()
    write_outcome(study.folder, task, Outcome(state="failed", error="loss is nan"))
    write_outcome(study.folder, other, Outcome(state="failed", error="of an earlier submission"))
    os.utime(study.folder / "outcomes" / f"{other.id}.json", (1e9, 1e9))
    rows = with_jobs(rows_of(study.folder / "plan.csv"), study.folder)
    assert [row["state"] for row in rows] == [*["planned"] * 3, "failed", "planned"]
    assert rows[3]["error"] == "loss is nan"


def test_a_command_that_ended_by_itself_is_not_at_it(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    write_plan(study, {})
    with locked_study(study.folder):
        assert command_at(study.folder, []).state == "at it"
    assert command_at(study.folder, []) == CommandState("nobody")
    text, goes_on = status_text(study.folder)
    assert "  no command is running it\n" in text
    assert not goes_on


def test_a_later_process_with_the_same_number_is_not_the_one_that_was(tmp_path: Path) -> None:
    assert is_alive(Process(platform.node(), os.getpid(), time.time()))
    assert not is_alive(Process(platform.node(), os.getpid(), 1e9))
    with at(tmp_path) as process:
        killed(process)
    assert not is_alive(Process(platform.node(), process.pid, time.time()))


def test_a_look_at_a_study_leaves_its_locks_as_they_are(tmp_path: Path) -> None:
    study, task, folder = begun(tmp_path)
    with at(study.folder, folder, log=log_of(study, task)):
        locks = [one / ".lock" for one in (study.folder, folder)]
        before = [(lock.read_bytes(), lock.stat().st_mtime_ns) for lock in locks]
        status_text(study.folder)
        assert [(lock.read_bytes(), lock.stat().st_mtime_ns) for lock in locks] == before
    status_text(study.folder)
    with locked_study(study.folder), locked_run(folder) as ours:
        assert ours
