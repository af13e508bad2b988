"""The story of a study, from its grid to its report."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from compare.config import StudyConfig
from compare.execute import execute, pool_of
from compare.plan import STAGES, Outcome, Stage, Task, plan_table, tasks_of
from compare.report import Report, write_report
from dermssl import flags
from dermssl.files import write_json, write_text
from dermssl.manifest import read_manifest, refuse_problems
from dermssl.runs import environment, read_result, write_table
from dermssl.sources import draw_if_absent, labelled, unlabelled


def run(study: StudyConfig) -> Report:
    """Does every run of the study that is not done yet, and writes the report of all of them.

    Killed at any moment, the same command goes on: finished runs are found by their content, unfinished ones continue
    from their last checkpoint.

    Raises:
        UserError: If the options or the data cannot be used; a run that fails is recorded, and the others go on.
    """
    began = time.perf_counter()
    cores, jobs = os.cpu_count() or 1, study.jobs or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    folder = study.out / study.name
    counts = {"pretrain": len(study.encoder) * len(study.method)}
    threads: dict[Stage, int] = {stage: max(1, cores // min(jobs, counts.get(stage, jobs))) for stage in STAGES}
    tasks = tasks_of(study, threads)

    # Images, drawn here so that no two workers draw them, and checked before the first run.
    sources = labelled(study.data), unlabelled(study.unlabelled)
    for source, count, masks in zip(sources, (400, 1000), (True, False), strict=True):
        draw_if_absent(source, count=count, size=192, workers=cores)
        refuse_problems(read_manifest(source.folder), masks=masks)

    # The study folder: what is asked, and a row for every run.
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "study.yaml", flags.as_yaml(study))
    write_json(folder / "environment.json", environment())
    ledger = Ledger(folder / "plan.csv", tasks)
    print(f"study {study.name}: {len(tasks)} runs, {jobs} at a time", flush=True)

    print(f"images: {sources[0].why}; to pretrain on: {sources[1].why}", flush=True)
    clock = {"images": time.perf_counter() - began}

    # The runs, a stage at a time: what is pretrained is what is tuned and probed.
    with pool_of(jobs) as pool:
        for stage in STAGES:
            start = time.perf_counter()
            execute(pool, ledger.ready(stage), ledger.record)
            clock[stage] = time.perf_counter() - start

    # Scores of all images of all runs, and the report.
    start = time.perf_counter()
    scores = gather(tasks, ledger.outcomes)
    (folder / "scores.parquet").unlink(missing_ok=True)  # those of an earlier state of the study
    if len(scores):
        write_table(folder / "scores.parquet", scores)
    report = write_report(folder)
    clock["report"] = time.perf_counter() - start
    print("wall time: " + ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in clock.items())
          + f"; {time.perf_counter() - began:.0f} s in all")  # fmt: skip
    print(f"verdict: {report.sentence}")
    print(f"report:  {report.page}", flush=True)
    return report


class Ledger:
    """The state of every run, kept in plan.csv as it changes."""

    def __init__(self, path: Path, tasks: Sequence[Task]) -> None:
        self.path, self.tasks = path, tasks
        self.outcomes = [Outcome() for _ in tasks]
        self.write()

    def ready(self, stage: Stage) -> list[Task]:
        """The stage's tasks with the encoder that they need; those whose pretraining failed are recorded as failed."""
        encoders = self.encoders()
        tasks = []
        for task in self.tasks:
            if task.stage != stage:
                continue
            if task.pretrained_by is None:
                tasks.append(task)
            elif task.pretrained_by in encoders:
                tasks.append(replace(task, config=replace(task.config, init=str(encoders[task.pretrained_by]))))
            else:
                self.record(task, Outcome(state="failed", error="its pretraining failed"))
        return tasks

    def encoders(self) -> Mapping[tuple[str, str], Path]:
        """The encoder file of every pretraining that is done, by method and encoder."""
        done = [(t, o) for t, o in zip(self.tasks, self.outcomes, strict=True) if t.stage == "pretrain" and o.folder]
        return {(task.method, task.encoder): Path(outcome.folder) / "encoder.safetensors" for task, outcome in done}

    def record(self, task: Task, outcome: Outcome) -> None:
        """Keeps and says what became of a task."""
        index = [other.name for other in self.tasks].index(task.name)
        self.outcomes[index] = outcome
        self.write()
        done = sum(outcome.state in ("done", "failed") for outcome in self.outcomes)
        result = read_result(Path(outcome.folder)) if outcome.folder else None
        found = f", mean IoU {result['jaccard']:.3f}" if result and "jaccard" in result else ""
        error = f": {outcome.error}" if outcome.error else ""
        print(f"[{done:>{len(str(len(self.tasks)))}}/{len(self.tasks)}] {task.name}: {outcome.state}{error}{found}"
              f" ({outcome.seconds or 0:.0f} s)", flush=True)  # fmt: skip

    def write(self) -> None:
        """Writes plan.csv."""
        write_table(self.path, plan_table(self.tasks, self.outcomes))


def gather(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """Scores of every image of every finished run, with the factors of the run beside them."""
    tables = []
    for task, outcome in zip(tasks, outcomes, strict=True):
        path = Path(outcome.folder) / "scores.parquet"
        if task.stage != "finetune" or outcome.state != "done":
            continue
        factors = {
            name: getattr(task, name) for name in ("init", "method", "encoder", "decoder", "label_fraction", "seed")
        }
        tables.append(pd.read_parquet(path).assign(run=Path(outcome.folder).name, **factors))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
