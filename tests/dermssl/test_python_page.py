"""The page for programs of one's own is typed line by line, and says nothing that a program did not ask for."""

import doctest
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import dermssl
from dermssl.log import LOGGER, PrintedLines, say, warn

ROOT = Path(__file__).parents[2]


@contextmanager
def log_as_in_a_program() -> Iterator[None]:
    """The logger as Python programs find it: the tests have it printed, as commands do."""
    handlers, level = LOGGER.handlers[:], LOGGER.level
    LOGGER.handlers, LOGGER.propagate = [], True
    LOGGER.setLevel(logging.NOTSET)
    yield
    LOGGER.handlers, LOGGER.propagate = handlers, False
    LOGGER.setLevel(level)


@pytest.mark.slow
def test_the_page_runs_line_by_line_and_prints_nothing_of_its_own(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    study = ROOT / "docs/results/demo"
    with log_as_in_a_program():
        test = doctest.DocTestParser().get_doctest(page, {"published": study}, "docs/python.md", None, 0)
        assert len(test.examples) > 15
        failures, _ = doctest.DocTestRunner(verbose=False).run(test)
    assert failures == 0, capsys.readouterr().out
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ""


def test_what_is_said_is_heard_where_a_program_listens_and_printed_by_commands_alone(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with log_as_in_a_program(), caplog.at_level(logging.INFO, "dermssl"):
        say("one")
        warn("two %s")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "one"), ("WARNING", "two %s"),
    ]  # fmt: skip
    assert capsys.readouterr() == ("", "")
    assert any(isinstance(handler, PrintedLines) for handler in LOGGER.handlers)
    say("three")
    warn("four")
    assert capsys.readouterr() == ("three\n", "four\n")


def test_an_import_loads_no_torch() -> None:
    code = "import sys, dermssl; dir(dermssl); assert 'load_model' in dir(dermssl); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="no attribute 'load_modle'"):
        dermssl.load_modle  # noqa: B018
