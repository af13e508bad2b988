"""SIGINT, SIGTERM and SIGHUP, once or twice, at seeded moments of each command: exit code, a sentence, equal ends."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from faults.drawn_set import draw_set
from faults.ended.commands import finetuning, predicting, pretraining, probing, remove, studying
from faults.ended.forks import Work, ended, forked, said_in
from faults.ended.same_files import contents, differences
from faults.tally import Tally, generator, tallied, trials

import compare.page.report
import finetune.run
import finetune.training.loop
from dermssl.errors import one_sentence
from dermssl.signals import ASKING, ECHO, continued_by
from dermssl.training.checkpoint import Checkpoints, newest_whole

METHODS = ("simclr", "byol", "dino", "swav")  # others differ in nothing that a signal meets
SLOW = 3 * ECHO  # seconds that a last step takes, so that a second signal finds it under way


@dataclass(frozen=True)
class Asked:
    """A command as somebody types it."""

    prog: str
    work: Callable[..., object]
    words: str = ""
    """What goes on with it, where it is not `--resume` of its run."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Asked]]:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # whose threads a fork would wait for in vain
    root = tmp_path_factory.mktemp("signals")
    data, train = draw_set(root / "set"), finetuning(root / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.run, "draw_figures", lambda *_: None)
        patch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})
        patch.setattr(compare.page.report, "DRAWS", 100)
        assert ended(forked(train, root / "trained")) == 0, said_in(root / "trained").read_text()
        [model] = (root / "trained" / "runs").iterdir()
        pretrainings = [Asked("python -m pretrain", pretraining(data, method)) for method in METHODS]
        others = [
            Asked("python -m finetune", train),
            Asked("python -m finetune.predict", predicting(data, model), "--same"),
            Asked("python -m probe", probing(data)),
            Asked("python -m compare", studying(data), "run study"),
        ]
        yield [one for method in pretrainings for one in (method, *others)]


def typed(command: Asked, *, slow: bool) -> Work:
    """The command as its `__main__` does it, and heard from when signals are."""

    def do(place: Path) -> None:
        sys.argv = ["command", "--same"]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if slow:
            save = Checkpoints.save
            Checkpoints.save = lambda *words: (time.sleep(SLOW), save(*words))[1]  # type: ignore[method-assign]
        with one_sentence(command.prog):
            said_in(place).with_suffix(".ready").touch()
            with continued_by(command.words) if command.prog.endswith("compare") else one_after_another():
                command.work(place)

    return do


class one_after_another:  # noqa: N801
    """Nothing to go on with but what the run itself notes."""

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def asked_to_end(command: Asked, place: Path, number: int, after: float, *, twice: bool) -> int:
    """Starts the command, sends the signal after so many seconds, perhaps once more; its exit code."""
    ready = said_in(place).with_suffix(".ready")
    ready.unlink(missing_ok=True)
    process = forked(typed(command, slow=twice), place)
    while not ready.exists():
        time.sleep(0.002)
    time.sleep(after)
    os.kill(process, number)
    if twice:
        time.sleep(1.2 * ECHO)
        os.kill(process, number)  # a child that has ended is there until it is waited for
    return ended(process)


def goes_on_with(sentence: str) -> Path | None:
    """The run that a sentence says to resume."""
    words = shlex.split(sentence.partition("go on with: ")[2])
    return Path(words[words.index("--resume") + 1]) if "--resume" in words else None


def stop(
    command: Asked, place: Path, draw: np.random.Generator, seconds: float, tally: Tally
) -> tuple[str, Path | None]:
    """Asks the command to end, and counts what it says; in words what was done, and the run to resume."""
    number, twice = ASKING[int(draw.integers(len(ASKING)))], bool(draw.integers(2))
    code = asked_to_end(command, place, number, float(draw.uniform(0, seconds)), twice=twice)
    words = f"{command.prog}, {number.name}{' twice' if twice else ''}"
    said = said_in(place).read_text()
    if code == 0:
        return f"{words}, when all was done", None
    if code != 128 + number or "resource_tracker" in said or "Traceback" in said:
        tally.wrong.append(f"{words}: exit code {code}, {said[-400:]}")
        return words, None
    last = said.strip().splitlines()[-1]
    at_once = twice and "at once" in last
    tally.told(last, command.prog, number.name, "" if at_once else f"go on with: {command.prog} {command.words}")
    run = None if at_once else goes_on_with(last)
    if run is not None and "after its step" in said and newest_whole(run / "checkpoints") is None:
        tally.wrong.append(f"{words}: no checkpoint is kept")
    return words, run


@pytest.mark.slow  # forks beside the threads of other tests
@pytest.mark.timeout(1500)
def test_signals_at_any_moment_of_a_command(asked: list[Asked], tmp_path: Path) -> None:
    draw, place, unbroken = generator("signals of commands"), tmp_path / "place", dict[int, tuple[object, float]]()
    with tallied("signals of commands") as tally:
        for trial in range(trials(whole=60, sample=5)):
            index = trial % len(asked)
            command = asked[index]
            if index not in unbroken:
                remove(place)
                began = time.monotonic()
                assert ended(forked(typed(command, slow=False), place)) == 0, said_in(place).read_text()
                unbroken[index] = contents(place), time.monotonic() - began
            whole, seconds = unbroken[index]
            remove(place)
            said_in(place).unlink()
            words, run = stop(command, place, draw, seconds, tally)
            goes_on = command.work if run is None else resumed(command, run)
            code = ended(forked(goes_on, place))
            wrong = differences(contents(place), whole)  # type: ignore[arg-type]
            if code == 0 and not wrong:
                tally.right += 1
            else:
                tally.wrong.append(f"{words}: then exit code {code}, {wrong[:5]}, {said_in(place).read_text()[-400:]}")
            print(f"{trial}: {words}, unbroken {seconds:.1f} s")


def resumed(command: Asked, run: Path) -> Work:
    """The command with `--resume`."""
    return lambda place: command.work(place, resume=run)
