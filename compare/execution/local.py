"""Runs side by side on this machine: each in a process that does many, so that libraries load once."""

import contextlib
import ctypes
import multiprocessing
import os
import platform
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Self

import psutil

from compare.execution.execute import Work
from compare.execution.worker import do_task, utc
from compare.study.plan import Outcome, Task
from dermssl.runs.control_group import usable_cores
from dermssl.signals import ASKING, hear_from_now_on, start_deaf

GIGABYTE = 1e9
FAREWELL = 10.0  # seconds in which an idle process has to end
SPAWN = multiprocessing.get_context("spawn")  # forks would share the parent's threads and its CUDA


class LocalExecutor:
    """A process for each slot. One that dies takes its own run along and no other, and is replaced."""

    def __init__(
        self,
        jobs: int = 0,
        *,
        gpus: Sequence[str] = (),
        per_gpu: int = 1,
        memory: float | None = None,
        expected: Mapping[str, float] | None = None,
        logs: Path | None = None,
        trust: bool = False,
        work: Work = do_task,
    ) -> None:
        """Starts nothing yet: a slot's process begins with its first run.

        Args:
            jobs: Runs side by side; 0 is one a core, or `per_gpu` on each GPU.
            gpus: Devices as CUDA_VISIBLE_DEVICES names them; runs are spread over them.
            per_gpu: Runs that share a GPU, at most.
            memory: GB that one run may hold; one that holds more is stopped. None is no limit.
            expected: GB that each task is likely to hold, by id; a run waits while less than that is free.
            logs: Folder that gets what each run prints, as ID.txt.
            trust: As in `compare.execution.worker.do_task`.
            work: What is done with a task.
        """
        self.slots = slots_of(jobs, gpus, per_gpu)
        self.memory, self.expected = memory, expected or {}
        threads = max(1, usable_cores() // self.slots)
        names = [gpus[index % len(gpus)] if gpus else None for index in range(self.slots)]
        self._slots = [_Slot(worker_environment(threads, name), (work, logs, trust)) for name in names]

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends every process; a run that is cut off goes on from its last checkpoint when it is started again."""
        for slot in self._slots:
            slot.let_go()

    def has_room(self, task: Task) -> bool:
        """Whether a slot is free, and so is the memory that the task is likely to hold."""
        busy = [slot for slot in self._slots if slot.task is not None]
        if not busy or len(busy) == self.slots:  # to ask what runs hold takes the system up to a tenth of a second
            return not busy
        yet_to_come = sum(max(0.0, self.expected.get(slot.task.id, 0.0) - slot.held()) for slot in busy if slot.task)
        return self.expected.get(task.id, 0.0) <= free_memory() - yet_to_come

    def start(self, task: Task) -> None:
        """Gives the task to a free slot."""
        next(slot for slot in self._slots if slot.task is None).start(task)

    def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
        """Waits for a run to end, and stops those that hold more than they may."""
        busy = {slot.pipe: slot for slot in self._slots if slot.task is not None}
        ready = wait(list(busy), timeout)
        ends = [slot.end() for pipe, slot in busy.items() if pipe in ready]
        return ends + [slot.stop(error) for slot in busy.values() if slot.task and (error := self.excess(slot))]

    def excess(self, slot: "_Slot") -> str:
        """What is wrong with the memory that a slot's run holds; nothing where all is well."""
        if self.memory is None or (held := slot.held()) <= self.memory:
            return ""
        return (
            f"it held {held:.1f} GB of memory and --memory allows {self.memory:g}; allow more, or give it a smaller "
            "batch_size or image_size"
        )


class _Slot:
    """A place for one run at a time: its process, if it has one yet, and the pipe to it."""

    def __init__(self, environment: Mapping[str, str], work: tuple[Work, Path | None, bool]) -> None:
        self.task: Task | None = None
        self.pipe: Connection
        self._process: multiprocessing.process.BaseProcess | None = None
        self._environment, self._work = environment, work
        self._since = 0.0

    def start(self, task: Task) -> None:
        if self._process is None or not self._process.is_alive():
            self._begin()
        self.task, self._since = task, time.time()
        with contextlib.suppress(OSError):  # the process has died since: the pipe tells of it in `end`
            self.pipe.send(task)

    def end(self) -> tuple[Task, Outcome]:
        """The outcome that came through the pipe; a process that died sends none, and its end of the pipe is closed."""
        assert self.task is not None
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            return self._lost()
        task, self.task = self.task, None
        return task, outcome

    def stop(self, error: str) -> tuple[Task, Outcome]:
        """Kills the run, which has failed for the reason given."""
        assert self.task is not None
        self.kill()
        task, self.task = self.task, None
        return task, self._failed(error, lost=False)

    def held(self) -> float:
        """GB that the process and those that it started hold now."""
        return sum(map(memory_of, process_tree(self._process))) if self._process is not None else 0.0

    def let_go(self) -> None:
        """Lets an idle process end by itself, which then leaves nothing behind; one that is at a run is killed."""
        if self._process is not None and self.task is None:
            self.pipe.close()
            self._process.join(FAREWELL)
        self.kill()

    def kill(self) -> None:
        """Ends the process and those that it started; data loaders left alone would hold the run folder for seconds."""
        if self._process is None:
            return
        for process in process_tree(self._process):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.join()
        self.pipe.close()
        self._process = None

    def _begin(self) -> None:
        self.kill()  # what is left of one that died
        self.pipe, theirs = SPAWN.Pipe()
        process = SPAWN.Process(target=_serve, args=(theirs, os.getpid(), *self._work))
        with environment_variables(self._environment):  # read while torch and OpenMP load, so it is set before
            start_deaf(process)
        theirs.close()  # so that this end closes when the process dies
        self._process = process

    def _lost(self) -> tuple[Task, Outcome]:
        assert self._process is not None
        assert self.task is not None
        self._process.join()
        code = self._process.exitcode or 0
        why = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
        memory = ", most likely for want of memory: fewer --jobs may help" if code == -signal.SIGKILL else ""
        self.kill()
        task, self.task = self.task, None
        return task, self._failed(f"its process {why}{memory}", lost=True)

    def _failed(self, error: str, *, lost: bool) -> Outcome:
        seconds = time.time() - self._since
        return Outcome(
            state="failed", error=error, lost=lost, seconds=seconds, host=platform.node(), started=utc(self._since)
        )


def _serve(pipe: Connection, parent: int, work: Work, logs: Path | None, trust: bool) -> None:
    """In a slot's process: does what comes through the pipe until nobody holds its other end."""
    follow_parent(parent)
    with contextlib.suppress(EOFError):
        while True:
            task: Task = pipe.recv()
            pipe.send(work(task, logs and logs / f"{task.id}.txt", trust=trust))


def follow_parent(parent: int) -> None:
    """In a worker: leaves Ctrl-C and its like to the parent, and dies with it even when that is killed (Linux)."""
    for number in ASKING:  # they reach a whole group; a worker that went first would count as a run that failed
        signal.signal(number, signal.SIG_IGN)
    hear_from_now_on()
    with contextlib.suppress(AttributeError, OSError):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died while this one was loading its libraries
        os._exit(1)


def slots_of(jobs: int, gpus: Sequence[str] = (), per_gpu: int = 1) -> int:
    """Runs side by side: as many as asked for and the GPUs take; without a GPU and a number, one a core."""
    if gpus:
        return min(jobs or len(gpus) * per_gpu, len(gpus) * per_gpu)
    return jobs or usable_cores()


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        import torch

        return [str(index) for index in range(torch.cuda.device_count())]
    return [name.strip() for name in named.split(",") if name.strip() not in ("", "-1")]


def worker_environment(threads: int, gpu: str | None) -> dict[str, str]:
    """The environment of a worker: its threads, which wait without spinning, and its GPU."""
    own = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
    return own if gpu is None else {**own, "CUDA_VISIBLE_DEVICES": gpu}


@contextlib.contextmanager
def environment_variables(words: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables while the body runs: a process that it starts keeps them."""
    before = {name: os.environ.get(name) for name in words}
    os.environ.update(words)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def process_tree(process: multiprocessing.process.BaseProcess) -> list[psutil.Process]:
    """A process that runs and those that it started."""
    try:
        parent = psutil.Process(process.pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory_of(process: psutil.Process) -> float:
    """GB that a process holds: shared ones in parts, and without files, whose pages the system takes back at will."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        kilobytes = [line.split()[1] for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))]
        return sum(map(float, kilobytes)) * 1024 / GIGABYTE
    except (OSError, ValueError):
        with contextlib.suppress(psutil.NoSuchProcess):
            return float(process.memory_info().rss) / GIGABYTE
        return 0.0


def free_memory() -> float:
    """GB of this machine that can be had without swapping; less, where the process's group is given less (cgroup 2)."""
    free = float(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        words = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        free = min(free, most - used + int(words["inactive_file"]))
    return free / GIGABYTE
