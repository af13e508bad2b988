"""What each command of `python -m compare` does with its study.

Each imports what it needs when it is asked for: a look at the state of a study waits for no library that trains.
"""

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from compare.command_line import StudyCommand
from compare.forecast.weights import refuse_unreachable
from compare.study.config import StudyConfig
from dermssl.errors import UserError

if TYPE_CHECKING:
    from compare.page.report import Report


def plan_command(command: StudyCommand) -> None:
    """Says what the study consists of, what it costs and what it could find; nothing is trained but a few steps."""
    began = time.monotonic()
    refuse_unreachable(command.study)
    from compare.estimates.work import Workload
    from compare.forecast.forecast import forecast
    from compare.run import prepared_study

    planned = prepared_study(command.study)
    print(planned.images)
    images = Workload(command.study, planned.images)
    print(forecast(images, planned.tasks, planned.slots, before=time.monotonic() - began))
    page = command.study.folder / "report.html"
    opening = page if page.is_file() else f"nothing yet; {page} is what `run` writes"
    print(f"\nopen:    {opening}\nnext:    {' '.join(['python -m compare run', command.typed]).strip()}", flush=True)


def run_command(command: StudyCommand) -> None:
    """Does every run that is not done yet, and writes the report."""
    print(f"study {command.study.name}: looking at its images and at what its runs need", flush=True)
    refuse_unreachable(command.study)
    from compare.run import run as run_study
    from dermssl.runs.folder import closing

    report = run_study(command.study)
    print(closing(report.page.parent, next_look(report.page, command.study)), flush=True)


def next_look(page: Path, study: StudyConfig) -> str:
    """The command that explains the best run of the study; of one without any score, where its report is."""
    from compare.figures.best_run import best_run
    from compare.records.study import read_study

    run = best_run(read_study(study.folder))
    if run is None:
        return f"open {page}"
    elsewhere = [] if study.out == StudyConfig.out else ["--out", str(study.out)]
    return shlex.join(["python", "-m", "compare", "show", str(run["id"]), *elsewhere])


def status_command(command: StudyCommand) -> None:
    """Shows how far the study is."""
    from compare.status.status import show_status

    show_status(command.study.folder, once=command.study.once)


def report_command(command: StudyCommand) -> None:
    """Writes the report of what is there; runs that cluster jobs have done are taken in."""
    from compare.page.report import write_report
    from compare.records.run_files import is_kept

    if is_kept(command.study.folder):
        print_report(write_report(command.study.folder))
        return
    from compare.execution.ledger import Ledger, locked_study
    from compare.run import conclude, planned_study

    planned = planned_study(command.study)
    with locked_study(command.study.folder):
        ledger = Ledger(command.study.folder, planned.tasks, trust=command.study.trust)
        report = conclude(command.study, ledger)
    print_report(report)


def print_report(report: "Report") -> None:
    """The verdict, and where the page is."""
    print(f"verdict: {report.sentence}\nreport:  {report.page}", flush=True)


def keep_command(command: StudyCommand) -> None:
    """Keeps the scores and facts of what is done, without weights, pictures and masks."""
    from compare.records.kept import keep_study
    from compare.records.study import read_study
    from compare.tables.all_tables import all_tables
    from compare.tables.subgroups import subgroups_of
    from dermssl.runs.folder import closing

    study, place = read_study(command.study.folder), command.study.kept / command.study.folder.name
    keep_study(study, all_tables(study), subgroups_of(study), place)
    print(closing(place, shlex.join(["python", "-m", "compare", "report", str(place)])), flush=True)


def show_command(command: StudyCommand) -> None:
    """Explains one run."""
    from compare.status.show import explain_run

    print(explain_run(command.run, command.study), flush=True)


def clean_command(command: StudyCommand) -> None:
    """Removes failed runs, and with --changed those whose files were changed."""
    from compare.status.removal import remove_failed_runs as clean_study

    clean_study(command.study)


def slurm_command(command: StudyCommand) -> None:
    """Writes array jobs for a SLURM cluster that do what is not done yet; what failed is planned anew."""
    refuse_unreachable(command.study)
    from dataclasses import replace

    from compare.estimates.estimate import estimates
    from compare.estimates.work import Workload
    from compare.execution.ledger import locked_study
    from compare.execution.local import visible_gpus
    from compare.execution.slurm import unfinished_tasks, waves_in_words, write_scripts
    from compare.run import opened_ledger, prepared_study
    from dermssl.runs.folder import closing

    study = command.study
    planned = prepared_study(study)
    with locked_study(study.folder):
        ledger = opened_ledger(planned)
        tasks_left = unfinished_tasks(ledger)
        expected = estimates(replace(study, timed=False), tasks_left, Workload(study, planned.images))
        waves = write_scripts(study, tasks_left, expected, gpu=bool(visible_gpus()))
    print(
        f"study {study.name}: {len(planned.tasks)} runs, {ledger.count('done')} of them done\n{waves_in_words(waves)}"
    )
    place = study.folder / "slurm"
    print(closing(place, f"bash {place / 'submit.sh'}"), flush=True)


def task_command(command: StudyCommand) -> None:
    """Does one run of a study, as the array jobs do: it plans, and leaves the checks of the whole study to `slurm`."""
    from compare.execution.array_task import available_cpus, do_array_task
    from compare.study.images import study_images
    from compare.study.plan import tasks_of

    study, threads = command.study, command.study.threads or available_cpus()
    tasks = tasks_of(study, threads, study_images(study, threads))
    outcome = do_array_task(study.folder, tasks, command.run, trust=study.trust)
    if outcome.state == "failed":
        raise UserError(f"{command.run}: {outcome.error}")
    print(f"{command.run}: done, {outcome.folder} ({outcome.seconds or 0:.0f} s)", flush=True)


DEEDS: dict[str, Callable[[StudyCommand], None]] = {
    "plan": plan_command,
    "run": run_command,
    "status": status_command,
    "report": report_command,
    "keep": keep_command,
    "show": show_command,
    "clean": clean_command,
    "slurm": slurm_command,
    "task": task_command,
}
"""What does each command of `compare.command_line.COMMANDS`, by its name."""
