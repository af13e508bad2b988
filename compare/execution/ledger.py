"""What became of every run of a study, on disk at all times: plan.csv, and history.jsonl of what happened when."""

import json
import platform
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from compare.execution.worker import CHANGED, utc
from compare.study.factors import PLAN_COLUMNS
from compare.study.plan import Outcome, Task
from dermssl.errors import UserError
from dermssl.files import write_json
from dermssl.log import say
from dermssl.runs.folder import LOCK, read_result, write_table
from dermssl.runs.lock import signed_lock, take_lock
from dermssl.runs.seal import broken
from dermssl.wording import counted, duration

PAUSE = 0.3  # seconds between two writings of plan.csv
STAGES = {"pretrain": "pretraining", "search": "search", "finetune": "fine-tuning", "probe": "probe"}
PLURALS = {"search": "searches"}
Event = Literal["began", "extended", "changed", "retried", "trusted", "budget", "lost", "cleaned", "finished"]


class Ledger:
    """The outcome of every task, by id. What it has not yet written when it is killed, the run folders know.

    A run is done when its folder holds a result and files that match its seal, not because plan.csv says so. One that
    ended a moment before a kill is started again and found done by its content; one whose folder is gone is done again.
    """

    def __init__(self, folder: Path, tasks: Sequence[Task], *, trust: bool = False) -> None:
        """Takes over what an earlier plan.csv, or jobs of a cluster, tell of these tasks.

        Args:
            folder: Of the study.
            tasks: All of them, each behind those that it needs.
            trust: Whether finished runs whose files were changed by hand are taken as they stand.

        Raises:
            UserError: If files of finished runs were changed by hand, and `trust` is not given.
        """
        self.folder, self.tasks, self.slots = folder, list(tasks), 1
        self.host = platform.node()  # where runs are begun, until their outcome says where they were done
        self.expected: Mapping[str, float] = {}
        """Seconds that a task will take, by id, as far as anything tells; runs of this study tell better."""
        self._took: dict[str, list[float]] = {}
        self._begun: dict[str, float] = {}  # when what runs was started, on a clock that nobody sets
        self._changed, self._written = True, -PAUSE
        before = read_outcomes(folder)
        self.outcomes = {task.id: outcome_today(before.get(task.id, Outcome())) for task in tasks}
        self._refuse_changed_runs(trust)
        self._note_what_is_new(set(before))
        self.save(at_once=True)

    def state(self, task: str) -> str:
        """planned, running, done or failed; by id."""
        return self.outcomes[task].state

    def attempts(self, task: Task) -> int:
        """How often the task was started."""
        return self.outcomes[task.id].attempts

    def count(self, state: str) -> int:
        """How many tasks are in that state."""
        return sum(outcome.state == state for outcome in self.outcomes.values())

    @property
    def ended_count(self) -> int:
        """How many tasks are done or have failed."""
        return self.count("done") + self.count("failed")

    @property
    def folders(self) -> dict[str, Path]:
        """Run folders of the tasks that are done, by id."""
        return {key: Path(outcome.folder) for key, outcome in self.outcomes.items() if outcome.state == "done"}

    def ready(self) -> list[Task]:
        """Planned tasks that have all that they need, in the order of the study."""
        planned = [task for task in self.tasks if self.state(task.id) == "planned"]
        return [task for task in planned if all(self.state(need) == "done" for need in task.needs)]

    def renew(self) -> None:
        """Plans anew what failed in an earlier command."""
        failed = {key: Outcome() for key, outcome in self.outcomes.items() if outcome.state == "failed"}
        self.outcomes |= failed

    def began(self, task: Task) -> None:
        """Keeps that a task is started, for the first time or once more."""
        attempts = self.attempts(task) + 1
        self._keep(task, Outcome(state="running", attempts=attempts, host=self.host, started=utc(time.time())))

    def again(self, task: Task, outcome: Outcome) -> None:
        """Plans a task once more, and keeps why."""
        self._keep(task, Outcome(attempts=self.attempts(task)))
        self.note("lost" if outcome.lost else "retried", f"{task.name}: {outcome.error}")
        self._say(f"{task.name}: {outcome.error}; it is started once more")

    def ended(self, task: Task, outcome: Outcome) -> None:
        """Keeps and says what became of a task, and that what needs it can never be where it failed."""
        self._keep(task, replace(outcome, attempts=self.attempts(task)))
        if outcome.state == "done" and outcome.seconds is not None:
            self._took.setdefault(task.stage, []).append(outcome.seconds)
        result = read_result(Path(outcome.folder)) if outcome.folder else None
        score = f", mean IoU {result['jaccard']:.3f}" if result and "jaccard" in result else ""
        error = f": {outcome.error}" if outcome.error else ""
        self._say(f"{task.name}: {outcome.state}{error}{score} ({outcome.seconds or 0:.0f} s){self.time_left()}")
        if outcome.state == "failed":
            for dependent in self.tasks:
                if task.id in dependent.needs and self.state(dependent.id) == "planned":
                    self.ended(
                        dependent, Outcome(state="failed", error=f"its {STAGES[task.stage]} failed: {task.name}")
                    )

    def stopped(self) -> None:
        """Plans what was running, now that nothing runs any more, and writes everything."""
        running = {key: Outcome() for key, outcome in self.outcomes.items() if outcome.state == "running"}
        self.outcomes |= running
        self.save(at_once=True)

    def note(self, event: Event, what: str) -> None:
        """Adds an event to history.jsonl."""
        line = json.dumps({"when": utc(time.time()), "event": event, "what": what}, ensure_ascii=False)
        with (self.folder / "history.jsonl").open("a", encoding="utf-8") as history:
            history.write(line + "\n")

    def save(self, *, at_once: bool = False) -> None:
        """Writes plan.csv whole, where something changed and the last writing is some time ago."""
        if at_once or (self._changed and time.monotonic() - self._written > PAUSE):
            write_table(self.folder / "plan.csv", plan_table(self.tasks, self.outcomes))
            self._changed, self._written = False, time.monotonic()

    def _keep(self, task: Task, outcome: Outcome) -> None:
        self._begun.pop(task.id, None)
        if outcome.state == "running":
            self._begun[task.id] = time.monotonic()
        self.outcomes[task.id] = outcome
        self._changed = True

    def _say(self, text: str) -> None:
        say(f"[{self.ended_count:>{len(str(len(self.tasks)))}}/{len(self.tasks)}] {text}")

    def time_left(self) -> str:
        """About how long the rest takes, as the end of a sentence; '' while nothing tells, or where nothing is left."""
        left = [task for task in self.tasks if self.state(task.id) in ("planned", "running")]
        seconds = {task.id: known for task in left if (known := self._seconds_left(task)) is not None}
        if not seconds:
            return ""
        unknown = Counter(STAGES[task.stage] for task in left if task.id not in seconds)
        but = ", ".join(counted(count, stage, PLURALS.get(stage, "")) for stage, count in unknown.items())
        about = duration(sum(seconds.values()) / self.slots)
        return f", about {about} left{f' without {but}' if but else ''}"

    def _seconds_left(self, task: Task) -> float | None:
        """By the mean of the runs of its stage, before the first by what was expected; less what it has run already."""
        took = self._took.get(task.stage)
        whole = sum(took) / len(took) if took else self.expected.get(task.id)
        if whole is None or task.id not in self._begun:
            return whole
        return max(0.0, whole - (time.monotonic() - self._begun[task.id]))

    def _refuse_changed_runs(self, trust: bool) -> None:
        changed = {folder: files for folder in self.folders.values() if (files := broken(folder))}
        for folder, files in changed.items():
            if not trust:
                more = f" (and {len(changed) - 1} other runs like it)" if len(changed) > 1 else ""
                raise UserError(f"{folder}{more}: {CHANGED.format(', '.join(files))}")
            self.note("trusted", f"{folder} with changed {', '.join(files)}")

    def _note_what_is_new(self, before: set[str]) -> None:
        new, gone = [task for task in self.tasks if task.id not in before], before - self.outcomes.keys()
        if not (self.folder / "history.jsonl").exists():
            self.note("began", f"{len(self.tasks)} runs")
        elif new:
            self.note("extended", f"{len(new)} runs that it did not have, {len(self.tasks)} in all")
        if gone:
            self.note("changed", f"{len(gone)} runs are no longer part of it")


