"""What each command of `python -m compare` does with its study.

Each imports what it needs when it is asked for: a look at the state of a study waits for no library that trains.
"""

import time

from compare.command_line import Command
from compare.forecast.weights import refuse_unreachable
from dermssl.errors import UserError


def plan(asked: Command) -> None:
    """Says what the study consists of, what it costs and what it could find; nothing is trained but a few steps."""
    began = time.monotonic()
    refuse_unreachable(asked.study)
    from compare.forecast.forecast import forecast
    from compare.run import prepared

    planned = prepared(asked.study)
    print(planned.ground)
    print(forecast(asked.study, planned.tasks, planned.slots, before=time.monotonic() - began))
    print(f"\nnext:    {' '.join(['python -m compare run', asked.typed]).strip()}", flush=True)


def run(asked: Command) -> None:
    """Does every run that is not done yet, and writes the report."""
    refuse_unreachable(asked.study)
    from compare.run import run as run_study
    from dermssl.runs.folder import closing

    made = run_study(asked.study)
    print(closing(made.page.parent, f"python -m compare show RUN --out {asked.study.out}"), flush=True)


def status(asked: Command) -> None:
    """Shows how far the study is."""
    from compare.status.status import show_status

    show_status(asked.study.folder, once=asked.study.once)


def report(asked: Command) -> None:
    """Writes the report of what is there; runs that cluster jobs have done are taken in."""
    from compare.execution.ledger import Ledger, hold
    from compare.run import conclude, planned_of

    planned = planned_of(asked.study)
    with hold(asked.study.folder):
        ledger = Ledger(asked.study.folder, planned.tasks, trust=asked.study.trust)
        made = conclude(asked.study, ledger)
    print(f"verdict: {made.sentence}\nreport:  {made.page}", flush=True)


def show(asked: Command) -> None:
    """Explains one run."""
    from compare.status.show import explain

    print(explain(asked.run, asked.study), flush=True)


def clean(asked: Command) -> None:
    """Removes failed runs, and with --changed those whose files were changed."""
    from compare.status.clean import clean as clean_study

    clean_study(asked.study)


def slurm(asked: Command) -> None:
    """Writes array jobs for a SLURM cluster that do what is not done yet; what failed is planned anew."""
    refuse_unreachable(asked.study)
    from dataclasses import replace

    from compare.estimates.estimate import estimates
    from compare.estimates.work import Images
    from compare.execution.ledger import hold
    from compare.execution.local import visible_gpus
    from compare.execution.slurm import left_to_do, waves_said, write_scripts
    from compare.run import opened, prepared
    from dermssl.runs.folder import closing

    study = asked.study
    planned = prepared(study)
    with hold(study.folder):
        ledger = opened(planned)
        left = left_to_do(ledger)
        known = estimates(replace(study, timed=False), left, Images(study))
        waves = write_scripts(study, left, known, gpu=bool(visible_gpus()))
    print(f"study {study.name}: {len(planned.tasks)} runs, {ledger.count('done')} of them done\n{waves_said(waves)}")
    place = study.folder / "slurm"
    print(closing(place, f"bash {place / 'submit.sh'}"), flush=True)


def task(asked: Command) -> None:
    """Does one run of a study, as the array jobs do: it plans, and leaves the checks of the whole study to `slurm`."""
    from compare.execution.array_task import cores, element
    from compare.study.images import ground_of
    from compare.study.plan import tasks_of

    study, threads = asked.study, asked.study.threads or cores()
    tasks = tasks_of(study, threads, ground_of(study, threads).hash)
    outcome = element(study.folder, tasks, asked.run, trust=study.trust)
    if outcome.state == "failed":
        raise UserError(f"{asked.run}: {outcome.error}")
    print(f"{asked.run}: done, {outcome.folder} ({outcome.seconds or 0:.0f} s)", flush=True)
