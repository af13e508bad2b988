"""How far a study is: `python -m compare status`. It reads what lies in the study folder, and may run anywhere."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import pandas as pd

from compare.factors import FACTORS, NUMBERS, arm_label
from compare.overview.aligned import aligned, counted, duration, wrapped
from compare.overview.found import folder_at_work, progress, started
from compare.plan import STAGES
from compare.tables.run_files import number
from compare.tables.study import run_result
from dermssl import flags
from dermssl.errors import UserError

STATES = ("planned", "running", "done", "failed")
EVERY = 2.0  # seconds
FAILURES = 5  # that are shown
NEW_PICTURE = "\x1b[H\x1b[J"  # the cursor home, and the screen cleared from there on
Row = dict[str, Any]


def show_status(folder: Path, *, once: bool = False) -> None:
    """Prints how far the study is; on a terminal again and again until every run has ended, or Ctrl-C.

    Args:
        folder: Of the study.
        once: Whether to print a single time.

    Raises:
        UserError: If no study stands there.
    """
    text, left = status(folder)
    if once or not sys.stdout.isatty():
        print(text, flush=True)
        return
    while True:
        print(NEW_PICTURE + text, flush=True)
        if not left:
            return
        time.sleep(EVERY)
        text, left = status(folder)


def status(folder: Path) -> tuple[str, int]:
    """The text, and how many runs have not ended.

    Raises:
        UserError: If no study stands there.
    """
    path = folder / "plan.csv"
    if not path.is_file():
        raise UserError(
            f"{folder}: no study has been run here (looked for plan.csv); `python -m compare run` begins it"
        )
    rows, options = rows_of(path), flags.read(folder / "study.yaml") if (folder / "study.yaml").is_file() else {}
    runs, now = Path(str(options.get("runs") or "runs")), time.time()
    at_work = [(row, folder_at_work(row, runs)) for row in rows if row["state"] == "running"]
    parts = [
        heading(folder, rows, now - path.stat().st_mtime),
        by_stage(rows),
        running_said(at_work, rows, now),
        failures_said(rows),
        time_left(rows, at_work),
        "\n".join(best_so_far(rows, str(options.get("arms") or "init"))),
    ]
    left = sum(row["state"] in ("planned", "running") for row in rows)
    return "\n\n".join(part for part in parts if part), left


def rows_of(path: Path) -> list[Row]:
    """The rows of plan.csv, words as str and nothing where there is nothing; of older forms as well."""
    table = pd.read_csv(path, dtype={"id": str, "hash": str})
    numbers = {*NUMBERS, "seconds", "attempts", "memory_mb"}
    rows: list[Row] = []
    for row in table.to_dict("records"):
        known = {str(key): None if pd.isna(value) else value for key, value in row.items()}
        rows.append({key: value if key in numbers else str(value or "") for key, value in known.items()})
    return rows


def heading(folder: Path, rows: Sequence[Row], age: float) -> str:
    """The study in a line."""
    done = sum(row["state"] == "done" for row in rows)
    return f"study {folder.name}: {done} of {counted(len(rows), 'run')} done; last change {duration(age)} ago"


def by_stage(rows: Sequence[Row]) -> str:
    """How many runs of each stage are in each state."""
    cells = []
    for stage in (stage for stage in STAGES if any(row["stage"] == stage for row in rows)):
        states = [row["state"] for row in rows if row["stage"] == stage]
        cells.append([stage, *(str(states.count(state) or "-") for state in STATES)])
    return aligned(cells, ["stage", *STATES], right=[1, 2, 3, 4])


def running_said(at_work: Sequence[tuple[Row, Path | None]], rows: Sequence[Row], now: float) -> str:
    """The runs that go on, each with its progress."""
    cells = []
    for row, folder in at_work:
        far = progress(folder) if folder else None
        said = f"{far.done}/{far.whole}" if far else "begins"
        rate = f"{far.images_per_second:.0f}" if far else "-"
        words = [row.get("host") or "-", row.get("id") or "-", short_name(row, rows)]
        cells.append([duration(now - started(row)), said, rate, *words])
    head = ["for", "epoch", "images/s", "host", "id", "run"]
    return "running\n" + aligned(cells, head, right=[0, 1, 2]) if cells else ""


def short_name(row: Row, rows: Sequence[Row]) -> str:
    """The name without what all runs of the stage have in common."""
    others = [set(one["name"].split(", ")) for one in rows if one["stage"] == row["stage"]]
    parts = row["name"].split(", ")
    own = [part for part in parts[1:] if not all(part in other for other in others)]
    return ", ".join([parts[0], *own])


def failures_said(rows: Sequence[Row]) -> str:
    """The last runs that failed, each with the last line of what it said."""
    failed = [row for row in rows if row["state"] == "failed"]
    if not failed:
        return ""
    lines = [wrapped(f"{row['name']}: {last_line(row.get('error', ''))}", 2) for row in failed[-FAILURES:]]
    more = f" (the last {FAILURES} of {len(failed)})" if len(failed) > FAILURES else ""
    return "\n".join([f"failed{more}", *lines])


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no reason is known")


def time_left(rows: Sequence[Row], at_work: Sequence[tuple[Row, Path | None]]) -> str:
    """About how long the rest will take, from the finished runs of each stage; nothing while a stage has none."""
    means: dict[str, float] = {}
    for stage in STAGES:
        took = [row["seconds"] for row in rows if row["stage"] == stage and row["state"] == "done" and row["seconds"]]
        if took:
            means[stage] = mean(took)
    planned = [row["stage"] for row in rows if row["state"] == "planned"]
    left = [*planned, *(row["stage"] for row, _ in at_work)]
    if not left:
        return "every run has ended"
    unknown = [stage for stage in STAGES if stage in left and stage not in means]
    if unknown:
        return f"time left: unknown until a first {unknown[0]} has ended"
    seconds = sum(means[stage] for stage in planned)
    for row, folder in at_work:
        far = progress(folder) if folder else None
        seconds += means[row["stage"]] * (1 - far.share if far else 1)
    beside = max(1, len(at_work))
    return f"time left: about {duration(seconds / beside)}, with {beside} side by side as now"


def best_so_far(rows: Sequence[Row], arms: str) -> Iterator[str]:
    """The mean and the best IoU of each arm's finished runs."""
    done = [row for row in rows if row["stage"] == "finetune" and row["state"] == "done"]
    found: dict[str, list[float]] = {}
    for row in done:
        found.setdefault(arm_of(row, rows, arms), []).append(number(run_result(row["folder"]), "jaccard"))
    if not found:
        return
    yield "mean IoU so far (provisional: arms may stand in different cells, and this is no verdict)"
    cells = [[arm, str(len(some)), f"{mean(some):.3f}", f"{max(some):.3f}"] for arm, some in found.items()]
    yield aligned(cells, ["arm", "runs", "mean", "best"], right=[1, 2, 3])


def arm_of(row: Row, rows: Sequence[Row], arms: str) -> str:
    """The arm that a run belongs to."""
    methods = {one["method"] for one in rows if one["init"] == row["init"] and one["method"]}
    factors: Mapping[str, Any] = {factor: row.get(factor) for factor in FACTORS}
    return arm_label(arms, factors, len(methods) > 1)
