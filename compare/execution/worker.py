"""One run of a study, done in the process that asks for it."""

import contextlib
import os
import platform
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from compare.study.plan import Outcome, Task
from compare.study.search_config import SearchConfig
from dermssl.errors import UserError
from dermssl.log import print_log
from dermssl.runs.folder import read_result
from dermssl.runs.seal import broken
from dermssl.system_errors import in_one_sentence
from finetune.options.config import FinetuneConfig
from probe.config import ProbeConfig

CHANGED = (
    "was changed since it was finished ({}); delete the folder to have the run done again, or add --trust to take it "
    "as it is"
)


def do_task(task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
    """Does one run in this process, goes on with it, or finds it done: which of them, its folder tells.

    Args:
        task: With all that it needs filled in (`compare.study.plan.completed_task`).
        log: File that gets what is printed and the traceback of a failure; nothing keeps them without one.
        trust: Whether a finished run whose files were changed by hand is taken as it stands.

    Returns:
        A done or failed outcome; `seconds` are those of this call, or of all attempts where the run's result has more.
    """
    print_log()
    began, clock = time.time(), time.perf_counter()
    failed = Outcome(state="failed", host=platform.node(), started=utc(began))
    with printing_to(log, task.name) as stream:
        try:
            folder = run_folder(task)
            if not trust and (files := broken(folder)):
                raise UserError(f"{folder}: {CHANGED.format(', '.join(files))}")
        except UserError as error:
            stream.write(f"{error}\n")
            return replace(failed, error=str(error), final=True, seconds=time.perf_counter() - clock)
        except Exception as error:  # recorded, and the study goes on
            traceback.print_exc(file=stream)
            return replace(failed, error=error_in_a_line(error), seconds=time.perf_counter() - clock)
    seconds, memory = seconds_and_memory(folder, time.perf_counter() - clock)
    return replace(failed, state="done", folder=str(folder), seconds=seconds, memory_mb=memory)


def run_folder(task: Task) -> Path:
    """Runs the task, or goes on with it, or finds it done."""
    # The commands are imported where they are needed: a worker that trains draws no map.
    match task.config:
        case FinetuneConfig():
            from finetune.run import run as finetune

            return finetune(task.config, standing_is_fine=True)
        case ProbeConfig():
            from probe.run import run as probe

            return probe(task.config, standing_is_fine=True)
        case SearchConfig():
            from compare.execution.search import search_learning_rate

            return search_learning_rate(task.config)
        case _:
            from pretrain.run import run as pretrain

            return pretrain(task.config, standing_is_fine=True).parent


@contextlib.contextmanager
def printing_to(log: Path | None, title: str) -> Iterator[IO[str]]:
    """Sends what Python prints while the body runs to the end of `log`; the file that it yields takes more."""
    path = log or Path(os.devnull)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", buffering=1, errors="backslashreplace") as stream:
        stream.write(f"{utc(time.time())} {title}, in process {os.getpid()} on {platform.node()}\n")
        with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            yield stream


def error_in_a_line(error: Exception) -> str:
    """An exception in a line: of the system's a sentence, of others with the file and line that raised it."""
    if sentence := in_one_sentence(error, "batch_size or image_size of the runs, or --jobs"):
        return sentence
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"


def seconds_and_memory(folder: Path, seconds: float) -> tuple[float, float | None]:
    """Seconds and megabytes of a finished run; its result counts the seconds of earlier attempts as well."""
    result = read_result(folder) or {}
    return max(seconds, number_or_none(result.get("seconds")) or 0.0), number_or_none(result.get("memory_mb"))


def number_or_none(value: object) -> float | None:
    """The value if it is a number."""
    return float(value) if isinstance(value, int | float) else None


def utc(seconds: float) -> str:
    """A time of this machine's clock as ISO 8601, `2026-11-23T20:05:00+00:00`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
