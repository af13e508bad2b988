"""The doctor answers on a machine where nothing else does, and its exit code says whether something would fail."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from planted_machine import plant_module

from dermssl.doctor import run as doctor
from dermssl.doctor.observation import Observation, fault, good, note, observations
from dermssl.errors import UserError

ROOT = Path(__file__).parents[3]
Said = pytest.CaptureFixture[str]


def visits(monkeypatch: pytest.MonkeyPatch, *seen: Observation) -> None:
    """Lets the doctor see these alone."""
    monkeypatch.setattr(doctor, "VISITS", (doctor.Visit("drawn", lambda: iter(seen)),))
    monkeypatch.setattr(doctor, "versions_found", dict)


@pytest.mark.parametrize(
    ("seen", "code"), [([good("disk", "Well.")], 0), ([note("disk", "Hm.")], 0), ([fault("disk", "No.", "df")], 1)]
)
def test_a_fault_alone_is_exit_code_1(
    seen: list[Observation], code: int, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    visits(monkeypatch, *seen)
    assert doctor.run([]) == code
    assert capsys.readouterr().out.splitlines()[0].split() == [seen[0].state, "disk", seen[0].text]


def test_a_line_has_its_remedy_below_it_and_the_last_counts_them(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    visits(monkeypatch, good("disk", "Well."), fault("memory", "word " * 40, "top"))
    doctor.run([])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "good   disk           Well."
    assert all(line.startswith(" " * 22 + "word") for line in lines[2:-3])
    assert lines[-3] == " " * 22 + "-> top"
    assert lines[-1].startswith("1 good, 0 notes, 1 fault. Mend the faults from the top")


def test_programs_get_the_same_as_json(monkeypatch: pytest.MonkeyPatch, capsys: Said) -> None:
    visits(monkeypatch, good("disk", "Well."), note("hub", "Far.", "wait"))
    doctor.run(["--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["state"] == "note"
    assert told["findings"][1] == {"check": "hub", "state": "note", "text": "Far.", "remedy": "wait"}
    assert told["versions"]["numpy"]


def test_an_examination_that_breaks_is_an_observation() -> None:
    def breaks() -> Iterator[Observation]:
        yield good("disk", "Well.")
        raise RuntimeError("no such disk")

    first, second = observations("disk", breaks, 5)
    assert (first.state, second.state) == ("good", "note")
    assert "RuntimeError: no such disk" in second.text


def test_an_examination_that_does_not_end_is_a_fault() -> None:
    over = threading.Event()

    def waits() -> Iterator[Observation]:
        over.wait()
        yield good("disk", "Well.")

    (seen,) = observations("disk", waits, 0.05)
    over.set()
    assert (seen.state, "no answer" in seen.text) == ("fault", True)


def test_quick_leaves_out_the_network_and_the_time_of_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(doctor, "observations", lambda check, *_: asked.append(check) or [])
    [*doctor.everything(quick=True)]
    assert {visit.check for visit in doctor.VISITS} - set(asked) == {"speed", "hub"}


def test_an_option_that_it_does_not_have_is_named_with_the_nearest() -> None:
    with pytest.raises(UserError, match="no option '--jsno'; did you mean '--json'"):
        doctor.run(["--jsno"])


@pytest.mark.parametrize("library", ["torch", "numpy", "yaml"])
def test_it_answers_where_a_library_ends_the_process(library: str, tmp_path: Path) -> None:
    plant_module(tmp_path / "broken", library, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    if library == "yaml":  # which comes late, and the machine is not to be waited for
        plant_module(tmp_path / "broken", "torch", "raise ImportError('not today')")
    done = subprocess.run(
        [sys.executable, "-m", "dermssl", "doctor", "--quick"], capture_output=True, text=True, cwd=ROOT, check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path / "broken")},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ""
    assert f"fault  {library if library in ('torch', 'numpy') else 'torch'}" in done.stdout
    assert "Mend the faults from the top" in done.stdout


HELP = """
import runpy, sys
sys.argv = ["dermssl", "doctor", "--help"]
try:
    runpy.run_module("dermssl", run_name="__main__")
except SystemExit as end:
    print(end.code, {"yaml", "numpy", "torch"} & {*sys.modules})
"""


def test_its_help_needs_no_library() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.startswith("usage: python -m dermssl doctor")
    assert done.stdout.endswith("0 set()\n")
