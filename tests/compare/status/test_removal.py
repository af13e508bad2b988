"""Removing what failed and nothing else."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_plan import draw_run, small_study, write_plan

from compare.execution.ledger import locked_study
from compare.status.removal import remove_failed_runs
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task
from dermssl.errors import UserError
from dermssl.runs.folder import locked_run

FilesIn = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def study(tmp_path: Path) -> StudyConfig:
    return small_study(tmp_path, yes=True)


def drawn(study: StudyConfig) -> tuple[Task, Path, Task, Path]:
    """A run that is done and one that failed, each with its folder."""
    good, bad = write_plan(study, {})[-2:]
    whole, broken = draw_run(study, good, result={"jaccard": 0.5}), draw_run(study, bad)
    write_plan(
        study, {good.name: Outcome(state="done", folder=str(whole)), bad.name: Outcome(state="failed", error="x")}
    )
    return good, whole, bad, broken


def history(study: StudyConfig) -> list[dict[str, str]]:
    path = study.folder / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_folder_of_a_failed_run_goes_and_all_else_stays(
    study: StudyConfig, files_in: FilesIn, capsys: pytest.CaptureFixture[str]
) -> None:
    _, whole, _, broken = drawn(study)
    before = files_in(whole)
    remove_failed_runs(study)
    assert not broken.exists()
    assert files_in(whole).items() >= before.items()
    assert "removed 1 run folder" in capsys.readouterr().out


def test_it_is_noted_in_the_history(study: StudyConfig) -> None:
    _, _, _, broken = drawn(study)
    remove_failed_runs(study)
    [event] = history(study)
    assert event["event"] == "cleaned"
    assert broken.name in event["what"]


def test_a_run_that_was_changed_goes_only_where_that_is_asked_for(study: StudyConfig) -> None:
    _, whole, _, _ = drawn(study)
    (whole / "metrics.csv").write_text("by hand\n")
    remove_failed_runs(study)
    assert whole.exists()
    remove_failed_runs(replace(study, changed=True))
    assert not whole.exists()


def test_a_run_that_another_study_has_as_done_stays(study: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    good, whole, _, _ = drawn(study)
    (whole / "metrics.csv").write_text("by hand\n")
    write_plan(replace(study, name="other"), {good.name: Outcome(state="done", folder=str(whole))})
    remove_failed_runs(replace(study, changed=True))
    assert whole.exists()
    assert f"left alone: {whole}: study 'other' has it as done" in capsys.readouterr().out


def test_a_run_that_a_process_is_at_stays(study: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    _, _, _, broken = drawn(study)
    with locked_run(broken):
        remove_failed_runs(study)
    assert broken.exists()
    assert "another process works on it" in capsys.readouterr().out
    assert history(study) == []


def test_an_unfinished_run_that_did_not_fail_stays(study: StudyConfig) -> None:
    task = write_plan(study, {})[-1]
    folder = draw_run(study, task)
    remove_failed_runs(study)
    assert folder.exists()


def test_nothing_goes_without_an_answer(study: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, broken = drawn(study)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "n")
    remove_failed_runs(replace(study, yes=False))
    assert broken.exists()
    monkeypatch.setattr("builtins.input", lambda _: "y")
    remove_failed_runs(replace(study, yes=False))
    assert not broken.exists()


def test_where_nobody_can_be_asked_nothing_goes(study: StudyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, _, broken = drawn(study)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UserError, match="add --yes"):
        remove_failed_runs(replace(study, yes=False))
    assert broken.exists()


def test_a_study_that_is_being_run_is_left_alone(study: StudyConfig) -> None:
    _, _, _, broken = drawn(study)
    with locked_study(study.folder), pytest.raises(UserError, match="another command runs this study"):
        remove_failed_runs(study)
    assert broken.exists()


def test_a_study_without_failures_has_nothing_to_remove(study: StudyConfig, capsys: pytest.CaptureFixture[str]) -> None:
    write_plan(study, {})
    remove_failed_runs(study)
    first, *last = capsys.readouterr().out.splitlines()
    assert "there is nothing to remove" in first
    history = study.folder / "history.jsonl"
    assert last == [
        f"open:    {history} (nothing was written)", f"next:    python -m compare run {study.folder}"
    ]  # fmt: skip


def test_a_folder_without_a_study_is_refused_and_not_made(study: StudyConfig) -> None:
    with pytest.raises(UserError, match="there is nothing to clean"):
        remove_failed_runs(study)
    assert not study.folder.exists()
