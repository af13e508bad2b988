"""What every benchmark here shares: alternating runs of several sides, and a table that says where it was measured."""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import cv2
import torch

from dermssl.runs.environment import commit, processor
from dermssl.training.device import prepare

Rates = Mapping[str, Sequence[float]]


def refuse_options(about: str | None) -> None:
    """Answers --help with what the benchmark is, and refuses options: it has none."""
    argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()


def one_core() -> None:
    """One thread in every library, and the allocator that the commands use, for all sides alike."""
    prepare(threads=1)
    cv2.setNumThreads(1)


def alternate(sides: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Images per second of CPU time, a number a round and side; the sides take turns, and a first turn counts nothing.

    CPU time and not time on the wall: another process on the machine then costs cache, but no turn.
    """
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, work in sides.items():
            began = time.process_time()
            images = work()
            if number:
                rates[name].append(images / (time.process_time() - began))
    return rates


def ratio(rates: Rates, name: str, peer: str, digits: int = 1) -> str:
    """How many times the peer's rate: the median over rounds, with the least and the largest."""
    times = [ours / theirs for ours, theirs in zip(rates[name], rates[peer], strict=True)]
    return f"{statistics.median(times):.{digits}f} ({min(times):.{digits}f} to {max(times):.{digits}f})"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def conditions(libraries: Sequence[str], counts: str) -> str:
    """Where, with what and how often it was measured."""
    load = os.getloadavg()[0]
    versions = ", ".join(f"{name} {version(name)}" for name in libraries)
    return (
        f"{time.strftime('%Y-%m-%d')}, {processor() or platform.machine()}, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread, load {load:.1f}, Python {platform.python_version()}, {versions}, "
        f"commit {commit()[:10] or 'unknown'}; {counts}"
    )
