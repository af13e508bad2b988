"""Slots with real processes, and runs that only count."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from mmap import mmap
from pathlib import Path

import psutil
import pytest
from counted import assert_each_done_once, count, counting

from compare.execution import local
from compare.execution.ledger import Ledger
from compare.execution.local import (
    LocalExecutor,
    follow_parent,
    free_memory,
    slots_of,
    visible_gpus,
    worker_environment,
)
from compare.execution.schedule import schedule
from compare.study.plan import Outcome, Task


def ends_of(executor: LocalExecutor, seconds: float = 60) -> list[tuple[Task, Outcome]]:
    """The next runs that end."""
    until = time.monotonic() + seconds
    while not (ends := executor.ended(0.2)):
        assert time.monotonic() < until
    return ends


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def workers() -> list[psutil.Process]:
    """Processes of slots, below this one."""
    return [one for one in psutil.Process().children() if "spawn_main" in words_of(one)]


def words_of(process: psutil.Process) -> str:
    """Its command line; nothing of one that has ended meanwhile."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.mark.slow
def test_a_study_whose_workers_fail_and_die_is_done_but_for_what_cannot_be(tmp_path: Path) -> None:
    tasks = [counting(tmp_path / "runs", seed) for seed in range(4)]
    mended = [counting(tmp_path / "runs", seed, how) for seed, how in ((4, "dies once"), (5, "fails once"))]
    spoilt = [counting(tmp_path / "runs", seed, how) for seed, how in ((6, "dies"), (7, "fails"), (8, "refuses"))]
    (tmp_path / "study").mkdir()
    ledger = Ledger(tmp_path / "study", [*spoilt, *tasks, *mended])
    with LocalExecutor(2, work=count, logs=tmp_path / "logs") as executor:
        schedule(ledger, executor)
    assert [(ledger.outcomes[t.id].state, ledger.outcomes[t.id].attempts) for t in spoilt] == [
        ("failed", 3), ("failed", 2), ("failed", 1),
    ]  # fmt: skip
    assert [ledger.outcomes[task.id].state for task in tasks + mended] == ["done"] * 6
    assert [ledger.outcomes[task.id].attempts for task in mended] == [2, 2]
    died = ledger.outcomes[spoilt[0].id]
    assert died.error.startswith("its process was killed (SIGKILL), most likely for want of memory")
    assert died.lost
    for task in spoilt:
        (tmp_path / "runs" / f"run-{task.id}" / "begun").unlink()
        (tmp_path / "runs" / f"run-{task.id}" / ".lock").unlink()
        (tmp_path / "runs" / f"run-{task.id}").rmdir()
    assert_each_done_once(tmp_path / "runs", tasks + mended)
    assert (tmp_path / "logs" / f"{tasks[0].id}.txt").read_text().endswith("\n")
    assert workers() == []


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_its_own_run_along_and_no_other(tmp_path: Path) -> None:
    slow, other = counting(tmp_path, 0, "sleeps"), counting(tmp_path, 1, "sleeps")
    with LocalExecutor(2, work=count) as executor:
        executor.start(slow)
        executor.start(other)
        until(lambda: len(list(tmp_path.glob("run-*/begun"))) == 2)
        assert not executor.has_room(counting(tmp_path, 2))
        first, second = executor._slots
        assert first._process is not None
        os.kill(first._process.pid or 0, signal.SIGKILL)
        [(task, outcome)] = ends_of(executor)
        assert (task.id, outcome.lost) == (slow.id, True)
        assert second._process is not None
        assert second._process.is_alive()
        executor.start(counting(tmp_path, 2))  # in the slot that became free
        [(task, outcome)] = ends_of(executor)
        assert (task.factors["seed"], outcome.state) == (2, "done")
    assert workers() == []


def test_a_worker_does_many_runs(tmp_path: Path) -> None:
    with LocalExecutor(1, work=count) as executor:
        pids = set()
        for seed in range(3):
            executor.start(counting(tmp_path, seed))
            pids.update(one.pid for one in workers())
            assert ends_of(executor)[0][1].state == "done"
    assert len(pids) == 1


@pytest.mark.slow
def test_a_worker_that_died_between_two_runs_is_replaced(tmp_path: Path) -> None:
    with LocalExecutor(1, work=count) as executor:
        executor.start(counting(tmp_path, 0))
        ends_of(executor)
        [worker] = workers()
        worker.kill()
        until(lambda: not multiprocessing.active_children())
        executor.start(counting(tmp_path, 1))
        assert ends_of(executor)[0][1].state == "done"


@pytest.mark.slow
def test_a_run_that_holds_more_memory_than_it_may_is_stopped_with_what_it_held(tmp_path: Path) -> None:
    with LocalExecutor(1, memory=0.7, work=count) as executor:
        executor.start(counting(tmp_path, 0, "hogs"))
        [(_, outcome)] = ends_of(executor)
        executor.start(counting(tmp_path, 1))
        assert ends_of(executor)[0][1].state == "done"
    assert outcome.state == "failed"
    assert not outcome.lost
    assert outcome.error.startswith("it held 0.") or outcome.error.startswith("it held 1.")
    assert "GB of memory and --memory allows 0.7; allow more" in outcome.error


