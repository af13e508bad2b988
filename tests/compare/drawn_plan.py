"""Studies whose runs were never done: plan.csv and run folders as a study leaves them, drawn from nothing."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from compare.execution.ledger import plan_table
from compare.execution.worker import utc
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task, tasks_of
from dermssl import flags
from dermssl.runs.folder import write_table
from dermssl.runs.seal import RESULT, seal


def small_study(place: Path, **more: Any) -> StudyConfig:
    """A pretraining and four fine-tunings: two inits, two seeds."""
    given: dict[str, Any] = {
        "name": "small", "init": ("ssl", "random"), "contrast": ("ssl", "random"), "decoder": ("unet",),
        "label_fraction": (1.0,), "out": place / "studies", "runs": place / "runs",
    }  # fmt: skip
    return StudyConfig(**(given | more))


def write_plan(study: StudyConfig, outcomes: Mapping[str, Outcome]) -> list[Task]:
    """plan.csv and study.yaml with these outcomes by task name; the other runs are planned. Returns the tasks."""
    tasks = tasks_of(study, 1)
    study.folder.mkdir(parents=True, exist_ok=True)
    flags.write_options(study, study.folder / "study.yaml")
    known = {task.id: outcomes.get(task.name, Outcome()) for task in tasks}
    write_table(study.folder / "plan.csv", plan_table(tasks, known))
    return tasks


def draw_run(study: StudyConfig, task: Task, rows: int = 3, result: Mapping[str, object] | None = None) -> Path:
    """A run folder with `rows` of 10 rows done; finished and sealed where there is a result."""
    folder = study.runs / task.stage / f"run-{task.id}"
    (folder / "checkpoints").mkdir(parents=True)
    init = str(study.runs / "pretrain" / "simclr-imagenet-0" / "encoder.safetensors")
    bound = (
        replace(task.config, init=init) if task.factors["init"] == "ssl" and task.stage != "pretrain" else task.config
    )
    flags.write_options(bound, folder / "config.yaml")
    (folder / "environment.json").write_text(json.dumps({"commit": "1a2b3c4d5e6f"}))
    lines = ["images: 9 to train and 3 held out, from a drawn set", "split: hold-out of 25%, together by lesion, abc"]
    lines += [f"epoch {i + 1:>2}/10  loss 0.5  40 images/s" for i in range(rows)]
    (folder / "log.txt").write_text("\n".join(lines) + "\n")
    table = pd.DataFrame({"epoch": range(rows), "loss": [1 / (i + 1) for i in range(rows)], "images_per_second": 40.0})
    write_table(folder / "metrics.csv", table)
    if result is not None:
        text = json.dumps(result).encode()
        seal(folder, text)
        (folder / RESULT).write_bytes(text)
    return folder


def running(folder: Path | None = None) -> Outcome:
    """A run that was begun a minute ago."""
    return Outcome(state="running", attempts=1, host="node7", started=utc(time.time() - 60), folder=str(folder or ""))
