"""Doing the runs of a stage side by side, each in a process that does many, so that libraries load once."""

import contextlib
import ctypes
import io
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from compare.plan import Outcome, Task
from dermssl.errors import UserError
from finetune.config import FinetuneConfig
from probe.config import ProbeConfig


def execute(pool: ProcessPoolExecutor, tasks: Sequence[Task], tell: Callable[[Task, Outcome], None]) -> None:
    """Does the tasks, as many at a time as `pool` has processes; one that fails is recorded and the others go on.

    Args:
        pool: Of `pool_of`.
        tasks: Runs that need nothing of each other.
        tell: Called in this process as each ends.

    Raises:
        UserError: If a worker was killed, as the system does when memory ends; what was finished is kept.
    """
    futures: dict[Future[Outcome], Task] = {pool.submit(do, task): task for task in tasks}
    try:
        for future in as_completed(futures):
            tell(futures[future], future.result())
    except BrokenProcessPool:
        raise UserError(
            "a worker was killed, most likely for want of memory; run the same command again to go on from here, "
            "with fewer --jobs if it happens twice"
        ) from None


@contextlib.contextmanager
def pool_of(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes that end with this one, however it ends."""
    pool = ProcessPoolExecutor(
        max(1, jobs), mp_context=multiprocessing.get_context("spawn"), initializer=obey, initargs=(os.getpid(),)
    )
    try:
        yield pool
    except BaseException:
        for process in list(pool._processes.values()):
            process.kill()  # a run that is cut off continues from its last checkpoint
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def obey(parent: int) -> None:
    """In a worker: leaves Ctrl-C to the parent process, and dies with it even when it is killed (Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:  # it died while this one was loading its libraries
        os._exit(1)


def do(task: Task) -> Outcome:
    """Does one run in this process; what it prints stands in its folder's log.txt."""
    began, said = time.perf_counter(), io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            folder = run_folder(task)
    except UserError as error:
        return Outcome(state="failed", error=str(error), seconds=time.perf_counter() - began)
    except Exception as error:  # recorded with its last lines, and the study goes on
        place = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        return Outcome(state="failed", error=text, seconds=time.perf_counter() - began)
    return Outcome(state="done", folder=str(folder), seconds=time.perf_counter() - began)


def run_folder(task: Task) -> Path:
    """Runs the task, or goes on with it, or finds it done."""
    # The three commands are imported where they are needed: a worker that trains draws no map.
    match task.config:
        case FinetuneConfig():
            from finetune.run import run as finetune

            return finetune(task.config, standing_is_fine=True)
        case ProbeConfig():
            from probe.run import run as probe

            return probe(task.config, standing_is_fine=True)
        case _:
            from pretrain.run import run as pretrain

            return pretrain(task.config, standing_is_fine=True).parent
