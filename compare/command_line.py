"""What was typed after `python -m compare`: a command, the study that it is about, and flags."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from compare.study.config import StudyConfig
from compare.study.study_file import options_file
from dermssl.data.sources import labelled_source
from dermssl.errors import UserError, shown
from dermssl.flags import parse, split_flags
from dermssl.shipped import CONFIGS
from dermssl.wording import spelling_hint

COMMANDS = {
    "plan": "say what the study consists of, what it costs and what it could find",
    "run": "do every run that is not done yet, and write the report",
    "status": "show how far the study is",
    "report": "write the report of the runs that are done",
    "keep": "keep scores and facts of what is done in a small folder, to publish and to read again",
    "show": "explain one run",
    "clean": "remove failed runs",
    "slurm": "write array jobs for a SLURM cluster",
    "task": "do one run, as the array jobs do",
}
ABOUT = {"show": 1, "task": 2}  # words behind the command, the last of which names a run
AFTERWARDS = frozenset({"status", "report", "keep", "clean"})
"""Commands about what was run, as it was run."""
PROG = "python -m compare"


@dataclass(frozen=True)
class StudyCommand:
    """A command with its study, and for `show` and `task` the run that it is about."""

    name: str
    study: StudyConfig
    run: str = ""
    typed: str = ""
    """The study with its flags, as a shell takes them."""


def parsed_command(words: Sequence[str]) -> StudyCommand:
    """The command that the words are; without one it is `run`, and without a study the demo on the synthetic set.

    Raises:
        UserError: For an unknown command or study, a wrong option, or words that are too many.
    """
    named, flags = words_and_flags(words)
    name = named.pop(0) if named else "run"
    if name not in COMMANDS:
        commands = "; ".join(f"{command}: {does}" for command, does in COMMANDS.items())
        raise UserError(
            f"{shown(name)} is no command of {PROG}{spelling_hint(name, COMMANDS) or f'; there are {commands}'}"
        )
    about = named.pop() if len(named) == ABOUT.get(name) else ""
    if len(named) > 1 or (name in ABOUT and not about):
        raise UserError(f"{PROG} {usage_of(name)}; got {shown(' '.join(words))}")
    study = study_options(named, flags, was_run=name in AFTERWARDS)
    return StudyCommand(name, study, about, shlex.join([*named, *flags]))


def study_options(named: Sequence[str], flags: list[str], was_run: bool = False) -> StudyConfig:
    """The options of the study that is named, by a word or by --config; of one that `was_run`, as it was run."""
    prog = f"{PROG} [{'|'.join(COMMANDS)}] STUDY"
    given = split_flags(flags)
    if not named:
        quick = CONFIGS / "compare" / "demo.yaml" if labelled_source(None).synthetic and "config" not in given else None
        return parse(StudyConfig, prog, flags, quick=quick)
    if "config" in given:
        raise UserError(f"{named[0]} and --config both name a study; leave one of them out")
    out = parse(StudyConfig, prog, [*flags]).out if "out" in given else StudyConfig.out
    path = options_file(named[0], out, was_run)
    moved = path.name == "study.yaml" and (path.parent / "plan.csv").is_file() and "out" not in given
    place = [f"--out={study_folder_of(path).parent}", f"--name={study_folder_of(path).name}"] if moved else []
    return parse(StudyConfig, prog, [f"--config={path}", *flags, *place])


def study_folder_of(path: Path) -> Path:
    """The folder that a file lies in, under its own name: of `study.yaml` and `../study.yaml` too."""
    return path.parent if path.parent.name not in ("", "..") else path.parent.resolve()


def words_and_flags(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before the first flag, and the rest."""
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    return list(words[:first]), list(words[first:])


def usage_of(name: str) -> str:
    """How a command is written."""
    return {
        "show": "show RUN explains one run; RUN is its folder, its hash, its id, or its name in a study",
        "task": "task STUDY ID does one run of a study; ID is its id in the study's plan.csv",
    }.get(name, f"{name} takes one STUDY: a YAML file, a study folder, or a name in configs/compare")
