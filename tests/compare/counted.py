"""Runs that only count, with checkpoints: what executors and schedules are tried with. Workers import this module."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from compare.execution.worker import printing_to
from compare.study.factors import FACTORS
from compare.study.plan import Outcome, Stage, Task
from dermssl.errors import UserError
from dermssl.files import short_hash
from dermssl.runs.folder import Run, locked_run, read_result
from finetune.options.config import FinetuneConfig

STEPS = 4


def counting(out: Path, seed: int, does: str = "counts", needs: Sequence[Task] = (), stage: Stage = "finetune") -> Task:
    """A run that counts to STEPS; in its name stands what else it does."""
    name = f"{stage}, {does}, seed {seed}"
    return Task(
        id=short_hash(name),
        stage=stage,
        name=name,
        factors=dict.fromkeys(FACTORS) | {"init": "random", "decoder": "unet", "label_fraction": 1.0, "seed": seed},
        config=FinetuneConfig(seed=seed, out=out),
        needs=tuple(need.id for need in needs),
    )


def count(task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
    """Goes on counting where the run folder says that it was."""
    folder = task.config.out / f"run-{task.id}"
    folder.mkdir(parents=True, exist_ok=True)
    with printing_to(log, task.name), locked_run(folder, wait=True):
        first = not (folder / "begun").exists()
        (folder / "begun").touch()
        try:
            if read_result(folder) is None:
                misbehave(task.name.split(", ")[1], first)
                for step in range(len(steps_of(folder)), STEPS):
                    time.sleep(0.01)
                    with (folder / "steps").open("a") as steps:
                        steps.write(f"{step}\n")
                (folder / "encoder.safetensors").write_bytes(b"")
                Run(folder).finish({"jaccard": task.config.seed / 100, "seconds": 1.0, "memory_mb": 2.0})
        except (UserError, RuntimeError) as error:
            return Outcome(state="failed", error=str(error), final=isinstance(error, UserError))
    return Outcome(state="done", folder=str(folder), seconds=0.5, memory_mb=2.0)


def misbehave(how: str, first: bool) -> None:
    """Fails, dies or grows as the word says."""
    if how == "fails" or (how == "fails once" and first):
        raise RuntimeError("loss is nan")
    if how == "refuses":
        raise UserError("no such encoder")
    if how == "dies" or (how == "dies once" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hogs":
        hoard = bytearray(400_000_000)
        hoard[::4096] = b"x" * len(hoard[::4096])  # pages that are touched are held
        time.sleep(60)
    if how == "sleeps":
        time.sleep(60)


def steps_of(folder: Path) -> list[int]:
    """Steps that were done, in their order; 0, 1, 2, 3 of a run of which nothing was lost or done twice."""
    path = folder / "steps"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def assert_each_done_once(out: Path, tasks: Sequence[Task]) -> None:
    """Every task has one run folder with a result, and every step was done once."""
    folders = sorted(out.iterdir())
    assert folders == sorted(out / f"run-{task.id}" for task in tasks)
    assert [steps_of(folder) for folder in folders] == [list(range(STEPS))] * len(tasks)
    assert None not in map(read_result, folders)
