"""A true Ray cluster of two nodes, one processor each, which loses one of them while a study runs."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import psutil
import pytest
import ray
from counted import assert_each_done_once, count, counting, steps_of
from ray_nodes import Nodes, count_slowly, two_nodes
from small_study import Here, draw_photographs, plan_of, small_study

import compare.page.report
import compare.run
from compare.execution.ledger import Ledger
from compare.execution.ray_cluster import RayExecutor
from compare.execution.schedule import schedule
from compare.run import run


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as both:
        yield both


@pytest.fixture
def _workers_find_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))


def lose_one_when(due: Callable[[], bool], nodes: Nodes) -> threading.Thread:
    """Kills a node from the side as soon as it is due."""

    def wait() -> None:
        until = time.monotonic() + 200
        while time.monotonic() < until and not due():
            time.sleep(0.02)
        nodes.lose_one()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_workers_find_this_folder")
def test_a_cluster_that_loses_a_node_does_every_run_once(nodes: Nodes, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    tasks = [counting(runs, seed) for seed in range(5)] + [counting(runs, 5, "dies once")]
    spoilt = [counting(runs, 6, "dies"), counting(runs, 7, "refuses")]
    (tmp_path / "study").mkdir()
    ledger = Ledger(tmp_path / "study", [*tasks, *spoilt])
    both = lose_one_when(lambda: [len(steps_of(folder)) for folder in runs.glob("run-*")] in ([1, 1], [1, 2]), nodes)
    with RayExecutor(nodes.address, tmp_path / "study", work=count_slowly) as executor:
        assert executor.slots == 2
        schedule(ledger, executor)
        assert executor.slots == 1
    both.join(10)
    assert [ledger.state(task.id) for task in tasks] == ["done"] * 6
    attempts = [ledger.attempts(task) for task in tasks]
    assert sorted(attempts[:5]) == [1, 1, 1, 1, 2]  # the run that the node took along
    assert [(ledger.state(task.id), ledger.attempts(task)) for task in spoilt] == [("failed", 3), ("failed", 1)]
    assert "the node it was running on is dead" in (tmp_path / "study" / "history.jsonl").read_text()
    for task in spoilt:
        (runs / f"run-{task.id}").rename(tmp_path / task.id)
    assert_each_done_once(runs, tasks)
    nodes.gain_one()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_workers_find_this_folder")
def test_runs_on_a_cluster_end_with_an_interrupted_study(nodes: Nodes, tmp_path: Path) -> None:
    tasks = [counting(tmp_path / "runs", seed, "sleeps") for seed in range(2)]
    logs = [tmp_path / "logs" / f"{task.id}.txt" for task in tasks]

    def interrupted() -> None:
        with RayExecutor(nodes.address, tmp_path, work=count) as executor:
            for task in tasks:
                executor.start(task)
            wait_until(lambda: all(log.exists() and log.read_text() for log in logs))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    workers = [int(log.read_text().partition("in process ")[2].split()[0]) for log in logs]
    wait_until(lambda: not any(map(psutil.pid_exists, workers)), 30)  # they would sleep for a minute
    assert not ray.is_initialized()


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_that_loses_a_node_says_what_a_study_of_one_machine_says(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(1)))
    monkeypatch.setattr(compare.page.report, "DRAWS", 200)
    photographs = draw_photographs(tmp_path / "photographs")
    here = small_study(tmp_path / "here", photographs, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare.run, "executor_of", lambda *_: Here())
        run(here)
    there = replace(
        small_study(tmp_path / "there", photographs, threads=1), executor="ray", address=nodes.address, jobs=2
    )
    tuned = there.runs / "finetune"
    lose_one_when(lambda: len(list(tuned.glob("*/config.yaml"))) == 2, nodes)
    run(there)
    plan = plan_of(there)
    assert plan["state"].tolist() == ["done"] * 5
    assert plan["folder"].nunique() == 5
    assert len(list(there.runs.glob("*/*/result.json"))) == 5
    assert sorted(plan["attempts"]) == [1, 1, 1, 1, 2]
    ours, theirs = (pd.read_parquet(study.folder / "scores.parquet") for study in (there, here))
    assert ours.equals(theirs)
    for table in ("contrasts.csv", "arms.csv"):
        assert (there.folder / "tables" / table).read_bytes() == (here.folder / "tables" / table).read_bytes()
    nodes.gain_one()
