"""The bar of a study: on a terminal alone, and never in the way of a line."""

import io
import logging
import sys
from pathlib import Path

import pytest
from counted import counting

from compare.execution.ledger import Ledger
from compare.execution.study_bar import StudyBar
from compare.study.plan import Outcome
from dermssl.log import LOGGER, PrintedLines, say


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    (tmp_path / "study").mkdir()
    tasks = [counting(tmp_path, number) for number in range(3)]
    ledger = Ledger(tmp_path / "study", tasks, trust=True)
    ledger.expected = {task.id: 20.0 for task in tasks}
    return ledger


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Both streams of a command from now on; pytest changes them between a fixture and its test."""
    stream = Terminal()
    monkeypatch.setattr(LOGGER, "handlers", [PrintedLines()])
    monkeypatch.setattr(LOGGER, "level", logging.INFO)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    return stream


def screen(written: str) -> list[str]:
    """The lines that a terminal shows: what a carriage return leads over is gone."""
    return [line.rpartition("\r")[2].rstrip() for line in written.split("\n")]


def test_the_bar_says_how_far_and_how_long_and_goes_away(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with StudyBar(ledger) as bar:
        ledger.began(ledger.tasks[0])
        ledger.ended(ledger.tasks[0], Outcome(state="failed", error="loss is nan"))
        ledger.began(ledger.tasks[1])
        bar.show()
        [*_, shown] = screen(terminal.getvalue())
        assert shown.startswith("study: ")
        assert "1 of 3 runs" in shown
        assert "1 running, about 40 s left" in shown
        say("a line")
        *lines, again = screen(terminal.getvalue())
        assert "a line" in lines
        assert again.startswith("study: ")
    assert screen(terminal.getvalue())[-1] == ""


def test_without_a_terminal_nothing_is_drawn(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    on_terminal(monkeypatch)
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    with StudyBar(ledger) as bar:
        bar.show()
    assert file.getvalue() == ""
