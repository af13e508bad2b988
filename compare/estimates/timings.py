"""Where the time of a finished run went, told by its folder: its results, its metrics, and when its files were written.

So a run that was done for its own sake tells how long another of its kind will take, with more steps or more pictures.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from compare.estimates.kinds import Amount
from dermssl import flags
from dermssl.runs.seal import RESULT

METRICS = "metrics.csv"


class Rates(NamedTuple):
    """What a kind of run costs, in seconds and megabytes."""

    fixed: float
    """Before the first step and after the last picture."""
    step: float
    row: float
    """Between rows of metrics.csv, beyond the steps."""
    picture: float
    memory_mb: float | None = None
    gpu_memory_mb: float | None = None
    disk_mb: float = 0.0

    def seconds(self, amount: Amount) -> float:
        """How long a whole run takes that has so much to do."""
        return self.fixed + amount.steps * self.step + amount.rows * self.row + amount.pictures * self.picture


def rates_of(folder: Path, stage: str, whole: float | None = None) -> Rates | None:
    """What a finished run tells; None where it was interrupted, or copied without its files' times.

    Args:
        folder: Of a run of pretrain, finetune or probe.
        stage: Which of them.
        whole: Seconds from its beginning to its end where they are known; else from its first file to its last.
    """
    result = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    if "seconds" not in result:
        return None
    seconds, memory = float(result["seconds"]), (result.get("memory_mb"), result.get("gpu_memory_mb"), size_mb(folder))
    lasted = (
        whole
        if whole and whole >= seconds
        else modification_time(folder / RESULT) - modification_time(folder / "config.yaml")
    )
    if lasted < 0.9 * seconds:  # a run that was found done took no time
        return None
    if stage == "probe":
        return Rates(0.0, 0.0, 0.0, lasted / result["n_images"], *memory)
    table = pd.read_csv(folder / METRICS)
    if table["seconds"].sum() > 1.05 * seconds:  # a resumed run counts its last part alone
        return None
    step = step_seconds(table, int(flags.read_options(folder / "config.yaml")["batch_size"]))
    row = max(0.0, seconds - float(table["seconds"].sum())) / len(table)
    if stage == "pretrain":
        return Rates(max(0.0, lasted - seconds), step, row, 0.0, *memory)
    if not result["n_val"]:  # a trial of a search
        return None
    # The last row of metrics.csv is written just before the last checkpoint, which is gone from a finished run.
    scoring = max(0.0, modification_time(folder / "scores.parquet") - modification_time(folder / METRICS))
    fixed = max(0.0, lasted - seconds - scoring)
    return Rates(fixed, step, row, scoring / int(result["n_val"]), *memory)


def step_seconds(metrics: pd.DataFrame, batch_size: int) -> float:
    """Median over the rows of a training, without the first, which warms up, where there are others."""
    later = metrics.iloc[1:] if len(metrics) > 1 else metrics
    return batch_size / float(later["images_per_second"].median())


def size_mb(folder: Path) -> float:
    """What a folder holds, megabytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def modification_time(path: Path) -> float:
    """When a file was written, seconds since 1970."""
    return path.stat().st_mtime
