"""How far a study is: `python -m compare status`. It reads what lies in the study folder, and may run anywhere."""

import shlex
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from compare.records.run_files import result_number, run_result
from compare.status.at_work import CommandState, RunAtWork, command_at, place_of, runs_at_work, with_jobs
from compare.status.run_folders import training_progress
from compare.study.factors import FACTORS, NUMBERS, arm_label
from compare.study.plan import STAGES
from compare.text import last_line, text_table, wrapped
from dermssl import flags
from dermssl.errors import NEW_PICTURE, UserError
from dermssl.wording import counted, duration

NO_REASON = "no reason was recorded"
STATES = ("planned", "running", "stopped", "unclear", "done", "failed")
SELDOM = ("stopped", "unclear")  # states that have a column where a run is in them
EVERY = 2.0  # seconds
PATIENCE = 1800.0  # seconds of silence after which one of another machine is no longer watched
FAILURES = 5  # that are shown
ENDED = ("done", "failed")
STATE_WORDS = {
    "running": "running",
    "stopped": "stopped: no process works on them; `python -m compare run` goes on from their last checkpoints",
    "unclear": "unclear: this machine cannot see whether they go on, only for how long they have written nothing",
}
Row = dict[str, Any]


def show_status(folder: Path, *, once: bool = False) -> None:
    """Prints how far the study is; on a terminal again and again while somebody is at it, or may be, or until Ctrl-C.

    Args:
        folder: Of the study.
        once: Whether to print a single time.

    Raises:
        UserError: If no study stands there.
    """
    text, goes_on = status_text(folder)
    if once or not sys.stdout.isatty():
        print(text, flush=True)
        return
    while True:
        print(NEW_PICTURE + text, flush=True)
        if not goes_on:
            return
        time.sleep(EVERY)
        text, goes_on = status_text(folder)


def status_text(folder: Path) -> tuple[str, bool]:
    """The text, and whether it may change by itself: runs are left, and somebody is at them or may be.

    Raises:
        UserError: If no study stands there.
    """
    path = folder / "plan.csv"
    if not path.is_file():
        raise UserError(
            f"{folder}: no study has been run here (looked for plan.csv); `python -m compare run` begins it"
        )
    rows, command = at_one_moment(folder)
    options = flags.read_options(folder / "study.yaml") if (folder / "study.yaml").is_file() else {}
    age, begun = time.time() - path.stat().st_mtime, runs_at_work(rows, place_of(folder), command)
    for run in begun:
        run.row["state"] = run.state
    parts = [
        study_heading(folder, rows, age, command),
        by_stage(rows),
        *(begun_runs_table(state, [run for run in begun if run.state == state], rows) for state in STATE_WORDS),
        failures_in_words(rows),
        what_is_left(folder, rows, begun, command),
        "\n".join(best_so_far(rows, str(options.get("arms") or "init"))),
    ]
    return "\n\n".join(part for part in parts if part), may_change(rows, begun, command, age)


def at_one_moment(folder: Path) -> tuple[list[Row], CommandState]:
    """The rows, and who was at the study before they were read as well as afterwards."""
    rows = rows_of(folder / "plan.csv")
    before = command_at(folder, rows)
    while True:
        rows = rows_of(folder / "plan.csv")
        command = command_at(folder, rows)
        if command == before:
            return with_jobs(rows, folder), command
        before = command


def may_change(rows: Sequence[Row], begun: Sequence[RunAtWork], command: CommandState, age: float) -> bool:
    """Whether runs are left and somebody is at them, or may be on another machine, which is silent at most so long."""
    if command.state == "at it" or any(run.state == "running" for run in begun):
        return any(row["state"] not in ENDED for row in rows)
    heard = [run.silent for run in begun if run.state == "unclear"] + ([age] if command.state == "unclear" else [])
    return min(heard, default=PATIENCE) < PATIENCE


def rows_of(path: Path) -> list[Row]:
    """The rows of plan.csv, words as str and nothing where there is nothing; of older forms as well."""
    table = pd.read_csv(path, dtype={"id": str, "hash": str})
    numbers = {*NUMBERS, "seconds", "attempts", "memory_mb"}
    rows: list[Row] = []
    for row in table.to_dict("records"):
        cells = {str(key): None if pd.isna(value) else value for key, value in row.items()}
        rows.append({key: value if key in numbers else str(value or "") for key, value in cells.items()})
    return rows


def study_heading(folder: Path, rows: Sequence[Row], age: float, command: CommandState) -> str:
    """The study in a line, and who is at it."""
    done = sum(row["state"] == "done" for row in rows)
    line = f"study {folder.name}: {done} of {counted(len(rows), 'run')} done; last change {duration(age)} ago"
    return f"{line}\n{wrapped(command_in_words(command), 2)}"


def command_in_words(command: CommandState) -> str:
    """Who is at the study."""
    process = command.process
    name = f"process {process.id} on {process.host}" if process else ""
    if command.state == "at it":
        since = f", for {duration(max(0.0, time.time() - process.since))}" if process else ""
        return f"a command is running it{name and ': '}{name}{since}"
    if command.state == "nobody":
        return f"no command is running it{name and f'; the last one was killed ({name})'}"
    last = f"; the last one was {name}, which may go on or have been killed" if name else ""
    return f"this machine cannot see whether a command is running it{last}"


