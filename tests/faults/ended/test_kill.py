"""SIGKILL at seeded moments of each command: the same work is gone on with and ends as if it never had been killed."""

import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from faults.drawn_set import draw_set
from faults.ended.commands import (
    SCORING,
    Command,
    caching,
    checking,
    faulty_set,
    fetching,
    finetuning,
    predicting,
    pretraining,
    probing,
    remove,
    reporting,
    studying,
)
from faults.ended.fetched_set import ham10000, served
from faults.ended.forks import drawn_moment, ended, forked, killed_at, said_in, watched
from faults.ended.same_files import contents, differences, finished
from faults.tally import Tally, generator, tallied, trials

import compare.page.report
import finetune.run
import finetune.training.loop
from pretrain.known_methods import METHODS

ATTEMPTS = 8  # moments that are drawn until one comes before the work is done


class Ground(NamedTuple):
    """What the commands work on; the folder that all of them work in is one, so that paths are equal."""

    place: Path
    data: Path
    faulty: Path
    model: Path
    study: Path
    address: str
    asked: Path


class Unbroken(NamedTuple):
    """The course and the end of a command that nobody kills."""

    code: int
    contents: dict[str, object]
    seconds: float
    notes: Path


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)  # whose threads a fork would wait for in vain
    root = tmp_path_factory.mktemp("kill")
    data = draw_set(root / "set")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.run, "draw_figures", lambda *_: None)
        patch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})
        patch.setattr(compare.page.report, "DRAWS", 100)
        with served(ham10000(data / "images"), root / "asked.txt") as address:
            yield Ground(root / "place", data, faulty_set(data, root / "faulty"), root / "models" / "model",
                         root / "study", address, root / "asked.txt")  # fmt: skip


def commands(ground: Ground, turn: int) -> list[Command]:
    """One of each kind; the methods of pretraining take turns."""
    methods = list(METHODS)
    method, other = methods[turn % len(methods)], methods[(turn + len(methods) // 2) % len(methods)]
    train = finetuning(ground.data)
    return [
        Command("download", fetching(ground.address)),
        Command("cache", caching(ground.data)),
        Command(f"pretrain {method}", pretraining(ground.data, method), ("clock", "change")),
        Command(f"checkpoint {other}", pretraining(ground.data, other), ("change", "byte"), ("/checkpoints",)),
        Command("finetune", train),
        Command("score", train, ("change", "byte"), SCORING),
        Command("predict", predicting(ground.data, ground.model)),
        Command("probe", probing(ground.data)),
        Command("check", checking(ground.faulty, fixes=False)),
        Command("fix", checking(ground.faulty, fixes=True)),
        Command("study", studying(ground.data), ("clock", "change"), most=1),
        Command("report", reporting(ground.data), before=ground.study),
    ]


def renew(command: Command, place: Path) -> None:
    """The folder as it is before the command."""
    remove(place)
    said_in(place).unlink(missing_ok=True)
    if command.before is not None:
        shutil.copytree(command.before, place)


def unbroken(command: Command, place: Path, notes: Path) -> Unbroken:
    """Does the command without a kill."""
    renew(command, place)
    began = time.monotonic()
    code = ended(forked(watched(command.do, notes), place))
    assert "Traceback" not in said_in(place).read_text(), said_in(place).read_text()
    return Unbroken(code, contents(place), time.monotonic() - began, notes)


def kept_of(command: Command, ground: Ground, notes: Path, to: Path) -> Unbroken:
    """Does a command whose folder others begin with, and keeps that."""
    course = unbroken(command, ground.place, notes)
    assert course.code == 0, said_in(ground.place).read_text()
    shutil.copytree(ground.place, to)
    return course


def once_more(act: Callable[[], int], ground: Ground) -> tuple[int, list[str]]:
    """Goes on with what stands in the place: the exit code, and what is done though it was done before."""
    before = finished(ground.place)
    begun = {path.name: path.stat().st_size for path in ground.place.rglob("*.zip.part")}
    asked = requests(ground)
    code = act()
    after = finished(ground.place)
    twice = [path for path, file in before.items() if after.get(path) != file]
    for line in requests(ground)[len(asked) :]:
        method, name, *where = line.split()
        if method == "GET" and (size := begun.pop(f"{name}.part", 0)) and where != [f"bytes={size}-"]:
            twice.append(f"{line}, of which {size} bytes were there")
    return code, twice


def requests(ground: Ground) -> list[str]:
    return ground.asked.read_text().splitlines() if ground.asked.exists() else []


def killed(
    command: Command, course: Unbroken, ground: Ground, draw: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Kills the command at one moment, or up to three in a row; the moments, and what was done twice in between."""
    wanted, moments, twice = int(draw.integers(1, command.most + 1)), list[str](), list[str]()
    once = ground.asked.with_name("once")
    renew(command, ground.place)
    for _ in range(ATTEMPTS):
        if len(moments) == wanted:
            break
        kind = str(draw.choice(list(command.moments)))
        moment = drawn_moment(draw, kind, course.seconds, course.notes, command.within)
        code, again = once_more(partial(killed_at, moment, command.do, ground.place, once), ground)
        twice += again
        if code < 0 or once.exists():
            moments.append(f"{moment.kind} {moment.at:.4g}")
            once.unlink(missing_ok=True)
        elif moments:
            break
        else:
            renew(command, ground.place)
    return moments, twice


def try_to_kill(command: Command, course: Unbroken, ground: Ground, draw: np.random.Generator, tally: Tally) -> None:
    """Kills the command, lets the same command finish, and looks at what there is."""
    place = ground.place
    moments, twice = killed(command, course, ground, draw)
    code, again = once_more(lambda: ended(forked(command.do, place)), ground)
    twice += again
    wrong = differences(contents(place), course.contents) + [f"{path} is done twice" for path in twice]
    said = said_in(place).read_text()
    if code == 2 and command.name == "fix" and not wrong:
        tally.told(said.strip().splitlines()[-1], "is not empty")  # killed after the copy was there
    elif code == course.code and moments and not wrong and "Traceback" not in said:
        tally.right += 1
    else:
        tally.wrong.append(f"{command.name} killed at {moments}: exit code {code}, {wrong[:5]}, {said[-400:]}")


@pytest.mark.slow  # forks beside the threads of other tests
@pytest.mark.timeout(1500)
def test_kills_at_any_moment(ground: Ground, tmp_path: Path) -> None:
    draw, courses = generator("kill"), dict[str, Unbroken]()
    by_name = {command.name: command for command in commands(ground, 0)}
    kept_of(by_name["finetune"], ground, tmp_path / "finetune", ground.model.parent)
    [run] = (ground.model.parent / "runs").iterdir()
    ground = ground._replace(model=run)
    kept_of(by_name["study"], ground, tmp_path / "study", ground.study)
    with tallied("kill") as tally:
        for trial in range(trials(whole=100, sample=12)):
            turn = commands(ground, trial // len(by_name))
            command = turn[trial % len(turn)]
            began = time.monotonic()
            if command.name not in courses:
                courses[command.name] = unbroken(command, ground.place, tmp_path / f"notes {command.name}")
            course = courses[command.name]
            try_to_kill(command, course, ground, draw, tally)
            print(f"{trial}: {command.name}, unbroken {course.seconds:.1f} s, {time.monotonic() - began:.1f} s")
