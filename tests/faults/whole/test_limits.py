"""Whole commands where there is too little memory, no output or no UTF-8: they end well, or with one line."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from faults.drawn_set import draw_set
from faults.tally import Tally, tallied, trials
from faults.whole.whole_commands import ALONE, COMMANDS, typed, write_options

pytestmark = pytest.mark.slow  # a process takes seconds to start
MEMORY = ("out of memory: ", "ulimit -v")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    draw_set(tmp_path / "set")
    write_options(tmp_path)
    return tmp_path


def some(names: Sequence[str]) -> Sequence[str]:
    return names[: trials(len(names), 3)]


def test_four_gigabytes_are_enough_or_are_said_to_be_too_little(place: Path) -> None:
    with tallied("memory") as tally:
        for name in some(ALONE):
            for gigabytes in (4.0, 1.0):
                done = typed(name, place, f"rm -rf drawn; ulimit -v {int(gigabytes * 2**20)};")
                judge(tally, f"{name} in {gigabytes} GB", done.returncode, done.stderr.decode(), *MEMORY)


def test_a_full_output_ends_with_one_line(place: Path) -> None:
    with tallied("output") as tally:
        for name in some(ALONE):
            done = typed(name, place, behind="> /dev/full")
            judge(tally, f"{name} > /dev/full", done.returncode, done.stderr.decode(), "the standard output: ")


def test_names_that_are_no_text_are_names_where_nobody_has_utf8(place: Path) -> None:
    for part in ("images", "masks"):
        for number, path in enumerate(sorted((place / "set" / part).iterdir())):
            path.rename(path.with_name(os.fsdecode(b"\xff\xfe\xe4 \n%d.png" % number)))
    (place / "set" / "metadata.csv").unlink()
    with tallied("locale") as tally:
        for name in some(tuple(COMMANDS)):
            done = typed(name, place, LC_ALL="POSIX", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
            judge(tally, f"{name} under LC_ALL=POSIX", done.returncode, os.fsdecode(done.stderr))


def judge(tally: Tally, what: str, code: int, said: str, *parts: str) -> None:
    """Ended well, or with exit code 2 and one line that says why; a check ends with 1 where it has findings."""
    if code == 0:
        tally.right += 1
    elif code == 2 and parts and len(said.strip().splitlines()) == 1 and all(part in said for part in parts):
        tally.refused += 1
    else:
        tally.wrong.append(f"{what}: exit code {code}, {said[-500:]}")
