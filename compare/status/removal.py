"""Removing what failed: `python -m compare clean`. What another study stands on, or a process is at, is left alone."""

import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from compare.estimates.timings import size_mb
from compare.execution.ledger import locked_study
from compare.execution.worker import utc
from compare.status.run_folders import failed_run_folders
from compare.status.status import Row, rows_of
from compare.study.config import StudyConfig
from compare.study.plan import Task, tasks_of
from compare.text import megabytes, text_table
from dermssl.errors import UserError
from dermssl.runs.folder import LOCK, locked_run, remove_held
from dermssl.runs.lock import is_locked
from dermssl.runs.seal import broken
from dermssl.wording import counted


class RemovableRun(NamedTuple):
    """A run folder that may go."""

    folder: Path
    megabytes: float
    why: str


def remove_failed_runs(study: StudyConfig) -> None:
    """Removes the folders of failed runs, and with `study.changed` those whose files were changed since they ended.

    They are listed and asked about first, but for `study.yes`. The next `run` does these runs anew.

    Raises:
        UserError: If no study stands there, another command runs it, or there is nobody to ask.
    """
    if not (study.folder / "plan.csv").is_file():
        raise UserError(f"{study.folder}: no study has been run here (looked for plan.csv); there is nothing to clean")
    with locked_study(study.folder):
        runs, left_alone = removable_runs(study, rows_of(study.folder / "plan.csv"))
        for folder, why in left_alone:
            print(f"left alone: {folder}: {why}")
        if not runs:
            changed = "" if study.changed else "; --changed looks for runs whose files were changed as well"
            print(
                f"{study.folder}: there is nothing to remove{changed}\n{history_and_next(study, 'nothing was written')}"
            )
            return
        print(text_table([[megabytes(run.megabytes), run.why, str(run.folder)] for run in runs],
                      ["size", "why", "folder"], right=[0]))  # fmt: skip
        if not (study.yes or is_confirmed(len(runs))):
            print(f"nothing was removed\n{history_and_next(study, 'nothing was written')}")
            return
        removed = [run for run in runs if remove_if_free(run.folder)]
        summary = f"{counted(len(removed), 'run folder')}, {megabytes(sum(run.megabytes for run in removed))}"
        note_removal(study.folder, f"{summary}: {', '.join(run.folder.name for run in removed)}")
        print(f"removed {summary}; `python -m compare run` does these runs anew")
        print(history_and_next(study, "what was removed is its last line"))


def history_and_next(study: StudyConfig, note: str) -> str:
    """The last lines of the command: the study's history, with a note beside it, and what does these runs anew."""
    again = shlex.join(["python", "-m", "compare", "run", str(study.folder)])
    return f"open:    {study.folder / 'history.jsonl'} ({note})\nnext:    {again}"


def is_confirmed(count: int) -> bool:
    """Asks whether to go on.

    Raises:
        UserError: If nobody can answer.
    """
    if not sys.stdin.isatty():
        raise UserError(
            f"`python -m compare clean` asks before it removes {counted(count, 'run folder')}, "
            "and there is no terminal to ask at; add --yes to remove them unasked"
        )
    return input(f"remove {counted(count, 'run folder')}? [y/N] ").strip().lower() in ("y", "yes")


def removable_runs(study: StudyConfig, rows: Sequence[Row]) -> tuple[list[RemovableRun], list[tuple[Path, str]]]:
    """What may go, and what looks like it and may not, with the reason."""
    others = done_elsewhere(study)
    removable: list[RemovableRun] = []
    protected: list[tuple[Path, str]] = []
    for folder, why in dict(candidates(study, rows)).items():
        if folder.resolve() in others:
            protected.append((folder, f"study '{others[folder.resolve()]}' has it as done"))
        elif is_run_locked(folder):
            protected.append((folder, "another process works on it"))
        else:
            removable.append(RemovableRun(folder, size_mb(folder), why))
    return removable, protected


def candidates(study: StudyConfig, rows: Sequence[Row]) -> list[tuple[Path, str]]:
    """Folders that failed runs have left, and with `changed` those of finished runs that are not as they ended."""
    failed = {row["name"] for row in rows if row["state"] == "failed"}
    tasks: list[Task] = tasks_of(study, 1) if failed else []
    folders = [
        (folder, "failed") for task in tasks if task.name in failed for folder in failed_run_folders(task, study.runs)
    ]
    if study.changed:
        done = [Path(row["folder"]) for row in rows if row["state"] == "done" and row["folder"]]
        folders += [(folder, f"changed: {', '.join(files)}") for folder in done if (files := broken(folder))]
    return folders


def done_elsewhere(study: StudyConfig) -> dict[Path, str]:
    """The run folders that other studies beside this one have as done, and the name of the study."""
    plans = [path for path in study.out.glob("*/plan.csv") if path.parent.resolve() != study.folder.resolve()]
    return {
        Path(row["folder"]).resolve(): path.parent.name
        for path in plans
        for row in rows_of(path)
        if row["state"] == "done" and row["folder"]
    }


def is_run_locked(folder: Path) -> bool:
    """Whether a process is at the run."""
    return is_locked(folder / LOCK) is not False


def remove_if_free(folder: Path) -> bool:
    """Removes a run folder that nobody is at; False where somebody came to it meanwhile."""
    try:
        with locked_run(folder) as is_ours:
            if is_ours:
                remove_held(folder)
            return is_ours
    except UserError:
        return False


def note_removal(folder: Path, what: str) -> None:
    """Adds to history.jsonl what was removed."""
    line = json.dumps({"when": utc(time.time()), "event": "cleaned", "what": what}, ensure_ascii=False)
    with (folder / "history.jsonl").open("a", encoding="utf-8") as history:
        history.write(line + "\n")
