"""The kit itself, at tiny sizes on whatever device there is: its parts, its rows, its tables, its ends."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import finetuning, prediction, pretraining, right
from benchmarks.gpu.config import PARTS, GpuKitConfig
from benchmarks.gpu.machine import conditions, why_no_gpu
from benchmarks.gpu.measurements import Measurement, measure_in_turn
from benchmarks.gpu.rows import Goal, Row, figure, ratios, read_rows, write_rows
from benchmarks.gpu.run import SHARES, rows_of_part, run
from benchmarks.gpu.scale import TINY
from benchmarks.gpu.table import markdown, write_tables
from benchmarks.gpu.turns import Turns
from benchmarks.gpu.watched import HostSyncs

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.filterwarnings("default"),  # those of the peers, whose code is as their documents have it
    pytest.mark.timeout(1500),  # four methods and their peers, on a machine that does something else as well
]


def told(measure: Callable[..., None], place: Path, patch: pytest.MonkeyPatch) -> list[Row]:
    """The rows of a part, with time enough for one round."""
    patch.setenv("DERMSSL_CACHE", str(place / "cache"))
    rows: list[Row] = []
    measure(TINY, 600, rows.extend)
    return rows


@pytest.mark.slow
def test_pretraining_gives_every_figure_of_every_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = told(pretraining.measure, tmp_path, monkeypatch)
    for method in TINY.methods:
        own = [row for row in rows if row.subject.startswith(f"{method} on ")]
        assert len(own) == 6 + 2 * (method == "simclr"), own
        counted = [row for row in own if "kornia" not in row.what and "waits" not in row.what]
        assert all(row.value is not None and math.isfinite(row.value) for row in counted), own
        share = next(row.value for row in own if row.what == "share of the time waiting for data")
        assert share is not None
        assert 0 < share < 1
    [kornia] = [row for row in rows if "kornia" in row.what]
    assert (kornia.value is None) == ("is not installed here" in kornia.text)


@pytest.mark.slow
def test_fine_tuning_gives_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = told(finetuning.measure, tmp_path, monkeypatch)
    assert len(rows) == 6
    assert all(row.value is not None and row.value > 0 for row in rows), rows


@pytest.mark.slow
def test_prediction_gives_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = told(prediction.measure, tmp_path, monkeypatch)
    assert [row.what.partition(",")[0] for row in rows] == [
        "predict",
        "network alone",
        "predict / network alone",
        "reading alone",
    ]
    assert all(row.value is not None and row.value > 0 for row in rows), rows


@pytest.mark.slow
def test_the_tests_of_a_gpu_are_read_test_by_test() -> None:
    rows: list[Row] = []
    right.measure(300, rows.extend, ["-k", "small_crops_and_maps or energy_of_a_second"])
    crops = [row for row in rows if row.subject == "small crops and maps are those of the cpu"]
    assert [row.what for row in crops] == ["3 passed", "largest mean difference, grey levels (0.5 is allowed)"]
    assert crops[0].met
    assert crops[1].value is not None
    assert 0 < crops[1].value < 0.5
    [energy] = [row for row in rows if row.subject.startswith("the energy") and "largest" not in row.what]
    assert energy.met if torch.cuda.is_available() else "there is no GPU" in energy.text


def test_a_failure_is_a_row_with_its_reason_and_a_skip_is_no_failure() -> None:
    def outcome(name: str, end: str, reason: str = "", **figures: float) -> dict[str, object]:
        return {"test": f"tests/gpu/test_x.py::test_{name}", "outcome": end, "reason": reason, "figures": figures}

    rows = right.rows_of([outcome("a_b[1]", "passed", gap=0.1), outcome("a_b[2]", "failed", "too far", gap=0.3),
                          outcome("c", "skipped", "no GPU")])  # fmt: skip
    assert [(row.subject, row.what, row.met) for row in rows] == [
        ("a b", "1 passed, 1 failed", False),
        ("a b", "largest gap", None),
        ("c", "0 passed, 1 skipped", None),
    ]
    assert rows[0].text == "test_a_b[2]: too far"
    assert rows[1].value == 0.3
    assert rows[2].text == "test_c: no GPU"


def test_without_a_gpu_the_kit_says_so_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    [row] = run(GpuKitConfig(out=tmp_path / "out"))
    assert row.text == why_no_gpu()
    assert "Nothing was measured" in capsys.readouterr().out
    assert row.text.replace("|", "/") in (tmp_path / "out" / "gpu.md").read_text()
    assert json.loads((tmp_path / "out" / "gpu.json").read_text())["conditions"]["device"].startswith("none")


def test_a_part_that_dies_or_takes_too_long_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    [none] = rows_of_part("right", -1.0, tiny=True)
    assert "No time" in none.text
    monkeypatch.setattr(sys, "executable", "/bin/false")
    [died] = rows_of_part("prediction", 60.0, tiny=True)
    assert died.text == "Its process ended with code 1."
    sleeper = ["import time; time.sleep(60)"]
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda _, **more: start(["python3", "-c", *sleeper], **more))
    [late] = rows_of_part("prediction", 0.5, tiny=True)
    assert "It was stopped" in late.text


def test_rows_outlive_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = figure(("part", "of what"), "figure", [1.0, 3.0, 2.0], Goal(2))
    write_rows(file, [row])
    with file.open("a") as stream:
        stream.write('{"part": "cut sh')
    assert read_rows(file) == [row]


def test_a_figure_is_the_median_held_against_its_goal() -> None:
    where = ("part", "of what")
    row = figure(where, "times", [1.0, 4.0, 2.0], Goal(2, stretch=3))
    assert (row.value, row.least, row.most, row.met, row.goal) == (2.0, 1.0, 4.0, True, "at least 2, stretch 3")
    assert figure(where, "waits", [1.0], Goal(0, at_least=False)).met is False
    assert figure(where, "nothing", [], Goal(1)).met is None
    assert ratios({"a": [4.0, 9.0], "b": [2.0, 3.0]}, "a", "b") == [2.0, 3.0]
    assert ratios({"a": [4.0]}, "a", "b") == []


def test_the_tables_hold_every_row_and_where_it_was_measured(tmp_path: Path) -> None:
    rows = [
        Row(part="right", subject="a | b", what="3 passed", goal="all pass", met=True),
        figure(("pretraining", "simclr"), "loop, images/s", [2610.4, 2580, 2644], Goal(2000)),
    ]
    write_tables(tmp_path, rows, conditions())
    text = (tmp_path / "gpu.md").read_text()
    assert "| a / b | 3 passed |  | all pass | yes |  |" in text
    assert "| simclr | loop, images/s | 2610 (2580 to 2644) | at least 2000 | yes |  |" in text
    assert f"torch {torch.__version__.partition('+')[0]}" in text
    assert json.loads((tmp_path / "gpu.json").read_text())["rows"][1]["value"] == 2610.4
    assert markdown(rows, {}).count("##") == 2


def test_sides_take_turns_back_and_forth_and_a_broken_one_drops_out_unless_it_is_needed() -> None:
    order: list[str] = []

    def side(name: str) -> float:
        order.append(name)
        if name == "broken":
            raise ModuleNotFoundError("No module named 'kornia'", name="kornia")
        return 1.0

    sides = {name: (lambda name=name: side(name)) for name in ("a", "broken", "b")}  # type: ignore[misc]
    turns = Turns(sides, 2, math.inf, ("a",)).run()
    assert order == ["a", "broken", "b", "b", "a"]
    assert turns.errors == {"broken": "kornia is not installed here, so this side was left out."}
    assert turns.rates == {"a": [1.0, 1.0], "broken": [], "b": [1.0, 1.0]}
    assert Turns(sides, 5, time.monotonic() - 1, ("a",)).run().rates["a"] == [1.0]
    with pytest.raises(ModuleNotFoundError):
        Turns(sides, 1, math.inf, ("broken",)).run()


def test_a_measurement_that_fails_or_has_no_time_left_is_a_sentence_and_the_next_one_follows() -> None:
    shares: list[float] = []

    def measured(until: float) -> list[Row]:
        shares.append(until - time.monotonic())
        return [figure(("part", "good"), "figure", [1.0])]

    def broken(until: float) -> list[Row]:
        raise ValueError(f"not before {until > time.monotonic()}")

    subjects = {"good": measured, "broken": broken, "good too": measured}
    measurements = [Measurement("part", name, "figure", rows, 1 + (name == "good")) for name, rows in subjects.items()]
    rows: list[Row] = []
    measure_in_turn(measurements, 100, rows.extend)
    assert [(row.value, row.text) for row in rows] == [(1.0, ""), (None, "ValueError: not before True"), (1.0, "")]
    assert shares == pytest.approx([50, 100], abs=5)  # two of four parts of the time, then all that is left
    rows.clear()
    measure_in_turn(measurements, -1, rows.extend)
    assert [row.text for row in rows] == ["", "No time was left for it.", "No time was left for it."]


def test_steps_that_are_looked_at_for_waiting_are_counted_from_one_end_to_another() -> None:
    syncs = HostSyncs(first=1, count=2)
    for _ in range(4):
        torch.ones(3).sum()
        syncs.on_train_batch_end()
    assert syncs.a_step == ([0.0] if torch.cuda.is_available() else [])
    assert syncs.sentence or torch.cuda.is_available()


def test_every_part_has_its_share_and_strange_ones_are_refused() -> None:
    assert SHARES.keys() == set(PARTS)
    files = {file.stem.removeprefix("test_") for file in Path(__file__).parent.glob("test_*.py")}
    assert set(right.TESTS) == files - {"kit"}
    assert sum(SHARES.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="got speed"):
        GpuKitConfig(parts=("speed",))
