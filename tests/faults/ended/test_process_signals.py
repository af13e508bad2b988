"""Signals to true commands and all that they started, as schedulers send them; then what they say to type is typed."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from faults.drawn_set import draw_set
from faults.ended.commands import TINY, study_in
from faults.tally import Tally, generator, tallied, trials

from dermssl import flags
from dermssl.signals import ASKING

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0  # seconds until a command is at work
PROMPT = 10.0  # seconds in which it has to end


@dataclass(frozen=True)
class Typed:
    """A command, and what there is once it is at work."""

    words: str
    at_work: str
    """Files below the folder that it works in."""
    prog: str


def typed_commands(place: Path, data: Path) -> list[Typed]:
    """With a process that loads pictures, or two slots, where a command has such."""
    few = {**TINY, "data": data, "out": place / "runs", "batch_size": 4}
    train = {**few, "workers": 1}
    epochs = {**train, "method": "simclr", "epochs": 12, "precision": "32-true", "checkpoints": place / "checkpoints"}
    steps = {**train, "steps": 60, "val_fraction": 0.25}
    study = place / "study.yaml"
    place.mkdir(exist_ok=True)
    flags.write_options(study_in(place, data), study)
    return [
        Typed(f"pretrain {as_flags(epochs)}", "runs/*/metrics.csv", "python -m pretrain"),
        Typed(f"finetune {as_flags(steps)}", "runs/*/metrics.csv", "python -m finetune"),
        Typed(f"compare run {study}", "studies/*/logs/*.txt", "python -m compare"),
    ]


def as_flags(options: dict[str, object]) -> str:
    return " ".join(f"--{name} {value}" for name, value in options.items())


def begin(words: str, place: Path, said: Path) -> subprocess.Popen[bytes]:
    """The command in a group of its own, as a shell starts it."""
    surroundings = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DERMSSL_CACHE": str(place / "cache")}
    with said.open("a") as stream:
        return subprocess.Popen([sys.executable, "-m", *shlex.split(words)], stdout=stream, stderr=stream,
                                env=surroundings, start_new_session=True)  # fmt: skip


def waited_for(there: Callable[[], bool], process: subprocess.Popen[bytes]) -> bool:
    """Waits until there is something, the process has ended, or patience has."""
    until = time.monotonic() + PATIENCE
    while not there() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    return there()


def group_is_gone(group: int) -> bool:
    """Whether no process of the group lives; the last ones get a moment."""
    until = time.monotonic() + PROMPT
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def try_signal(command: Typed, place: Path, draw: np.random.Generator, tally: Tally) -> None:
    """Sends a signal to the whole group at a moment of the work, and types what the command says."""
    number, said = ASKING[int(draw.integers(len(ASKING)))], place.with_name(f"{place.name}.txt")
    process = begin(command.words, place, said)
    at_work = waited_for(lambda: any(place.glob(command.at_work)), process)
    time.sleep(draw.uniform(0, 1.5))
    if process.poll() is None:
        os.killpg(process.pid, number)
    try:
        code = process.wait(PROMPT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    words, told = f"{command.prog}, {number.name}", said.read_text()
    if code == 0:
        tally.right += 1
        return
    if not at_work or code != 128 + number or "resource_tracker" in told or "Traceback" in told:
        tally.wrong.append(f"{words}: exit code {code}, {told[-400:]}")
        return
    if not group_is_gone(process.pid):
        tally.wrong.append(f"{words}: left processes behind")
        return
    last = told.strip().splitlines()[-1]
    tally.told(last, f"{command.prog}: stopped by {number.name}", f"go on with: {command.prog} ")
    following = last.partition("go on with: python -m ")[2]
    if begin(following, place, said).wait() == 0:
        tally.right += 1
    else:
        tally.wrong.append(f"{words}, then {following}: {said.read_text()[-400:]}")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_signals_to_true_commands(tmp_path: Path) -> None:
    data, draw = draw_set(tmp_path / "set"), generator("signals of processes")
    with tallied("signals of processes") as tally:
        for trial in range(trials(whole=9, sample=3)):
            place = tmp_path / f"place-{trial}"
            commands = typed_commands(place, data)
            try_signal(commands[trial % len(commands)], place, draw, tally)