def test_a_run_waits_while_the_memory_that_it_needs_is_promised_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, small, large = (counting(tmp_path, seed, "sleeps") for seed in range(3))
    monkeypatch.setattr(local, "free_memory", lambda: 10.0)
    expected = {first.id: 6.0, small.id: 3.0, large.id: 5.0}
    with LocalExecutor(3, expected=expected, work=count) as executor:
        assert executor.has_room(replace_expected(executor, large, 50.0))  # alone it may try
        executor.expected = expected
        executor.start(first)
        assert executor.has_room(small)
        assert not executor.has_room(large)


def replace_expected(executor: LocalExecutor, task: Task, gigabytes: float) -> Task:
    executor.expected = {task.id: gigabytes}
    return task


def test_runs_are_spread_over_the_gpus_that_each_of_them_alone_sees() -> None:
    executor = LocalExecutor(gpus=["2", "GPU-5f"], per_gpu=2)
    assert executor.slots == 4
    seen = [slot._environment["CUDA_VISIBLE_DEVICES"] for slot in executor._slots]
    assert seen == ["2", "GPU-5f", "2", "GPU-5f"]


@pytest.mark.parametrize(
    ("jobs", "gpus", "per_gpu", "slots"),
    [(0, [], 1, 6), (3, [], 1, 3), (8, [], 1, 8), (0, ["0", "1"], 1, 2), (0, ["0", "1"], 3, 6), (3, ["0"], 2, 2)],
)
def test_slots_are_what_was_asked_for_and_the_gpus_take(
    jobs: int, gpus: list[str], per_gpu: int, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    assert slots_of(jobs, gpus, per_gpu) == slots


def test_a_worker_gets_its_threads_and_its_gpu_before_it_loads_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    with LocalExecutor(2, gpus=["3", "4"], work=count) as executor:
        executor.start(counting(tmp_path, 0, "sleeps"))
        until(lambda: (tmp_path / f"run-{counting(tmp_path, 0, 'sleeps').id}").exists())  # by now it is a worker's
        [worker] = workers()
        there = worker.environ()
    assert (there["OMP_NUM_THREADS"], there["OMP_WAIT_POLICY"], there["CUDA_VISIBLE_DEVICES"]) == ("3", "passive", "3")
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(("named", "gpus"), [("", []), ("-1", []), ("1,3", ["1", "3"]), ("GPU-5f", ["GPU-5f"])])
def test_the_gpus_are_those_that_this_process_may_use(
    named: str, gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    assert visible_gpus() == gpus


def test_a_worker_without_a_gpu_keeps_what_it_sees() -> None:
    assert "CUDA_VISIBLE_DEVICES" not in worker_environment(1, None)


def test_free_memory_is_some_of_the_machine() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total / 1e9


def test_a_process_holds_what_it_touched(tmp_path: Path) -> None:
    before = local.memory_of(psutil.Process())
    with mmap(-1, 300_000_000) as hoard:  # of the system: what other tests gave back to this process is held already
        hoard[::4096] = b"x" * len(hoard[::4096])
        assert local.memory_of(psutil.Process()) - before == pytest.approx(0.3, rel=0.1)


def test_workers_end_with_an_interrupted_study(tmp_path: Path) -> None:
    def interrupted() -> None:
        with LocalExecutor(2, work=count) as executor:
            for seed in range(2):
                executor.start(counting(tmp_path, seed, "sleeps"))
            until(lambda: len(workers()) == 2)  # a process that has just begun does not bear its name yet
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert workers() == []
    assert not list(tmp_path.rglob("steps"))  # nobody waited for the minute to end, after which a run counts


def orphaned(parent: int) -> None:
    """In a process of its own: as if the parent had died while libraries were loading."""
    follow_parent(parent)
    time.sleep(60)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(("wrong", "ends"), [(0, False), (1, True)])
def test_a_worker_whose_parent_is_gone_ends(wrong: int, ends: bool) -> None:
    process = multiprocessing.get_context("fork").Process(target=orphaned, args=(os.getpid() + wrong,))
    process.start()
    process.join(10 if ends else 0.5)
    assert (process.exitcode == 1) is ends
    process.kill()
    process.join()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_worker_leaves_ctrl_c_to_its_parent() -> None:
    process = multiprocessing.get_context("fork").Process(target=orphaned, args=(os.getpid(),))
    process.start()
    status = Path(f"/proc/{process.pid}/status")
    until(lambda: int(status.read_text().partition("SigIgn:\t")[2].split()[0], 16) >> (signal.SIGINT - 1) & 1, 10)
    os.kill(process.pid or 0, signal.SIGINT)
    process.join(0.3)
    assert process.is_alive()
    process.kill()
    process.join()


def test_nobody_asks_what_runs_hold_while_no_place_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes up to a tenth of a second to tell, and the run that is asked about waits meanwhile."""

    def told(_: object) -> float:
        raise AssertionError("asked")

    monkeypatch.setattr(local, "memory_of", told)
    executor = LocalExecutor(2)
    for number, slot in enumerate(executor._slots):
        slot.task = counting(tmp_path, number)
    assert not executor.has_room(counting(tmp_path, 2))
