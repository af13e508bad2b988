"""Memory, and the limits that are set on it: of the machine, a container, a shell, and between processes."""

import os
import resource
from collections.abc import Iterator
from math import inf
from pathlib import Path

from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.runs.control_group import memory_in_use, memory_limit
from dermssl.system_errors import GIGABYTES, LIBRARIES, allowed_addresses
from dermssl.wording import room

INFO = Path("/proc/meminfo")
SHARED = Path("/dev/shm")
LITTLE, TOO_LITTLE = 4e9, 1.5e9  # bytes: a fine-tuning of the default encoder takes 2 to 3 GB
LITTLE_SHARED = 256e6  # bytes: loader workers pass batches through it
FEW_FILES = 1024


def machine_memory() -> tuple[float, float]:
    """Bytes of this machine, and those that are free or can be freed; infinity where it does not say."""
    try:
        lines = [line.split() for line in INFO.read_text().splitlines()]
    except OSError:
        return inf, inf
    sizes = {line[0].rstrip(":"): float(line[1]) * 1024 for line in lines if len(line) > 1}
    return sizes.get("MemTotal", inf), sizes.get("MemAvailable", inf)


def examine_memory() -> Iterator[Observation]:
    """What may still be used of the machine's memory and of the container's."""
    total, free = machine_memory()
    limit = memory_limit()
    whose = "This machine"
    if limit < total:
        whose, total, free = "This container", limit, min(free, limit - memory_in_use())
    if total == inf:
        return
    text = f"{whose} has {room(total)} of memory, of which {room(max(free, 0))} are free."
    if free < TOO_LITTLE:
        yield fault(
            "memory", f"{text} Loading the libraries and an encoder takes more.", "end other programs: top -o %MEM"
        )
    elif free < LITTLE:
        yield note("memory", f"{text} Large encoders and batches will not fit.", "give --batch_size 16, or end others")
    else:
        yield good("memory", text)


def examine_limits() -> Iterator[Observation]:
    """What the shell's limits leave: of addresses, of the size of a file, and of files that are open."""
    if allowed_addresses() < LIBRARIES:
        text = f"`ulimit -v` allows {room(allowed_addresses())}, and loading torch takes {GIGABYTES} GB of addresses."
        yield fault("limits", text, "ulimit -v unlimited")
    largest, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if largest != resource.RLIM_INFINITY and largest < 2e9:
        text = f"`ulimit -f` allows files of {room(largest)}, and checkpoints and kept pixels are larger."
        yield fault("limits", text, "ulimit -f unlimited")
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY and files < FEW_FILES:
        text = f"A process may have {files} files open, which is few for several loader workers."
        allowed = 4096 if most == resource.RLIM_INFINITY else min(4096, most)
        yield note("limits", text, f"ulimit -n {allowed}")
    else:
        yield good("limits", "A process may have as many files open as commands need.")


def examine_shared_memory() -> Iterator[Observation]:
    """The memory through which loader workers hand on what they have read."""
    if not SHARED.is_dir():
        yield note("shared", f"{SHARED} is not there: loader workers cannot hand on batches.", "give --workers 0")
        return
    system = os.statvfs(SHARED)
    size, free = system.f_frsize * system.f_blocks, system.f_frsize * system.f_bavail
    text = f"{SHARED}, through which loader workers hand on batches, has {room(free)} of {room(size)} free"
    if not os.access(SHARED, os.W_OK):
        yield note(
            "shared", f"{SHARED} cannot be written to: loader workers cannot hand on batches.", "give --workers 0"
        )
    elif free < LITTLE_SHARED:
        remedy = "give --workers 0, or start the container with --shm-size 2g"
        yield note("shared", f"{text}, which large batches fill ('bus error').", remedy)
    else:
        yield good("shared", f"{text}.")
