"""The commands of `python -m compare`: each does something, and `run` says what to look at next."""

from pathlib import Path

import pandas as pd
import pytest

import compare.figures.best_run
import compare.records.study
from compare.command_line import COMMANDS
from compare.commands import DEEDS, next_look
from compare.study.config import StudyConfig


def test_every_command_that_help_names_does_something() -> None:
    assert list(DEEDS) == list(COMMANDS)


@pytest.mark.parametrize(
    ("out", "command"),
    [
        (StudyConfig.out, "python -m compare show a1b2c3d4e5"),
        (Path("my studies"), "python -m compare show a1b2c3d4e5 --out 'my studies'"),
    ],
)
def test_after_a_study_its_best_run_is_next(out: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare.records.study, "read_study", lambda folder: folder)
    monkeypatch.setattr(compare.figures.best_run, "best_run", lambda _: pd.Series({"id": "a1b2c3d4e5"}))
    assert next_look(Path("report.html"), StudyConfig(out=out)) == command


def test_after_a_study_without_scores_its_report_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare.records.study, "read_study", lambda folder: folder)
    monkeypatch.setattr(compare.figures.best_run, "best_run", lambda _: None)
    assert next_look(Path("study/report.html"), StudyConfig()) == "open study/report.html"
