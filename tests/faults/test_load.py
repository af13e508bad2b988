"""Much of everything: time that grows with the work alone, memory and open files that do not grow with it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faults.drawn_set import draw_set
from faults.tally import Tally, tallied

TESTS = Path(__file__).parents[1]
LOADED = 2.0  # times the seconds, for a processor that others share
PER_PICTURE = 5000  # bytes for what is known of a picture (id, path, hashes); the picture itself would be 9216
Measured = Mapping[str, Any]


def loaded(name: str, place: Path, amount: int) -> Measured:
    """What a load in a process of its own came to; its words if it failed."""
    place.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS), str(TESTS / "compare")])
    done = subprocess.run(
        [sys.executable, "-m", "faults.loads", name, str(place), str(amount)], capture_output=True, text=True,
        check=False, env=os.environ | {"PYTHONPATH": paths, "DERMSSL_CACHE": str(place / "cache")},
    )  # fmt: skip
    if done.returncode:
        return {"failed": (done.stdout + done.stderr)[-600:]}
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def judge(tally: Tally, what: str, measured: Measured, is_right: Callable[[Measured], bool]) -> None:
    """Counts a load, with what it came to."""
    if "failed" not in measured and is_right(measured):
        tally.right += 1
        print(f"{what}: { ({key: value for key, value in measured.items() if key != 'rows'}) }")
    else:
        tally.wrong.append(f"{what}: {str(measured)[-600:]}")


def is_flat(rows: list[tuple[int, int, int]]) -> bool:
    """Whether memory and open files stay where they were after the first 500 steps; a twentieth is the allocator's."""
    _, memory, files = np.array([row for row in rows if row[0] > 500]).T
    half = len(memory) // 2
    return bool(memory[half:].mean() < 1.05 * memory[:half].mean() and files[half:].max() <= files[:half].max())


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_loads(tmp_path: Path) -> None:
    with tallied("load") as tally:
        for name in ("plan", "status"):
            draw_set(tmp_path / name / "set")
            measured = loaded(name, tmp_path / name, 250)
            judge(tally, f"{name} of 10000 runs", measured,
                  lambda one: one["runs"] >= 10_000 and one["seconds"] < LOADED * 10)  # fmt: skip
        measured = loaded("report", tmp_path / "report", 500)
        judge(tally, "report of 200000 scores", measured, lambda one: one["seconds"] < LOADED * 60)
        few = loaded("one_epoch", tmp_path / "few", 5_000)
        many = loaded("one_epoch", tmp_path / "many", 50_000)
        judge(tally, f"50000 pictures, beside 5000 in {few}", many,
              lambda one: one["peak"] - few["peak"] < 45_000 * PER_PICTURE)  # fmt: skip
        measured = loaded("soak", tmp_path / "soak", 5_000)
        judge(tally, "5000 steps", measured, lambda one: one["rows"][-1][0] == 5_000 and is_flat(one["rows"]))


def test_growth_is_seen_and_what_is_flat_passes() -> None:
    steps = np.arange(100, 5001, 100)
    assert is_flat([(step, 900 + step % 300 // 50, 40) for step in steps])
    assert not is_flat([(step, 900 + step // 20, 40) for step in steps])
    assert not is_flat([(step, 900, 40 + step // 1000) for step in steps])
