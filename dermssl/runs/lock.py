"""Locks between processes: the system's lock on a file or folder, and the word that its holder leaves in a file.

The system lets go of a lock however its process ends. Whoever looks must disturb nobody: a look is a shared lock for an
instant, and who takes the lock knows it by that.
"""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from dermssl.errors import UserError
from dermssl.parts import sweep_parts
from dermssl.places import place_from

INSTANT = 0.001  # seconds; looks at a lock take less


class Process(NamedTuple):
    """A process of some machine."""

    host: str
    id: int
    since: float
    """When it held the folder or began a run, seconds since 1970 by the clock of its machine."""


def take_lock(handle: IO[Any] | int) -> bool:
    """Takes the lock where nobody holds it; says whether it was so. Those who only look are waited for.

    Args:
        handle: An open file, for reading and writing, since some file systems take shared locks on readable files
            alone; or the descriptor of a folder. The lock holds until it is closed.
    """
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:  # a shared lock goes beside those of looks, and beside no holder's
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(handle, fcntl.LOCK_UN)
        time.sleep(INSTANT)


def take_lock_or_refuse(handle: IO[Any] | int, sentence: str) -> None:
    """Takes the lock of an open file, or of the descriptor of a folder, until it is closed.

    Raises:
        UserError: The sentence, where another process holds it.
    """
    if not take_lock(handle):
        raise UserError(sentence)


@contextmanager
def lock_to_make(path: Path) -> Iterator[None]:
    """Holds the right to make `path` while the body runs; another process that asks for it waits.

    What a killed one left half-made is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".lock-{path.name}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sweep_parts(path.parent)
        yield


@contextmanager
def locked_folder(folder: Path, work: str) -> Iterator[None]:
    """Makes the folder of `--out` and locks it against others; one that is still empty after a failure is removed.

    Args:
        folder: Where to work.
        work: What is done there, in a word, such as `download`.

    Raises:
        UserError: If another one is done there, or the folder cannot be made.
    """
    with place_from("--out", folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    try:
        take_lock_or_refuse(handle, f"{folder}: another {work} works there; wait for that one to end")
        try:
            yield
        finally:
            with suppress(OSError):
                folder.rmdir()
    finally:
        os.close(handle)


@contextmanager
def signed_lock(lock: IO[str]) -> Iterator[None]:
    """Leaves in a file that this process holds who it is, while the body runs; one that is killed leaves it there."""
    word = json.dumps(Process(platform.node(), os.getpid(), time.time())._asdict())
    with suppress(OSError):  # no room on the disk: the lock holds without it
        os.ftruncate(lock.fileno(), 0)
        os.pwrite(lock.fileno(), word.encode(), 0)
    try:
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(lock.fileno(), 0)


def is_locked(path: Path) -> bool | None:
    """Whether a process holds the lock; None where it cannot be asked.

    On file systems whose locks are of one machine alone, those of other machines are not seen.
    """
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def signature(path: Path) -> Process | None:
    """Who holds the lock, or held it when it was killed; None after one that ended by itself or left no word."""
    try:
        word = json.loads(path.read_text(encoding="utf-8"))
        return Process(str(word["host"]), int(word["id"]), float(word["since"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
