"""The runs of a study as jobs of a SLURM cluster: an array for each stage, a report at the end, one script to submit.

Which run is whose turn stands in a list that is named by its content: jobs in the queue keep theirs when the scripts
are written anew.
"""

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compare.estimates.estimate import Estimate
from compare.execution.ledger import Ledger, outcome_file
from compare.study.config import StudyConfig
from compare.study.plan import STAGES, Task
from compare.text import megabytes, text_table
from dermssl.files import short_hash, write_text
from dermssl.wording import counted, duration

LONGEST = 1000  # elements of an array; MaxArraySize of a cluster is 1001 unless somebody has raised it
CPUS = 4  # of a run, where --threads says nothing: one that trains, the others prepare its pictures
SECONDS, MEMORY_MB = 24 * 3600.0, 16_000.0  # of a run of whose kind nothing is known
SLOWER, MORE = 3.0, 1.5  # how much more time and memory than expected is asked for: nodes differ from this machine
SHORTEST = 1800.0  # seconds; libraries load slowly from a busy file system
REPORT = (2 * 3600.0, 8000.0)  # seconds and megabytes of the report

Options = dict[str, str]  # of sbatch, by name without dashes; "" for one without a value


@dataclass(frozen=True)
class Wave:
    """The runs of a stage, or a thousand of them: an array."""

    name: str
    """pretrain, or finetune_2 for the second thousand: a word that the shell takes as a variable."""
    tasks: tuple[Task, ...]
    after: tuple[str, ...]
    """Names of the waves whose end it awaits."""
    seconds: float
    memory_mb: float
    estimated: bool
    """Whether time and memory come from runs of its kinds."""


def unfinished_tasks(ledger: Ledger) -> list[Task]:
    """The runs that are not done. What failed is planned anew, and what jobs left of it is removed.

    A job that is killed at its second attempt then leaves nothing, and not the failure of its first.
    """
    ledger.renew()
    ledger.save(at_once=True)
    tasks = [task for task in ledger.tasks if ledger.state(task.id) != "done"]
    for task in tasks:
        outcome_file(ledger.folder, task.id).unlink(missing_ok=True)
    return tasks


def write_scripts(
    study: StudyConfig, tasks: Sequence[Task], expected: Mapping[str, Estimate], *, gpu: bool
) -> list[Wave]:
    """Writes `slurm/` in the study folder: a script a wave, the report's, and submit.sh, which chains them.

    Args:
        study: Its `jobs` are the elements of an array that run side by side, its `threads` their CPUs, and its
            `memory` theirs where it is given.
        tasks: The runs that are not done, each behind those that it needs.
        expected: What is expected of them, by id.
        gpu: Whether each run asks for a GPU.

    Returns:
        What the arrays are; none where nothing is left, and submit.sh then makes the report alone.
    """
    place, waves = study.folder / "slurm", waves_of(study, tasks, expected)
    for folder in (place / "runs", place / "logs"):  # sbatch fails without a folder to put its logs in
        folder.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.sbatch"):
        old.unlink()
    for wave in waves:
        text = "".join(f"{task.id} {task.name}\n" for task in wave.tasks)
        runs = place / "runs" / f"{wave.name}-{short_hash(text)}.txt"
        write_text(runs, text)
        write_text(place / f"{wave.name}.sbatch", array_script(study, wave, runs, gpu=gpu))
    write_text(place / "report.sbatch", report_script(study))
    write_text(place / "submit.sh", submission(study, waves))
    return waves


def waves_of(study: StudyConfig, tasks_left: Sequence[Task], expected: Mapping[str, Estimate]) -> list[Wave]:
    """The arrays, in the order in which they are submitted; with --jobs each awaits all before it, to keep to them."""
    waves: list[Wave] = []
    for stage in STAGES:
        tasks = [task for task in tasks_left if task.stage == stage]
        for first in range(0, len(tasks), LONGEST):
            part = tuple(tasks[first : first + LONGEST])
            needs = {need for task in part for need in task.needs}
            after = tuple(wave.name for wave in waves if study.jobs or needs & {task.id for task in wave.tasks})
            name = f"{stage}_{first // LONGEST + 1}" if first else stage
            waves.append(Wave(name, part, after, *requested_resources(study, part, expected)))
    return waves


def requested_resources(
    study: StudyConfig, tasks: Sequence[Task], expected: Mapping[str, Estimate]
) -> tuple[float, float, bool]:
    """Seconds and megabytes that the longest and the largest of these runs may take, and whether that is known."""
    estimates = [expected[task.id] for task in tasks if task.id in expected]
    all_estimated = len(estimates) == len(tasks)
    seconds = max(SHORTEST, SLOWER * max(estimate.seconds for estimate in estimates)) if all_estimated else SECONDS
    memories = [estimate.memory_mb for estimate in estimates if estimate.memory_mb is not None]
    memory = MORE * max(memories) if all_estimated and len(memories) == len(estimates) else MEMORY_MB
    return seconds, study.memory * 1000 if study.memory else memory, all_estimated


