"""Runs on a Ray cluster that pretends: which machines are taken, and what becomes of a run."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray.exceptions
from counted import assert_each_done_once, count, counting

from compare.execution import ray_cluster
from compare.execution.ray_cluster import RayExecutor, do_remote_task, read_word, remote_environment
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
        self.machines, self.blind, self.broken = list(machines), blind, broken or {}
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


def test_a_machine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretended(monkeypatch, {"CPU": 2}, {"CPU": 2}, broken={"host1": ray.exceptions.GetTimeoutError("timed out")})
    with pytest.raises(UserError, match=r"host1 \(10\.0\.0\.1\) has not answered in 120 s; see what `ray status` says"):
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


def test_a_machine_that_joins_gets_runs_only_where_it_sees_the_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster = pretended(monkeypatch, {"CPU": 1}, blind=["host1"])
    task = counting(tmp_path / "runs", 0)
    with RayExecutor("auto", tmp_path, work=count) as executor:
        cluster.machines.append({"CPU": 9})
        assert executor.has_room(task)
        assert executor.slots == 1
        assert f"host1 (10.0.0.1) does not see {tmp_path}; run from a folder" in capsys.readouterr().out
        cluster.machines.append({"CPU": 2})
        assert executor.has_room(task)
        assert executor.slots == 3
        assert capsys.readouterr().out == ""  # said once
        asked = len(cluster.options)
        executor.start(task)
    assert asked == 3  # each machine once
    assert cluster.options[-1]["label_selector"] == {"ray.io/node-id": f"!in({1:056x})"}


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
    assert first["label_selector"] == {}
    assert second["memory"] == 9e9  # more than any machine has, and it would wait for ever
    assert first["runtime_env"]["env_vars"]["OMP_NUM_THREADS"] == "3"
    assert len(cluster.cancelled) == 2


def test_a_run_elsewhere_finds_the_code_and_the_cache_of_this_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/more")
    monkeypatch.setenv("DERMSSL_CACHE", "/cache")
    monkeypatch.delenv("HF_HOME", raising=False)
    there = remote_environment(2)
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
    outcome = do_remote_task(counting(tmp_path, 0), count, tmp_path, tmp_path / "study", False)
    assert (outcome.state, outcome.lost) == ("failed", True)
    assert outcome.error.endswith(f"does not see {tmp_path / 'study'}")


def test_a_run_elsewhere_is_done_as_if_it_had_been_started_here(
    workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the worker's process began
    (workplace / "study").mkdir()
    task = counting(Path("runs"), 0)
    assert do_remote_task(task, count, workplace, workplace / "study", False).state == "done"
    assert_each_done_once(workplace / "runs", [task])
    assert (workplace / "study" / "logs" / f"{task.id}.txt").is_file()
