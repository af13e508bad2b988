"""Who holds a folder: the system's lock on a file in it, and the word that its holder leaves there.

Whoever looks must disturb nobody: a look is a shared lock for an instant, and who claims the folder knows it by that.
"""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

INSTANT = 0.001  # seconds; looks at a lock take less


class Process(NamedTuple):
    """A process of some machine."""

    host: str
    id: int
    since: float
    """When it held the folder or began a run, seconds since 1970 by the clock of its machine."""


def claimed(lock: IO[str]) -> bool:
    """Takes the lock where nobody holds it; says whether it was so. Those who only look are waited for.

    Args:
        lock: An open file, for reading and writing, since some file systems take shared locks on readable files alone.
    """
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        try:  # a shared lock goes beside those of looks, and beside no holder's
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(INSTANT)


@contextmanager
def signed(lock: IO[str]) -> Iterator[None]:
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