def array_script(study: StudyConfig, wave: Wave, runs: Path, *, gpu: bool) -> str:
    """The script of an array. It needs nothing of this package to find out whose turn it is."""
    defaults = {
        "array": f"0-{len(wave.tasks) - 1}" + (f"%{study.jobs}" if study.jobs else ""),
        **job_options(study, wave.name, "%A_%a", wave.seconds, wave.memory_mb),
        "cpus-per-task": str(study.threads or CPUS),
        **({"gres": "gpu:1"} if gpu else {}),
    }
    source = (
        f"{SLOWER:g} times the time and {MORE:g} times the memory of runs of these kinds where this was written"
        if wave.estimated
        else f"a guess; python -m compare plan {quoted(study.folder)} times runs of these kinds, then write this anew"
    )
    return f"""\
{sbatch_heading(with_chosen(defaults, study))}
# {counted(len(wave.tasks), "run")} of the study {study.name}, an element each; done ones end at once.
# Time and memory: {source}.
set -euo pipefail

read -r id name < <(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {quoted(runs.absolute())})
echo "$id: $name, on $(hostname)"
export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}" OMP_WAIT_POLICY=passive
{PYTHON} -m compare task {quoted(study.folder)} "$id"
"""


def report_script(study: StudyConfig) -> str:
    """The script of the last job, which takes in what the arrays have left. It asks for no GPU."""
    defaults = {**job_options(study, "report", "report_%j", *REPORT), "cpus-per-task": "1"}
    options = {
        name: value for name, value in with_chosen(defaults, study).items() if not name.startswith(("gres", "gpu"))
    }
    return f"""\
{sbatch_heading(options)}
# The report of the study {study.name}, of whatever is done.
set -euo pipefail

export OMP_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-1}}" OMP_WAIT_POLICY=passive
{PYTHON} -m compare report {quoted(study.folder)}
"""


def submission(study: StudyConfig, waves: Sequence[Wave]) -> str:
    """submit.sh: hands in every script, each to begin when those before it that it needs have ended, well or not."""
    steps = [(wave.name, wave.after, counted(len(wave.tasks), "run")) for wave in waves]
    steps.append(("report", tuple(wave.name for wave in waves), "the tables and the page"))
    lines = []
    for name, after, what in steps:
        ids = "".join(f":${{{wave_name}}}" for wave_name in after)
        awaits = f'--dependency="afterany{ids}" ' if after else ""
        lines.append(f'{name}=$(submit {awaits}{name}.sbatch)\necho "{name}: job ${name}, {what}"')
    return "\n".join([SUBMIT.format(study=study.name, folder=quoted(study.folder)), *lines, ""])


def job_options(study: StudyConfig, name: str, log: str, seconds: float, memory_mb: float) -> Options:
    """What every script asks of sbatch."""
    logs = str((study.folder / "slurm" / "logs").absolute()).replace("%", "%%")  # sbatch fills in %A and the like
    return {
        "job-name": f"{study.name}-{name}",
        "time": clock(seconds),
        "mem": f"{math.ceil(memory_mb / 1000)}G",
        "chdir": str(Path.cwd()),
        "output": f"{logs}/{log}.txt",
        "open-mode": "append",
        "requeue": "",  # a run whose node went goes on from its last checkpoint
    }


def with_chosen(defaults: Options, study: StudyConfig) -> Options:
    """Our options with those of --sbatch in their place; `mem=` leaves ours out."""
    chosen = {name: (equals, value) for name, equals, value in (word.partition("=") for word in study.sbatch)}
    merged = defaults | {name: value for name, (_, value) in chosen.items()}
    left_out = {name for name, (equals, value) in chosen.items() if equals and not value}
    return {name: value for name, value in merged.items() if name not in left_out}


def sbatch_heading(options: Options) -> str:
    """The lines that sbatch reads."""
    words = [f"--{name}={quoted(value)}" if value else f"--{name}" for name, value in options.items()]
    return "\n".join(["#!/bin/bash", *(f"#SBATCH {word}" for word in words), "#"])


def clock(seconds: float) -> str:
    """A time as sbatch takes it, in whole ten minutes: `1-02:30:00` is a day and two and a half hours."""
    minutes = 10 * math.ceil(seconds / 600)
    days, hours = divmod(minutes // 60, 24)
    return (f"{days}-" if days else "") + f"{hours:02}:{minutes % 60:02}:00"


def quoted(word: object) -> str:
    """A word as the shell and sbatch take it, with quotes where it has blanks."""
    return shlex.quote(str(word))


def waves_in_words(waves: Sequence[Wave]) -> str:
    """The arrays in a table."""
    head = ["array", "runs", "time of each", "memory of each", "told by", "after"]
    rows = [
        [wave.name, str(len(wave.tasks)), duration(wave.seconds), megabytes(wave.memory_mb),
         "runs of its kinds" if wave.estimated else "a guess", ", ".join(wave.after)]
        for wave in waves
    ]  # fmt: skip
    return text_table(rows, head, right=[1, 2, 3]) if rows else "  nothing is left but the report"


PYTHON = f'exec "${{DERMSSL_PYTHON:-{sys.executable}}}"'
SUBMIT = """\
#!/bin/bash
# Submits what was left of the study {study} when this was written. Whoever submits it twice gets jobs that end at
# once. What is left after them: python -m compare slurm {folder}, which writes this anew.
set -euo pipefail
cd "$(dirname "${{BASH_SOURCE[0]}}")"

submit() {{  # prints the job's id; a cluster of several adds its own name behind a semicolon
    sbatch --parsable "$@" | cut -d ';' -f 1
}}
"""
