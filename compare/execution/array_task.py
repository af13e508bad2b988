"""What an element of an array job does: one run of a study, whose outcome it leaves for the ledger to take in."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from compare.execution.execute import Work
from compare.execution.ledger import STAGES, outcome_file, outcome_of, outcome_today, read_outcomes, write_outcome
from compare.execution.schedule import is_retried
from compare.execution.worker import do_task
from compare.study.plan import Outcome, Task, completed_task
from dermssl.errors import UserError
from dermssl.log import say
from dermssl.runs.control_group import usable_cores
from dermssl.runs.seal import broken


def do_array_task(
    folder: Path, tasks: Sequence[Task], run: str, *, trust: bool = False, work: Work = do_task
) -> Outcome:
    """Does a run that is not done yet, once more where it fails by itself, and leaves its outcome in `outcomes/`.

    Beside that file, the log and the run folder it writes nothing, so that elements may go side by side.

    Args:
        folder: Of the study.
        tasks: All of its runs.
        run: The id of the one to do.
        trust: As in `compare.execution.worker.do_task`.
        work: What is done with a task.

    Raises:
        UserError: If the study has no such run.
    """
    by_id = {task.id: task for task in tasks}
    if run not in by_id:
        raise UserError(
            f"{run}: {folder} has no such run, or no longer since its options or images changed; "
            f"write its jobs anew: python -m compare slurm {folder}"
        )
    earlier = latest_outcome(folder, run)
    if earlier.state == "done" and (trust or not broken(Path(earlier.folder))):
        return earlier
    outcome = done_or_failed(by_id[run], folder, {need: by_id[need] for need in by_id[run].needs}, trust, work)
    write_outcome(folder, by_id[run], outcome)
    return outcome


def done_or_failed(task: Task, folder: Path, needs: dict[str, Task], trust: bool, work: Work) -> Outcome:
    """What became of the run, or why it cannot be."""
    outcomes = {need: latest_outcome(folder, need) for need in needs}
    for need, outcome in outcomes.items():
        if outcome.state != "done":
            how = "failed" if outcome.state == "failed" else "did not end"
            return Outcome(state="failed", error=f"its {STAGES[needs[need].stage]} {how}: {needs[need].name}")
    try:
        completed = completed_task(task, {need: Path(outcome.folder) for need, outcome in outcomes.items()})
    except UserError as error:
        return Outcome(state="failed", error=str(error))
    attempts = 1
    while is_retried(outcome := work(completed, folder / "logs" / f"{task.id}.txt", trust=trust), attempts):
        say(f"{task.name}: {outcome.error}; it is started once more")
        attempts += 1
    return replace(outcome, attempts=attempts)


def latest_outcome(folder: Path, run: str) -> Outcome:
    """How a run stands: done, as its own job has left it, else what plan.csv tells."""
    path = outcome_file(folder, run)
    job_outcome = outcome_of(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else Outcome()
    return outcome_today(job_outcome if job_outcome.state == "done" else read_outcomes(folder).get(run, Outcome()))


def available_cpus() -> int:
    """CPUs that this process was given: those of its job, else those that it may run on."""
    allotted = int(os.environ.get("SLURM_CPUS_PER_TASK", "0"))
    return allotted or usable_cores()
