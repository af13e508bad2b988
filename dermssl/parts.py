"""Part files and folders: what is being written beside its place, and what killed processes left of it."""

import hashlib
import os
import platform
import re
import shutil
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

PREFIX = ".part-"
FORM = re.compile(r"\.part-([0-9]+)-([0-9a-f]{8})-")
DEAD = ("Z", "X")  # states of processes that have ended; in containers they may stay for as long as those run
DAY = 24 * 3600.0  # seconds after which a part of another machine is taken for left; nothing is written for so long


@cache
def machine() -> str:
    """This machine in eight digits, in which a number of a process means one process: containers count their own."""
    try:
        numbers = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]


def part_prefix() -> str:
    """What the names of this process's parts begin with."""
    return f"{PREFIX}{os.getpid()}-{machine()}-"


def sweep_parts(folder: Path) -> None:
    """Removes from a folder the parts whose processes are gone; those of living ones and of other machines stay."""
    with suppress(OSError):  # a folder that is gone, or is another's: there is nothing to do for this process
        for part in [Path(entry.path) for entry in os.scandir(folder) if entry.name.startswith(PREFIX)]:
            if is_abandoned(part):
                remove(part)


@cache
def sweep_parts_once(folder: Path) -> None:
    """Sweeps a folder that this process is about to write in, the first time."""
    sweep_parts(folder)


def is_abandoned(part: Path) -> bool:
    """Whether nobody will finish this part."""
    named = FORM.match(part.name)
    if named and named[2] == machine():
        return not process_lives(int(named[1]))
    with suppress(OSError):
        return time.time() - part.lstat().st_mtime > DAY
    return False


def process_lives(process: int) -> bool:
    """Whether a process of this machine has this number and is at work; one that nobody has buried yet is not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return process_state(process) not in DEAD


def process_state(process: int) -> str:
    """The letter that Linux has for the state of a process; nothing where it tells none."""
    try:
        return Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(") ")[2][:1]
    except OSError:
        return ""


def remove(part: Path) -> None:
    """Removes a file or a folder; one that is gone already, or cannot be removed, is let be."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
    else:
        with suppress(OSError):
            part.unlink()