@contextmanager
def locked_study(folder: Path) -> Iterator[None]:
    """Holds the study folder against other commands that run studies; the system lets go of it however this one ends.

    Raises:
        UserError: If another one runs it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as lock:  # what its holder has left there stays
        if not take_lock(lock):
            raise UserError(f"{folder}: another command runs this study; wait for it, or stop it")
        with signed_lock(lock):
            yield


def outcome_today(outcome: Outcome) -> Outcome:
    """An earlier outcome today: what ran runs no more, what is done has a result, and attempts are counted anew."""
    gone = outcome.state == "done" and read_result(Path(outcome.folder)) is None
    return Outcome() if gone or outcome.state in ("planned", "running") else outcome


def plan_table(tasks: Sequence[Task], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """plan.csv: a row a run, in the order of the tasks."""
    rows = []
    for task in tasks:
        outcome = outcomes[task.id]
        name = Path(outcome.folder).name.rpartition("-")[2]
        words = {"id": task.id, "stage": task.stage, "name": task.name, "hash": name}
        rows.append({**words, **task.factors, **asdict(outcome)})
    return pd.DataFrame(rows, columns=PLAN_COLUMNS)


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    """What plan.csv of a study folder tells, by id, and what jobs of a cluster tell of runs that it has not as done.

    A plan.csv that has no ids is of an older form and tells nothing: its runs are found by their content.
    """
    outcomes: dict[str, Outcome] = {}
    path = folder / "plan.csv"
    if path.is_file():
        table = pd.read_csv(path, dtype={"id": str, "hash": str}, keep_default_na=True)
        rows = table.to_dict("records") if {"id", "attempts"} <= set(table) else []
        outcomes = {row["id"]: outcome_of({str(key): value for key, value in row.items()}) for row in rows}
    for file in sorted((folder / "outcomes").glob("[!.]*.json")):
        if outcomes.get(file.stem, Outcome()).state != "done":
            outcomes[file.stem] = outcome_of(json.loads(file.read_text(encoding="utf-8")))
    return outcomes


def write_outcome(folder: Path, task: Task, outcome: Outcome) -> None:
    """Leaves a task's outcome in the study folder for the ledger to take in."""
    write_json(outcome_file(folder, task.id), asdict(outcome))


def outcome_file(folder: Path, run: str) -> Path:
    """Where a job leaves what became of a run, by its id."""
    return folder / "outcomes" / f"{run}.json"


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """An outcome from a row of plan.csv or a JSON object; empty cells are what they are by default."""
    names = {field.name for field in fields(Outcome)}
    values = {key: value for key, value in row.items() if key in names and not pd.isna(value)}
    return Outcome(**values)
