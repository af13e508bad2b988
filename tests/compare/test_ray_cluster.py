"""Runs on a cluster: what is refused, with a Ray that pretends; and a true cluster that loses a node."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import psutil
import pytest
import ray.exceptions
from counted import assert_each_done_once, count, counting, steps_of
from ray_nodes import Nodes, count_slowly, two_nodes
from small_study import Here, draw_photographs, plan_of, small_study

import compare.page.report
import compare.run
from compare.execution import ray_cluster
from compare.execution.ledger import Ledger
from compare.execution.ray_cluster import RayExecutor, connected, read_word, surroundings, there
from compare.execution.schedule import schedule
from compare.run import run
from dermssl.errors import UserError

Resources = dict[str, float]


class Reference:
    """What a task gave."""

    def __init__(self, value: object) -> None:
        self.value = value


class Pretended:
    """As much of Ray as the executor uses: does a task at once where it is told to, or raises what the node raises."""

    exceptions = ray.exceptions

    def __init__(self, *machines: Resources, blind: Sequence[str] = (), broken: dict[str, Exception] | None = None):
        self.machines, self.blind, self.broken = machines, blind, broken or {}
        self.options: list[dict[str, Any]] = []
        self.cancelled: list[object] = []
        self.connected = True

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": f"{index:056x}", "Alive": resources.get("CPU") != -1, "Resources": resources,
                "NodeManagerHostname": f"host{index}", "NodeManagerAddress": f"10.0.0.{index}",
            }
            for index, resources in enumerate(self.machines)
        ]  # fmt: skip

    def remote(self, function: Callable[..., object]) -> SimpleNamespace:
        def options(**given: Any) -> SimpleNamespace:
            self.options.append(given)
            return SimpleNamespace(remote=lambda *arguments: self._done(function, arguments, given))

        return SimpleNamespace(options=options)

    def _done(self, function: Callable[..., object], arguments: Sequence[object], given: dict[str, Any]) -> Reference:
        strategy = given.get("scheduling_strategy")
        host = f"host{int(strategy.node_id, 16)}" if strategy else "host0"
        if host in self.broken:
            return Reference(self.broken[host])
        return Reference("" if host in self.blind else function(*arguments))

    def get(self, reference: Reference, timeout: float | None = None) -> object:
        if isinstance(reference.value, Exception):
            raise reference.value
        return reference.value

    def cancel(self, reference: object, *, force: bool) -> None:
        assert force
        self.cancelled.append(reference)

    def shutdown(self) -> None:
        self.connected = False


def pretended(monkeypatch: pytest.MonkeyPatch, *machines: Resources, **more: Any) -> Pretended:
    cluster = Pretended(*machines, **more)
    monkeypatch.setattr(ray_cluster, "connected", lambda _: cluster)
    return cluster


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'--executor ray: Ray is not installed; pip install "dermssl\[ray\]"'):
        connected("auto")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:{closed}", "no-host.invalid:6379", "rubbish", "host:99999999", "ray://x"]
)
def test_an_address_where_nobody_listens_is_named_with_the_remedy(address: str) -> None:
    address = address.format(closed=closed_port())
    with pytest.raises(UserError) as told:
        connected(address)
    assert str(told.value).startswith(f"--address {address}: no Ray cluster answers there (")
    assert "start one with `ray start --head" in str(told.value)


def test_a_listener_that_is_no_ray_cluster_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"{address}: no Ray cluster answers there \(nothing in 1 s\)"):
            connected(address)


def test_what_ray_says_of_an_address_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ASK", "raise SystemExit('first\\nnone for you, sir\\n\\n')")
    with pytest.raises(UserError, match=r"--address auto: no Ray cluster answers there \(none for you, sir\)"):
        connected("auto")


def test_a_machine_that_does_not_see_the_study_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cluster = pretended(monkeypatch, {"CPU": 2}, {"CPU": 2}, {"CPU": -1}, blind=["host1"])
    with pytest.raises(UserError, match=rf"host1 \(10\.0\.0\.1\) does not see {tmp_path}; run from a folder that all"):
        RayExecutor("auto", tmp_path).__enter__()
    assert not cluster.connected
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_dermssl_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = ray.exceptions.RaySystemError("No module named 'compare'\nTraceback (most recent call last):\n  there\n")
    pretended(monkeypatch, {"CPU": 2}, {"CPU": 2}, broken={"host1": error})
    with pytest.raises(UserError, match=r"host1 \(10\.0\.0\.1\) cannot do runs: .*compare.*; install dermssl there"):
        RayExecutor("auto", tmp_path).__enter__()


def test_machines_that_see_the_study_are_taken_and_nothing_is_left_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = pretended(monkeypatch, {"CPU": 2}, {"CPU": 1})
    with RayExecutor("auto", tmp_path) as executor:
        assert executor.slots == 3
        assert list(tmp_path.iterdir()) == []
    assert [given["scheduling_strategy"].node_id for given in cluster.options] == [f"{i:056x}" for i in range(2)]
    assert not cluster.connected


@pytest.mark.parametrize(
    ("machines", "more", "slots"),
    [
        ([{"CPU": 4.0}, {"CPU": 3.0}], {}, 7),
        ([{"CPU": 4.0}, {"CPU": 3.0}], {"threads": 2}, 3),  # a run lies on one machine
        ([{"CPU": 4.0}, {"CPU": -1.0}], {}, 4),  # one that is gone
        ([{"CPU": 4.0}, {"CPU": 3.0}], {"jobs": 5}, 5),
        ([{"CPU": 4.0}], {"jobs": 5}, 4),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 8.0}], {}, 2),  # where there are GPUs, runs use them
        ([{"CPU": 8.0, "GPU": 2.0}], {"per_gpu": 3}, 6),
        ([{"CPU": 8.0, "GPU": 2.0}], {"per_gpu": 3, "threads": 2}, 4),
    ],
)
def test_slots_are_what_the_machines_take(
    machines: list[Resources], more: dict[str, int], slots: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pretended(monkeypatch, *machines)
    with RayExecutor("auto", tmp_path, **more) as executor:  # type: ignore[arg-type]
        assert executor.slots == slots


@pytest.mark.parametrize(("machine", "what"), [({"CPU": 1.0}, "2 CPUs for"), ({"GPU": 1.0}, "2 CPUs and a share of")])
def test_a_cluster_that_takes_no_run_at_all_is_refused(
    machine: Resources, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = pretended(monkeypatch, machine)
    with pytest.raises(UserError, match=f"no machine of this Ray cluster has {what}"):
        RayExecutor("auto", tmp_path, threads=2).__enter__()
    assert not cluster.connected


def test_a_run_gets_its_share_of_a_machine_and_ray_never_starts_it_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = pretended(monkeypatch, {"CPU": 8.0, "GPU": 1.0, "memory": 10e9})
    small, large = counting(tmp_path / "runs", 0), counting(tmp_path / "runs", 1)
    expected = {small.id: 2.5, large.id: 64.0}
    with RayExecutor("auto", tmp_path, threads=3, per_gpu=2, expected=expected, work=count) as executor:
        cluster.options.clear()
        executor.start(small)
        executor.start(large)
        first, second = cluster.options
        assert not executor.has_room(small)
    assert (first["num_cpus"], first["num_gpus"], first["memory"], first["max_retries"]) == (3, 0.5, 2.5e9, 0)
    assert second["memory"] == 9e9  # more than any machine has, and it would wait for ever
    assert first["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "3"
    assert len(cluster.cancelled) == 2


def test_a_run_elsewhere_finds_the_code_and_the_cache_of_this_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/more")
    monkeypatch.setenv("DERMSSL_CACHE", "/cache")
    monkeypatch.delenv("HF_HOME", raising=False)
    there = surroundings(2)
    code, more = there["PYTHONPATH"].split(os.pathsep)
    assert (Path(code) / "compare" / "run.py").is_file()
    assert (more, there["DERMSSL_CACHE"], there["OMP_WAIT_POLICY"]) == ("/more", "/cache", "passive")
    assert "HF_HOME" not in there


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (ray.exceptions.WorkerCrashedError(), "The worker died unexpectedly while executing this task."),
        (ray.exceptions.OutOfMemoryError("memory ran out\nand more"), "memory ran out"),
        (ray.exceptions.NodeDiedError("Node IP: 10.0.0.1, " + 40 * "word "), "Node IP: 10.0.0.1, word"),
        (ray.exceptions.RayTaskError("there", "Traceback\n  there\nKeyError: 'x'\n", KeyError("x")), "KeyError: 'x'"),
    ],
)
def test_a_run_whose_machine_or_process_is_gone_is_lost(error: Exception, says: str, tmp_path: Path) -> None:
    executor = RayExecutor("auto", tmp_path)
    executor._ray = Pretended({"CPU": 1.0})
    outcome = executor._outcome(Reference(error))
    assert (outcome.state, outcome.lost, outcome.final) == ("failed", True, False)
    assert says in outcome.error
    assert outcome.error.startswith("lost in the Ray cluster: ")
    assert outcome.error.endswith(f"({type(error).__name__})")
    assert len(outcome.error) < 180
    assert "\n" not in outcome.error


def test_a_word_is_read_where_the_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("word")
    assert (read_word(tmp_path / "token"), read_word(tmp_path / "absent")) == ("word", "")


def test_a_run_on_a_machine_that_joined_later_without_the_study_is_tried_elsewhere(tmp_path: Path) -> None:
    outcome = there(counting(tmp_path, 0), count, tmp_path, tmp_path / "study", False)
    assert (outcome.state, outcome.lost) == ("failed", True)
    assert outcome.error.endswith(f"does not see {tmp_path / 'study'}")


def test_a_run_elsewhere_is_done_as_if_it_had_been_started_here(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the worker's process began
    (workplace / "study").mkdir()
    task = counting(Path("runs"), 0)
    assert there(task, count, workplace, workplace / "study", False).state == "done"
    assert_each_done_once(workplace / "runs", [task])
    assert (workplace / "study" / "logs" / f"{task.id}.txt").is_file()


# The true thing: a cluster of two nodes, one processor each.


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as both:
        yield both


@pytest.fixture
def _workers_find_this_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


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
def test_the_address_of_a_cluster_that_is_gone_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{closed_port()}")  # what `auto` means, before the file of `ray start`
    with pytest.raises(UserError, match="--address auto: no Ray cluster answers there"):
        connected("auto")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_that_loses_a_node_says_what_a_study_of_one_machine_says(
    nodes: Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(compare.page.report, "DRAWS", 200)
    photographs = draw_photographs(tmp_path / "photographs")
    here = small_study(tmp_path / "here", photographs, threads=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare.run, "executor_of", lambda _: Here())
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
