"""The story of a study, from its grid to its report."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from compare.estimates.estimate import Estimate, estimates
from compare.estimates.work import Workload
from compare.execution.execute import Executor
from compare.execution.ledger import Ledger, locked_study
from compare.execution.local import LocalExecutor, slots_of, visible_gpus
from compare.execution.schedule import schedule
from compare.forecast.forecast import done_already
from compare.forecast.preflight import refuse_what_would_stop
from compare.page.report import Report, write_report
from compare.records.run_files import is_kept
from compare.study.config import StudyConfig
from compare.study.images import StudyImages, study_images
from compare.study.plan import Outcome, Task, tasks_of
from compare.study.study_file import refuse_another_study, write_study_file
from dermssl.errors import UserError
from dermssl.files import write_json
from dermssl.log import say
from dermssl.places import try_places
from dermssl.runs.control_group import usable_cores
from dermssl.runs.environment import environment
from dermssl.runs.folder import read_result, write_table


@dataclass(frozen=True)
class PlannedStudy:
    """A study that may begin: its images are there and every one of its runs can be done."""

    study: StudyConfig
    images: StudyImages
    tasks: list[Task]
    slots: int
    threads: int
    """CPU threads of each run."""


def run(study: StudyConfig) -> Report:
    """Does every run of the study that is not done yet, and writes the report of all of them.

    Killed at any moment, the same command goes on: finished runs are found by their content, unfinished ones continue
    from their last checkpoint.

    Raises:
        UserError: If the options or the data cannot be used; a run that fails is recorded, and the others go on.
    """
    began = time.time()
    planned = prepared_study(study)
    with locked_study(study.folder):
        # The study folder: what is asked, and a row for every run.
        ledger = opened_ledger(planned)
        done = len(done_already(study, planned.tasks))  # here or in another study, whose runs are found in their turn
        say(f"study {study.name}: {len(planned.tasks)} runs, {done} of them done already")
        say(str(planned.images))

        # The runs, each as soon as what it needs is there.
        expected = expectations(planned)
        ledger.expected = {task: estimate.seconds for task, estimate in expected.items()}
        with executor_of(planned, expected) as executor:
            say(f"runs side by side: {executor.slots}, threads of each: {planned.threads}")
            schedule(ledger, executor, began + 3600 * study.budget if study.budget else math.inf)

        # Scores of all images of all runs, and the report.
        report = conclude(study, ledger)
    minutes = (time.time() - began) / 60
    say(f"wall time: {minutes:.1f} min\nverdict: {report.sentence}\nreport:  {report.page}")
    return report


def prepared_study(study: StudyConfig) -> PlannedStudy:
    """Finds the images, makes the plan, and stops at whatever would stop one of its runs.

    Raises:
        UserError: With all that is wrong, before anything is trained.
    """
    try_places({}, folders={"--out": study.folder, "--runs": study.runs})
    planned = planned_study(study)
    refuse_what_would_stop(study, planned.images, planned.tasks)
    return planned


def planned_study(study: StudyConfig) -> PlannedStudy:
    """Finds the images and makes the plan; a report asks for no more, not for weights that only a run needs.

    Raises:
        UserError: If the folder holds another study, the images cannot be used, or levels do not go together.
    """
    try_places(
        {
            "--data": study.data, "--unlabelled": study.unlabelled, "--masks": study.masks,
            "--pretrain": study.pretrain, "--finetune": study.finetune, "--probe": study.probe, "--out": study.folder,
        }
    )  # fmt: skip
    refuse_another_study(study)
    if is_kept(study.folder):
        raise UserError(
            f"{study.folder}: holds what was kept of a study, and no runs; `python -m compare report {study.folder}` "
            "reads it, and another --out runs it anew"
        )
    cores = usable_cores()
    slots = slots_of(study.jobs, visible_gpus(), study.per_gpu)
    threads = study.threads or (1 if study.executor == "ray" else max(1, cores // slots))
    images = study_images(study, cores)
    try:
        tasks = tasks_of(study, threads, images)
    except ValueError as error:  # of levels that do not go together
        raise UserError(str(error)) from error
    return PlannedStudy(study, images, tasks, slots, threads)


def opened_ledger(planned: PlannedStudy) -> Ledger:
    """Writes what is asked into the study folder, which must be held, and takes up what is done."""
    study = planned.study
    changes = write_study_file(study)
    write_json(study.folder / "environment.json", environment())
    ledger = Ledger(study.folder, planned.tasks, trust=study.trust)
    if changes:
        ledger.note("changed", changes)
    return ledger


def expectations(planned: PlannedStudy) -> dict[str, Estimate]:
    """What finished runs tell of the runs to come, by task id; none is made for it."""
    images = Workload(planned.study, planned.images)
    return estimates(replace(planned.study, timed=False), planned.tasks, images)


def executor_of(planned: PlannedStudy, expected: Mapping[str, Estimate]) -> Executor:
    """Where the runs are done; none is started where what finished runs of its kind held is not free."""
    study, folder = planned.study, planned.study.folder
    memory = {task: (estimate.memory_mb or 0.0) / 1000 for task, estimate in expected.items()}
    if study.executor == "ray":
        from compare.execution.ray_cluster import RayExecutor  # a library that a single machine does not need

        return RayExecutor(study.address, folder, jobs=study.jobs, threads=planned.threads, per_gpu=study.per_gpu,
                           expected=memory, trust=study.trust)  # fmt: skip
    return LocalExecutor(study.jobs, gpus=visible_gpus(), per_gpu=study.per_gpu, memory=study.memory,
                         expected=memory, logs=folder / "logs", trust=study.trust)  # fmt: skip


def conclude(study: StudyConfig, ledger: Ledger) -> Report:
    """Gathers the scores of what is done, and writes the report."""
    scores = gathered_scores(ledger.tasks, ledger.outcomes)
    path = study.folder / "scores.parquet"
    if len(scores):
        write_table(path, scores)
    else:
        path.unlink(missing_ok=True)  # those of an earlier state of the study
    return write_report(study.folder)


def gathered_scores(tasks: Sequence[Task], outcomes: Mapping[str, Outcome]) -> pd.DataFrame:
    """Scores of every image of every finished fine-tuning, with the factors of the run beside them."""
    tables = []
    for task in tasks:
        outcome = outcomes[task.id]
        if task.stage == "finetune" and outcome.state == "done":
            folder = Path(outcome.folder)
            rate = (read_result(folder) or {}).get("lr")  # that of the search, where one was made
            factors: dict[str, Any] = {**task.factors, "lr": rate}
            tables.append(pd.read_parquet(folder / "scores.parquet").assign(run=folder.name, **factors))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
