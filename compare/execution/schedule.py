"""The order in which the runs of a study are started, and what follows when one ends.

Why no run is lost: a task leaves the plan only when its outcome is recorded; whatever else happens to it (a failure, a
worker's death, the death of this very process) leaves it planned, here or in the plan.csv that the next command reads.
Why none is done twice: a run's folder is named by its content and held by one process at a time. A task that is started
again finds there what was done of it, and goes on from that.
"""

import math
import time

from compare.execution.execute import Executor
from compare.execution.ledger import Ledger
from compare.execution.study_bar import StudyBar
from compare.study.plan import Outcome, Task, completed_task
from dermssl.errors import UserError
from dermssl.log import say

TURN = 1.0  # seconds after which the clock is looked at though no run has ended
ATTEMPTS, ATTEMPTS_LOST = 2, 3  # of a run that fails by itself; of one whose worker dies


def schedule(ledger: Ledger, executor: Executor, deadline: float = math.inf) -> None:
    """Does every task that is not done, each as soon as what it needs is done and there is room for it.

    A run that fails is tried once more, one whose worker died up to three times in all; then it is recorded, with what
    needs it, and the others go on.

    Args:
        ledger: Of the study, which says what is planned and keeps what became of it.
        executor: Open.
        deadline: Time (`time.time`) from which no run is started; those that run are waited for.
    """
    running, started, late = 0, 0, False
    ledger.slots = executor.slots
    ledger.renew()
    try:
        with StudyBar(ledger) as bar:
            while True:
                late = late or time.time() >= deadline
                begun = 0 if late else start_ready(ledger, executor)
                running, started = running + begun, started + begun
                if not running:
                    break
                bar.show()
                for task, outcome in executor.ended(TURN):
                    running -= 1
                    settle(ledger, task, outcome)
                ledger.save()
        note_ending(ledger, started)
    finally:
        ledger.stopped()


def start_ready(ledger: Ledger, executor: Executor) -> int:
    """Starts the tasks that have all that they need, as long as there is room; returns how many."""
    begun = 0
    for task in ledger.ready():
        if not executor.has_room(task):
            break
        begun += start_task(task, ledger, executor)
    return begun


def settle(ledger: Ledger, task: Task, outcome: Outcome) -> None:
    """Plans a task that has ended once more, or keeps what became of it."""
    if is_retried(outcome, ledger.attempts(task)):
        ledger.again(task, outcome)
    else:
        ledger.ended(task, outcome)


def start_task(task: Task, ledger: Ledger, executor: Executor) -> bool:
    """Gives the task to the executor; one that cannot be put together is recorded as failed."""
    try:
        completed = completed_task(task, ledger.folders)
    except UserError as error:
        ledger.ended(task, Outcome(state="failed", error=str(error)))
        return False
    ledger.began(task)
    executor.start(completed)
    return True


def is_retried(outcome: Outcome, attempts: int) -> bool:
    """Whether a run that ended so, after so many attempts, is started once more."""
    if outcome.state != "failed" or outcome.final:
        return False
    return attempts < (ATTEMPTS_LOST if outcome.lost else ATTEMPTS)


def note_ending(ledger: Ledger, started: int) -> None:
    """Keeps how it ended: with everything done or failed, or with the budget spent."""
    left, failed = ledger.count("planned"), ledger.count("failed")
    if left:
        ledger.note("budget", f"spent; {left} of {len(ledger.tasks)} runs are left")
        say(f"the budget is spent: {left} of {len(ledger.tasks)} runs are left; the same command goes on")
    elif started:
        ledger.note("finished", f"{len(ledger.tasks) - failed} runs done, {failed} failed")
