"""The doctor of this machine: what it looks at, in which order, and how it is told."""

import json
import platform
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

import dermssl
from dermssl.doctor.disks import examine_folders, examine_home, examine_room, examine_speed
from dermssl.doctor.graphics import examine_gpus
from dermssl.doctor.letters import examine_letters
from dermssl.doctor.libraries import examine_libraries, versions_found
from dermssl.doctor.memory import examine_limits, examine_memory, examine_shared_memory
from dermssl.doctor.network import examine_hub, examine_proxies
from dermssl.doctor.observation import Examination, Observation, observations
from dermssl.doctor.packages import (
    examine_albumentations,
    examine_opencv,
    examine_packages,
    examine_pair,
    examine_python,
    examine_shadows,
)
from dermssl.doctor.processors import examine_cores, examine_instructions, examine_load
from dermssl.doctor.supplies import examine_encoders, examine_images, examine_weights
from dermssl.doctor.versions import installed_version, own_requirements
from dermssl.errors import UserError, shown
from dermssl.wording import counted, spelling_hint

PROG = "python -m dermssl doctor"
USAGE = f"""usage: {PROG} [--quick] [--json] [--help]

Look at this machine and this installation, and say what would stop a command: a line for each thing, good, note or
fault, and below it what to type. Exit code 1 where there is a fault, else 0. Nothing is changed, and of what is
written to time a disk nothing is left. It takes about half a minute, most of which libraries take to be imported.

options:
  --quick     leave out what takes the disk's time and the network: the speed of writing, and the hub
  --json      print a table for programs: state, findings (check, state, text, remedy), versions
  --help      show this

examples:
  {PROG}
  {PROG} --quick
  {PROG} --json > doctor.json"""
OPTIONS = ("--quick", "--json", "--help")
BRIEF, LONG = 30.0, 150.0  # seconds that an examination may take until its next answer


class Visit(NamedTuple):
    """One thing that is looked at."""

    check: str
    examine: Examination
    seconds: float = BRIEF
    costly: bool = False
    """Left out by --quick."""


VISITS = (
    Visit("python", examine_python), Visit("packages", examine_packages), Visit("torch", examine_pair),
    Visit("albumentations", examine_albumentations), Visit("opencv", examine_opencv),
    Visit("shadows", examine_shadows), Visit("libraries", examine_libraries, LONG), Visit("gpu", examine_gpus, LONG),
    Visit("cores", examine_cores), Visit("cpu", examine_instructions), Visit("load", examine_load),
    Visit("memory", examine_memory), Visit("limits", examine_limits), Visit("shared", examine_shared_memory),
    Visit("folders", examine_folders), Visit("home", examine_home), Visit("disk", examine_room),
    Visit("speed", examine_speed, costly=True), Visit("images", examine_images, LONG),
    Visit("encoders", examine_encoders), Visit("weights", examine_weights), Visit("letters", examine_letters),
    Visit("proxy", examine_proxies), Visit("hub", examine_hub, costly=True),
)  # fmt: skip


def run(words: Sequence[str]) -> int:
    """Looks at everything and tells it; returns the exit code: 1 where there is a fault."""
    for word in words:
        if word not in (*OPTIONS, "-h"):
            raise UserError(f"{PROG} has no option {shown(word)}{spelling_hint(word, OPTIONS)}; --help shows them")
    if "--help" in words or "-h" in words:
        print(USAGE)
        return 0
    told: list[Observation] = []
    for observation in everything(quick="--quick" in words):
        told.append(observation)
        if "--json" not in words:
            print(in_lines(observation), flush=True)
    print(told_as_json(told) if "--json" in words else conclusion(told))
    return 1 if any(observation.state == "fault" for observation in told) else 0


def everything(*, quick: bool) -> Iterator[Observation]:
    """All that is seen, one after another."""
    for visit in VISITS:
        if not (quick and visit.costly):
            yield from observations(visit.check, visit.examine, visit.seconds)


def in_lines(observation: Observation) -> str:
    """An observation as it is printed: its state, what was looked at, the sentence, and what to type below it."""
    margin = " " * 22
    width = max(60, min(shutil.get_terminal_size((120, 24)).columns, 120))
    head = f"{observation.state:<7}{observation.check[:14]:<15}"
    lines = textwrap.fill(
        observation.text,
        width,
        initial_indent=head,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return f"{lines}\n{margin}-> {observation.remedy}" if observation.remedy else lines


def conclusion(told: Sequence[Observation]) -> str:
    """The last lines: how many of each, and what to do next."""
    counts = Counter(observation.state for observation in told)
    numbers = f"{counts['good']} good, {counted(counts['note'], 'note')}, {counted(counts['fault'], 'fault')}"
    if counts["fault"]:
        following = f"Mend the faults from the top, for the first is often the cause of others; then: {PROG}"
    else:
        following = "Nothing here would stop a command. A first try: python -m pretrain --method simclr"
    return f"\n{numbers}. {following}"


def told_as_json(told: Sequence[Observation]) -> str:
    """The same for programs."""
    states = {observation.state for observation in told}
    worst = next(state for state in ("fault", "note", "good") if state in states)
    names = [requirement.name for requirement in own_requirements()]
    versions = {"dermssl": dermssl.__version__, "python": platform.python_version(), "platform": platform.platform()}
    versions |= {name: installed_version(name) for name in names} | versions_found()
    return json.dumps({"state": worst, "findings": [asdict(one) for one in told], "versions": versions}, indent=2)
