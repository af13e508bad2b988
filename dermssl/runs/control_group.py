"""What a container, or whoever else set a control group, lets this process have of memory and of cores."""

import os
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path

GROUPS = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")


def group_folders(controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those above it: version 2 of control groups, then version 1."""
    try:
        lines = GROUPS.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, names, place = line.split(":", 2)
        if not names or controller in names.split(","):
            top = ROOT / controller if names else ROOT
            inner = top / place.strip("/")
            yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top))


def limits_in(file: Path) -> list[float]:
    """The numbers in a file of the system, `max` as infinity; none where the file is not there."""
    try:
        return [inf if word == "max" else float(word) for word in file.read_text().split()]
    except (OSError, ValueError):
        return []


def memory_limit() -> float:
    """Bytes that this process and its companions may have together; infinity where nobody has said."""
    files = [folder / name for folder in group_folders("memory") for name in ("memory.max", "memory.limit_in_bytes")]
    return min((numbers[0] for file in files if (numbers := limits_in(file))), default=inf)


def memory_in_use() -> float:
    """Bytes that count against that limit and cannot be given back: without what is kept of files."""
    for folder in group_folders("memory"):
        for name, kept in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
            numbers = limits_in(folder / name)
            if numbers:
                return max(0.0, numbers[0] - statistic(folder / "memory.stat", kept))
    return 0.0


def statistic(file: Path, name: str) -> float:
    """The number behind a name in a file of such lines; 0 where there is none."""
    try:
        lines = [line.split() for line in file.read_text().splitlines()]
    except OSError:
        return 0.0
    return next((float(line[1]) for line in lines if line[:1] == [name] and len(line) == 2), 0.0)


def core_limit() -> float:
    """Cores' worth of time that this process and its companions may have; infinity where nobody has said."""
    shares = [inf]
    for folder in group_folders("cpu"):
        numbers = limits_in(folder / "cpu.max")
        numbers = numbers or [*limits_in(folder / "cpu.cfs_quota_us"), *limits_in(folder / "cpu.cfs_period_us")]
        if len(numbers) == 2 and numbers[0] > 0:  # version 1 writes -1 for no limit
            shares.append(numbers[0] / numbers[1])
    return min(shares)


def usable_cores() -> int:
    """Cores that this process may use at a time: by its affinity, and by the limit of its container, rounded up.

    More threads than these are up to ten times slower, for each waits for one that has no core.
    """
    limit = core_limit()
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(mask, mask if limit == inf else ceil(limit)))
