"""Whether results are right on the GPU: the tests marked `gpu`, and a row for each kind of them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.pytest_plugin import RESULTS
from benchmarks.gpu.rows import Row

PART = "right"
ROOT = Path(__file__).parents[2]
TESTS = ("views", "methods", "segmentation", "runs")  # files of tests/gpu: what takes longest comes last
Outcome = dict[str, Any]


def measure(seconds: float, tell: Callable[[list[Row]], None], words: Sequence[str] = ()) -> None:
    """Runs the tests in a process of their own, for so long at most.

    Args:
        seconds: Time, after which they are stopped.
        tell: Gets the rows.
        words: More for pytest, such as `-k views`.
    """
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "results.jsonl"
        late = ""
        try:
            done = subprocess.run(
                command(words), cwd=ROOT, env=os.environ | {RESULTS: str(file)}, timeout=seconds
            ).returncode
        except subprocess.TimeoutExpired:
            done, late = 0, f"Stopped after {seconds:.0f} s; tests that are not named here were not run."
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    tell(rows_of([json.loads(line) for line in lines if line.endswith("\n")]))  # a kill may cut the last one short
    if late:
        tell([Row(part=PART, subject="all tests", what="", text=late, met=False)])
    if not lines and not late:
        reason = f"pytest ended with exit code {done} and ran no test; what it printed says why."
        tell([Row(part=PART, subject="all tests", what="", text=reason, met=False)])


def command(words: Sequence[str]) -> list[str]:
    """Pytest on the tests marked `gpu`, by options of its own: pyproject.toml's ask for plugins."""
    files = [f"tests/gpu/test_{name}.py" for name in TESTS]
    own = ["-c", str(Path(__file__).with_name("pytest.ini")), "--rootdir", str(ROOT), "--confcutdir", str(ROOT)]
    return [
        sys.executable,
        "-m",
        "pytest",
        *own,
        "-p",
        "benchmarks.gpu.pytest_plugin",
        "-m",
        "gpu",
        "-q",
        *files,
        *words,
    ]


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """A row for each test function, whatever it was run on, and one for each figure that it noted."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        name = outcome["test"].rpartition("::")[2].partition("[")[0]
        kinds.setdefault(name.removeprefix("test_").replace("_", " "), []).append(outcome)
    return [row for kind, those in kinds.items() for row in rows_of_kind(kind, those)]


def rows_of_kind(kind: str, outcomes: Sequence[Outcome]) -> list[Row]:
    """How many passed, why the first did not, and the largest of each figure."""
    passed = [outcome for outcome in outcomes if outcome["outcome"] == "passed"]
    failed = [outcome for outcome in outcomes if outcome["outcome"] == "failed"]
    skipped = [outcome for outcome in outcomes if outcome["outcome"] == "skipped"]
    first = next(iter([*failed, *skipped]), None)
    text = "" if first is None else f"{first['test'].rpartition('::')[2]}: {first['reason']}"
    counts = [f"{len(those)} {word}" for those, word in ((failed, "failed"), (skipped, "skipped")) if those]
    what = ", ".join([f"{len(passed)} passed", *counts])
    met = False if failed else True if passed else None
    rows = [Row(part=PART, subject=kind, what=what, goal="all pass", met=met, text=text)]
    for name in dict.fromkeys(name for outcome in outcomes for name in outcome["figures"]):
        values = [float(outcome["figures"][name]) for outcome in outcomes if name in outcome["figures"]]
        rows.append(Row(part=PART, subject=kind, what=f"largest {name}", value=max(values)))
    return rows
