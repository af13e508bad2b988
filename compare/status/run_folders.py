"""Which run folder a row of plan.csv means while it has none: of a run that goes on, or that failed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from compare.estimates.timings import METRICS, modification_time
from compare.study.factors import NUMBERS
from compare.study.identity import PLACE
from compare.study.plan import Task
from dermssl import flags
from dermssl.runs.seal import RESULT

SIGNS = ("config.yaml", METRICS, "log.txt")  # files that say when a run was last at work
SLACK = 2.0  # seconds by which clocks of two machines may differ
ROW_OPTIONS = {
    "pretrain": ("method", "encoder", "fold", "seed"),
    "finetune": (
        "encoder", "decoder", "decoder_init", "loss", "lr", "image_size", "padding", "augmentation", "label_fraction",
        "fold", "seed",
    ),
    "probe": ("encoder",),
}  # fmt: skip
POSITION = re.compile(r"^(?:epoch|step) +(\d+)/(\d+) ", re.MULTILINE)


class TrainingProgress(NamedTuple):
    """How far a training is."""

    done: int
    """Epochs of a pretraining, steps of a fine-tuning."""
    total: int
    """Those of the whole training."""
    images_per_second: float

    @property
    def share(self) -> float:
        """In [0, 1]."""
        return self.done / self.total if self.total else 0.0


def folder_at_work(row: Mapping[str, Any], unfinished: Iterable[Path]) -> Path | None:
    """The unfinished run folder that was written to since the row's run started; None where there is none yet.

    Args:
        row: Of plan.csv.
        unfinished: Run folders of its stage that hold no result.
    """
    since = start_time(row) - SLACK
    at_work = [folder for folder in unfinished if last_written(folder) >= since and agrees_with_row(folder, row)]
    return max(at_work, key=last_written, default=None)


def unfinished_runs(folder: Path) -> Iterator[Path]:
    """The run folders of a command that hold no result."""
    for path in folder.glob("*/config.yaml"):
        if not (path.parent / RESULT).exists():
            yield path.parent


def start_time(row: Mapping[str, Any]) -> float:
    """When the row's run was begun, seconds since 1970; 0 where nobody knows."""
    started = row.get("started")
    return datetime.fromisoformat(started).timestamp() if isinstance(started, str) and started else 0.0


def last_written(folder: Path) -> float:
    """When a run folder was last written to, seconds since 1970."""
    return max((modification_time(folder / name) for name in SIGNS if (folder / name).is_file()), default=0.0)


def agrees_with_row(folder: Path, row: Mapping[str, Any]) -> bool:
    """Whether the options of a run are those that the row tells of; what it does not tell of may be anything."""
    options = flags.read_options(folder / "config.yaml")
    alike = all(
        levels_agree(options.get(name), row[name], name) for name in ROW_OPTIONS.get(row["stage"], ()) if name in row
    )
    return alike and (row["stage"] == "pretrain" or weights_agree(str(options.get("init")), row))


def levels_agree(option: object, level: object, factor: str) -> bool:
    """Whether an option has the level that is told; nothing told agrees with everything."""
    if level is None or level == "" or level != level:
        return True
    return float(str(option)) == float(str(level)) if factor in NUMBERS else str(option) == str(level)


def weights_agree(init: str, row: Mapping[str, Any]) -> bool:
    """Whether the weights are those that are told: an encoder file of the method, where they were pretrained."""
    if row["init"] != "ssl":
        return bool(init == row["init"])
    return init == "ssl" or f"/{row.get('method') or ''}-" in init


def failed_run_folders(task: Task, runs: Path) -> list[Path]:
    """Unfinished run folders with exactly the options of this task: what it left when it failed."""
    if task.stage == "search":
        return []
    open_options = PLACE | {"init"} | ({"lr"} if task.stage == "finetune" and task.factors["lr"] is None else set())
    options = {key: value for key, value in flags.plain_options(task.config).items() if key not in open_options}
    return [
        folder
        for folder in unfinished_runs(runs / task.stage)
        if has_options_of(flags.read_options(folder / "config.yaml"), options, task)
    ]


def has_options_of(options: Mapping[str, Any], wanted: Mapping[str, Any], task: Task) -> bool:
    """Whether the options of a run folder are those of a task, but for place, pace, and what the task waits for."""
    alike: bool = all(options.get(key, wanted[key]) == wanted[key] for key in wanted)
    row = {"stage": task.stage, **task.factors}
    if task.stage == "pretrain":
        return alike and bool(options.get("init") == vars(task.config)["init"])
    return alike and weights_agree(str(options.get("init")), row)


def training_progress(folder: Path) -> TrainingProgress | None:
    """How far the run in this folder is; None before its first row."""
    metrics, log = folder / METRICS, folder / "log.txt"
    if not metrics.is_file() or not log.is_file():
        return None
    lines = POSITION.findall(log.read_text(encoding="utf-8", errors="replace"))
    table = pd.read_csv(metrics)
    if not lines or table.empty:
        return None
    done, whole = map(int, lines[-1])
    return TrainingProgress(done, whole, float(table["images_per_second"].iloc[-1]))
