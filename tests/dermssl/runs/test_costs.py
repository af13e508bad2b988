"""What a run costs, over all its attempts."""

import platform
import time
from pathlib import Path

import pandas as pd
import pytest

from dermssl.runs.costs import Spent, costs, usual_rate
from dermssl.runs.energy import Counter, Meter
from dermssl.training import trainer
from dermssl.training.trainer import Spending


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be moved by hand."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    return now


def metered(joules: list[float]) -> Spent:
    return Spent(Meter([Counter("CPU package-0", lambda: joules[0], 1e6)]))


def test_seconds_and_energy_are_those_since_it_was_made(clock: list[float]) -> None:
    joules = [50.0]
    spent = metered(joules)
    clock[0], joules[0] = 107.5, 50 + 7200.0
    found = costs(spent, images_per_second=12.0)
    assert (found["seconds"], found["images_per_second"], found["energy_wh"]) == (7.5, 12.0, 2.0)
    assert (found["energy_of"], found["host"]) == ("CPU package-0", platform.node())
    assert float(str(found["memory_mb"])) > 10


def test_energy_that_no_device_tells_has_no_entry() -> None:
    assert not {"energy_wh", "energy_of"} & set(costs(Spent(Meter([])), 1.0))


def test_an_earlier_attempt_counts(clock: list[float]) -> None:
    joules = [0.0]
    spent = metered(joules)
    spent.add(seconds=30.0, watt_hours=1.5)
    clock[0], joules[0] = 104.0, 3600.0
    assert (spent.seconds, spent.watt_hours) == (34.0, 2.5)


def test_energy_is_not_told_where_an_earlier_attempt_did_not_know_its_own() -> None:
    spent = metered([0.0])
    spent.add(seconds=30.0, watt_hours=None)
    assert spent.watt_hours is None


def test_a_training_counts_on_from_its_checkpoint(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    joules = [0.0]
    monkeypatch.setattr(trainer, "Spent", lambda: metered(joules))
    first = Spending()
    clock[0], joules[0] = 160.0, 3600.0
    kept = first.state_dict()
    clock[0], joules[0] = 170.0, 9999.0  # killed after its checkpoint, and found a day later
    clock[0] = 86_000.0
    second = Spending()
    second.load_state_dict(kept)
    clock[0], joules[0] = 86_005.0, 9999 + 1800.0
    assert (second.spent.seconds, second.spent.watt_hours) == (65.0, 1.5)
    assert second.state_dict() == {"seconds": 65.0, "watt_hours": 1.5}


def test_counters_are_looked_at_before_they_can_begin_again_twice(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    joules = [0.0]
    monkeypatch.setattr(trainer, "Spent", lambda: Spent(Meter([Counter("CPU package-0", lambda: joules[0], 1000.0)])))
    training = Spending()
    for step in range(1, 31):  # 30 steps of two minutes at 4 watts: the counter goes round four times
        clock[0] += 120
        joules[0] = 480.0 * step % 1000
        training.on_train_batch_end(None, None, None, None, step)  # type: ignore[arg-type]
    assert training.spent.watt_hours == pytest.approx(4.0 * 1)


def test_the_usual_rate_is_the_median_over_epochs(tmp_path: Path) -> None:
    pd.DataFrame({"epoch": [0, 1, 2], "images_per_second": [2.0, 90.0, 70.0]}).to_csv(tmp_path / "m.csv", index=False)
    assert usual_rate(tmp_path / "m.csv") == 70.0