def by_stage(rows: Sequence[Row]) -> str:
    """How many runs of each stage are in each state."""
    present = {row["state"] for row in rows}
    columns = [state for state in STATES if state in present or state not in SELDOM]
    cells = []
    for stage in (stage for stage in STAGES if any(row["stage"] == stage for row in rows)):
        states = [row["state"] for row in rows if row["stage"] == stage]
        cells.append([stage, *(str(states.count(state) or "-") for state in columns)])
    return text_table(cells, ["stage", *columns], right=range(1, len(columns) + 1))


def begun_runs_table(state: str, begun: Sequence[RunAtWork], rows: Sequence[Row]) -> str:
    """The runs that go on, or were stopped, or of which it is not known, each with its progress."""
    cells, common = [], common_parts(rows)
    for run in begun:
        progress = training_progress(run.folder) if run.folder else None
        done = f"{progress.done}/{progress.total}" if progress else "begins" if state == "running" else "-"
        rate = f"{progress.images_per_second:.0f}" if progress else "-"
        clock = run.silent if state != "running" else time.time() - run.began
        name = short_name(run.row, common[run.row["stage"]])
        cells.append([duration(clock), done, rate, run.host or "-", run.row.get("id") or "-", name])
    head = ["for" if state == "running" else "silent", "done", "images/s", "host", "id", "run"]
    return f"{wrapped(STATE_WORDS[state])}\n{text_table(cells, head, right=[0, 1, 2])}" if cells else ""


def common_parts(rows: Sequence[Row]) -> dict[str, set[str]]:
    """The parts of their names that all runs of a stage have in common, by stage."""
    common: dict[str, set[str]] = {}
    for row in rows:
        parts = set(row["name"].split(", "))
        common[row["stage"]] = common.get(row["stage"], parts) & parts
    return common


def short_name(row: Row, common: Collection[str]) -> str:
    """The name without what all runs of the stage have in common."""
    first, *others = row["name"].split(", ")
    return ", ".join([first, *(part for part in others if part not in common)])


def failures_in_words(rows: Sequence[Row]) -> str:
    """The last runs that failed, each with the last line of what it said."""
    failed = [row for row in rows if row["state"] == "failed"]
    if not failed:
        return ""
    lines = [wrapped(f"{row['name']}: {last_line(row.get('error', ''), NO_REASON)}", 2) for row in failed[-FAILURES:]]
    more = f" (the last {FAILURES} of {len(failed)})" if len(failed) > FAILURES else ""
    return "\n".join([f"failed{more}", *lines])


def what_is_left(folder: Path, rows: Sequence[Row], begun: Sequence[RunAtWork], command: CommandState) -> str:
    """About how long the rest will take, where somebody is at it; else what goes on with it."""
    ahead = sum(row["state"] not in ENDED for row in rows)
    runs_left = f"{counted(ahead, 'run')} left"
    if not ahead:
        page = folder / "report.html"
        return f"every run has ended; open {page}" if page.is_file() else "every run has ended"
    if any(run.state == "running" for run in begun):
        return time_left(rows, begun)
    if command.state == "at it":
        return f"{runs_left}; none is running at this moment"
    place = shlex.quote(str(folder))
    if (folder / "slurm").is_dir():
        goes_on = f"  `squeue` lists the jobs that wait; for runs whose jobs are gone: python -m compare slurm {place}"
        return f"{runs_left}\n{goes_on}"
    if command.state == "unclear" or any(run.state == "unclear" for run in begun):
        return f"{runs_left}; if no process works on them any more, go on with them:\n  python -m compare run {place}"
    return f"{runs_left}, and no process works on them; go on with them:\n  python -m compare run {place}"


def time_left(rows: Sequence[Row], begun: Sequence[RunAtWork]) -> str:
    """About how long the rest will take, from the finished runs of each stage; nothing while a stage has none."""
    means: dict[str, float] = {}
    for stage in STAGES:
        took = [row["seconds"] for row in rows if row["stage"] == stage and row["state"] == "done" and row["seconds"]]
        if took:
            means[stage] = mean(took)
    planned = [row["stage"] for row in rows if row["state"] == "planned"]
    stages_left = [*planned, *(run.row["stage"] for run in begun)]
    unknown = [stage for stage in STAGES if stage in stages_left and stage not in means]
    if unknown:
        return f"time left: unknown until the first {unknown[0]} run has ended"
    seconds = sum(means[stage] for stage in planned)
    for run in begun:
        progress = training_progress(run.folder) if run.folder else None
        seconds += means[run.row["stage"]] * (1 - progress.share if progress else 1)
    side_by_side = sum(run.state == "running" for run in begun)
    return f"time left: about {duration(seconds / side_by_side)}, with {side_by_side} side by side as now"


def best_so_far(rows: Sequence[Row], arms: str) -> Iterator[str]:
    """The mean and the best IoU of each arm's finished runs."""
    done = [row for row in rows if row["stage"] == "finetune" and row["state"] == "done"]
    starts = {(row["init"], row["method"]) for row in rows if row["method"]}
    methods, scores_by_arm = Counter(init for init, _ in starts), dict[str, list[float]]()
    for row in done:
        arm = arm_label(arms, {factor: row.get(factor) for factor in FACTORS}, methods[row["init"]] > 1)
        scores_by_arm.setdefault(arm, []).append(result_number(run_result(row["folder"]), "jaccard"))
    if not scores_by_arm:
        return
    yield "mean IoU so far (provisional: arms may stand in different cells, and this is no verdict)"
    cells = [
        [arm, str(len(scores)), f"{mean(scores):.3f}", f"{max(scores):.3f}"] for arm, scores in scores_by_arm.items()
    ]
    yield text_table(cells, ["arm", "runs", "mean", "best"], right=[1, 2, 3])
