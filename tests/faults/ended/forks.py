"""Commands in forked processes, which have their libraries loaded, and the moments at which such a process dies."""

import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dermssl.errors import UserError

Work = Callable[[Path], object]
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod", "open")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def forked(work: Work, place: Path, *, silent: bool = False) -> int:
    """A process that does the work in `place`, with a cache and a folder for temporary files of its own there."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        settle(place, silent)
        work(place)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except UserError as error:
        print(error, file=sys.stderr)
        code = 2
    except BaseException as error:  # an exit here must not run what belongs to pytest
        print("Traceback", repr(error), file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def settle(place: Path, silent: bool) -> None:
    """In the process: all that it says and keeps goes to its place."""
    for folder in (place, place / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    os.environ |= {"DERMSSL_CACHE": str(place / "cache"), "TMPDIR": str(place / "tmp")}
    tempfile.tempdir = None
    said = os.open(os.devnull if silent else said_in(place), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(said, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)  # not pytest's


def said_in(place: Path) -> Path:
    """Where what is said goes: beside the place, whose files are compared."""
    return place.with_name(f"{place.name}.txt")


def ended(process: int) -> int:
    """The exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@dataclass(frozen=True)
class Moment:
    """When a process dies.

    By the clock after seconds; before it changes the disk for a certain time; or in the middle of writing a file, as
    that grows longer than so many bytes.
    """

    kind: Literal["clock", "change", "byte"]
    at: float
    within: Sequence[str] = ("",)
    """What a path holds, one of these, for its change to be counted."""


class Watch:
    """Which changes of the disk below a place a process asks for, and how long the files are that appear."""

    def __init__(self, place: Path) -> None:
        self.place, self.changes, self.sizes = str(place), list[str](), list[tuple[str, int]]()

    def __call__(self, event: str, words: tuple[object, ...]) -> None:
        if (path := changed_path(event, words)).startswith(self.place):
            self.changes.append(path)
            if event == "os.rename":
                files = Path(path).rglob("*") if os.path.isdir(path) else [Path(path)]  # noqa: PTH112
                self.sizes += [(str(words[1]), file.stat().st_size) for file in files]


def changed_path(event: str, words: tuple[object, ...]) -> str:
    """What a change of the disk is about to change; nothing of other events."""
    if event not in CHANGES or isinstance(words[0], int):
        return ""
    if event == "open":
        flags = words[2]
        return os.fsdecode(words[0]) if isinstance(flags, int) and flags & WRITING else ""  # type: ignore[arg-type]
    folder = words[1] if event in ("os.remove", "os.rmdir") else -1
    path = os.fsdecode(words[0])  # type: ignore[arg-type]
    return path if folder == -1 else f"{os.readlink(f'/proc/self/fd/{folder}')}/{path}"  # noqa: PTH115


def watched(work: Work, notes: Path) -> Work:
    """The work, whose changes of the disk are noted."""

    def do(place: Path) -> None:
        watch = Watch(place)
        sys.addaudithook(watch)
        try:
            work(place)
        finally:
            notes.write_text(json.dumps({"changes": watch.changes, "sizes": watch.sizes}))

    return do


def killed_at(moment: Moment, work: Work, place: Path, once: Path) -> int:
    """Lets a process that does the work die at the moment; its exit code.

    Args:
        moment: If it comes after the work is done, the process ends by itself.
        work: What it does.
        place: Where.
        once: File that is made at the death by a change of the disk: of processes that are forked one at most dies.
    """
    process = forked(dying(work, moment, once), place, silent=moment.kind == "byte")
    if moment.kind == "clock":
        time.sleep(moment.at)
        os.kill(process, signal.SIGKILL)
    return ended(process)


def dying(work: Work, moment: Moment, once: Path) -> Work:
    """The work in a process that ends itself at a change of the disk or at the byte of a file."""

    def do(place: Path) -> None:
        if moment.kind == "byte":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel ends who writes more, whatever library it is
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(moment.at), resource.RLIM_INFINITY))
        elif moment.kind == "change":
            sys.addaudithook(ending_at_change(place, moment, once))
        work(place)

    return do


def ending_at_change(place: Path, moment: Moment, once: Path) -> Callable[[str, tuple[object, ...]], None]:
    """A hook that kills the process before it changes the disk for that time."""
    count = [0]

    def hook(event: str, words: tuple[object, ...]) -> None:
        path = changed_path(event, words)
        if not path.startswith(str(place)) or not any(part in path for part in moment.within):
            return
        count[0] += 1
        if count[0] == moment.at and not once.exists():  # what a hook raises would look like a fault of the disk
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def drawn_moment(draw: np.random.Generator, kind: str, seconds: float, notes: Path, within: Sequence[str]) -> Moment:
    """A moment at which this work, whose unbroken course is noted, is not yet done."""
    noted = json.loads(notes.read_text())
    changes = [path for path in noted["changes"] if any(part in path for part in within)]
    sizes = [size for path, size in noted["sizes"] if any(part in path for part in within) and size > 1]
    if kind == "change" and changes:
        return Moment("change", int(draw.integers(1, len(changes) + 1)), within)
    if kind == "byte" and sizes:
        return Moment("byte", int(draw.integers(1, draw.choice(sizes))), within)
    return Moment("clock", float(draw.uniform(0, seconds)), within)
