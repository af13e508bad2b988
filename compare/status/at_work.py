"""Who is at a study now, and which of its runs go on: told by locks, by what their holders leave there, and by logs.

plan.csv cannot tell: a command that is killed leaves it as it was, and array jobs do not write to it. What may live is
never called stopped. A lock that is held proves that somebody is at it, on any machine. A free one proves that nobody
of this machine is: some file systems keep locks to the machine that took them.
"""

import json
import platform
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from math import floor
from pathlib import Path
from typing import Any, Literal, NamedTuple

import psutil

from compare.estimates.timings import modification_time
from compare.execution.ledger import outcome_file, outcome_of
from compare.status.run_folders import SLACK, agrees_with_row, folder_at_work, last_written, start_time, unfinished_runs
from dermssl import flags
from dermssl.runs.folder import LOCK
from dermssl.runs.lock import Process, is_locked, signature
from dermssl.runs.seal import RESULT

Row = dict[str, Any]
State = Literal["running", "stopped", "unclear"]
BEGAN = re.compile(r"^(\d{4}-\S+) .*, in process (\d+) on (.+)$", re.MULTILINE)  # compare.execution.worker.printing_to


class CommandState(NamedTuple):
    """What is known of a command that holds the study folder."""

    state: Literal["at it", "nobody", "unclear"]
    """Unclear is one of another machine, whose lock may not be seen from here."""
    process: Process | None = None
    """The one that is at it, or was when it was killed."""

    def began(self, row: Row) -> bool:
        """Whether the command that is at the study now has begun the row's run: not what a killed one left behind."""
        at_it = self.state == "at it" and row["state"] == "running"
        return at_it and (self.process is None or start_time(row) >= floor(self.process.since))


@dataclass(frozen=True)
class StudyPlace:
    """Where a study and its runs lie, and which of these are unfinished."""

    study: Path
    runs: Path
    ray: bool = False
    """Whether its runs may be on other machines than its command."""
    folders: dict[str, list[Path]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def unfinished(self, stage: str) -> list[Path]:
        """The unfinished folders of a stage when they were first asked for; those of searches lie in the study."""
        if stage not in self.folders:
            searches = (lock.parent for lock in (self.study / "search").glob(f"*/{LOCK}"))
            begun = (folder for folder in searches if not (folder / RESULT).exists())
            self.folders[stage] = list(begun if stage == "search" else unfinished_runs(self.runs / stage))
        return self.folders[stage]


def place_of(study: Path) -> StudyPlace:
    """As the study folder's own options say."""
    options = flags.read_options(study / "study.yaml") if (study / "study.yaml").is_file() else {}
    return StudyPlace(study, Path(str(options.get("runs") or "runs")), options.get("executor") == "ray")


class RunAtWork(NamedTuple):
    """A run that was begun and has not ended, as far as the study folder tells."""

    row: Row
    state: State
    folder: Path | None
    """Its run folder; None where it has none yet."""
    host: str
    began: float
    """Seconds since 1970."""
    silent: float
    """Seconds since it was last heard of."""


def command_at(study: Path, rows: Sequence[Row]) -> CommandState:
    """Whether a command is at the study.

    Args:
        study: Its folder.
        rows: Of plan.csv, which name a machine where a command of an earlier version has left no word.
    """
    locked, process = is_locked(study / LOCK), signature(study / LOCK)
    if locked:
        return CommandState("at it", process)
    hosts = {process.host} if process else {str(row.get("host") or "") for row in rows if row["state"] == "running"}
    if locked is None or hosts - {platform.node(), ""}:
        return CommandState("unclear", process)
    return CommandState("nobody", process)


def with_jobs(rows: Sequence[Row], study: Path) -> list[Row]:
    """The rows with what array jobs have left of planned ones since plan.csv was written."""
    since, updated = modification_time(study / "plan.csv"), [dict(row) for row in rows]
    for row in updated:
        outcome_path = outcome_file(study, row.get("id") or "-")
        if row["state"] == "planned" and outcome_path.is_file() and modification_time(outcome_path) >= since:
            row |= asdict(outcome_of(json.loads(outcome_path.read_text(encoding="utf-8"))))
    return updated


def runs_at_work(rows: Sequence[Row], place: StudyPlace, command: CommandState) -> list[RunAtWork]:
    """Every row that a command or an array job has begun and that has not ended."""
    jobs = (place.study / "slurm").is_dir()
    candidates = [row for row in rows if row["state"] == "running" or (jobs and row["state"] == "planned")]
    runs = (run_at_work(row, place, command) for row in candidates)
    return [run for run in runs if run is not None]


def run_at_work(row: Row, place: StudyPlace, command: CommandState) -> RunAtWork | None:
    """How a run stands that plan.csv has as running, or as planned and a job may be at; None of one not begun."""
    log = log_of(row, place.study)
    attempts = attempts_of(log)
    process = attempts[-1] if attempts and attempts[-1].since >= start_time(row) - SLACK else None
    own = own_folder(row, attempts, place)
    if row["state"] == "planned" and (process is None or not has_begun(process, own, place.study)):
        return None
    looked_for = row["state"] == "running" and row["stage"] != "search"  # a search has no config.yaml to tell it by
    folder = own or (folder_at_work(row, place.unfinished(row["stage"])) if looked_for else None)
    began = start_time(row) or (process.since if process else 0.0)
    heard = [began, last_written(folder) if folder else 0.0, modification_time(log) if process else 0.0]
    state: State = "running" if command.began(row) else state_of(row, process, own, place)
    if state == "stopped" and command.state == "unclear":  # which may start it once more
        state = "unclear"
    return RunAtWork(row, state, folder, host_of(row, process, place), began, max(0.0, time.time() - max(heard)))


def state_of(row: Row, process: Process | None, own: Path | None, place: StudyPlace) -> State:
    """How a run stands that no command here answers for."""
    locked = own is not None and is_locked(own / LOCK) is not False
    if host_of(row, process, place) != platform.node():
        return "running" if locked else "unclear"
    if process and is_alive(process):
        return "running"
    # Loaders of pictures keep the lock for seconds after their process was killed; of what earlier versions hold, no
    # word says who does.
    return (
        "unclear"
        if locked or any(might_be_its_own(folder, row) for folder in place.unfinished(row["stage"]))
        else "stopped"
    )


def host_of(row: Row, process: Process | None, place: StudyPlace) -> str:
    """Where the run is done; nothing where nobody knows, since plan.csv names the machine of the command."""
    return process.host if process else "" if place.ray else str(row.get("host") or "")


def attempts_of(log: Path) -> list[Process]:
    """The processes that have begun a run, by the headings in its log, the last one last."""
    log_text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return [
        Process(host, int(number), datetime.fromisoformat(when).timestamp())
        for when, number, host in BEGAN.findall(log_text)
    ]


def log_of(row: Row, study: Path) -> Path:
    """What a run of the study has printed."""
    return study / "logs" / f"{row.get('id') or '-'}.txt"


def own_folder(row: Row, attempts: Sequence[Process], place: StudyPlace) -> Path | None:
    """The unfinished folder that the last of these processes to hold one holds, or held when it was killed."""
    folders = place.unfinished(row["stage"]) if attempts else []
    signed = [(folder, word) for folder in folders if (word := signature(folder / LOCK))]
    for process in reversed(attempts):
        for folder, word in signed:
            if is_same(word, process) and (row["stage"] == "search" or agrees_with_row(folder, row)):
                return folder
    return None


def is_same(word: Process, process: Process) -> bool:
    """Whether a word in a lock is of the process since it began: it may have done other runs before."""
    return (word.host, word.id) == (process.host, process.id) and word.since >= floor(process.since)


def has_begun(process: Process, own: Path | None, study: Path) -> bool:
    """Whether a job has begun a planned run, and not a command before plan.csv was written last."""
    at_it = own is not None and is_locked(own / LOCK) is True
    return at_it or process.since >= modification_time(study / "plan.csv") - SLACK


def might_be_its_own(folder: Path, row: Row) -> bool:
    """Whether somebody without a word holds a folder with the row's options."""
    nameless = signature(folder / LOCK) is None and is_locked(folder / LOCK) is not False
    return nameless and (row["stage"] == "search" or agrees_with_row(folder, row))


def is_alive(process: Process) -> bool:
    """Whether a process of this machine is alive, and no later one with its number."""
    try:
        return bool(psutil.Process(process.id).create_time() <= process.since + SLACK)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
