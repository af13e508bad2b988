"""NT-Xent, forward and backward on one core: ours in chunks against the plain form and lightly's NTXentLoss.

    python -m benchmarks.nt_xent

Time is CPU time of alternating rounds in one process for each number of images. Memory is the most that a fresh process
held beyond its embeddings, in its first two rounds. A side that would take more than half of the memory that is free is
left out: "-".
"""

import statistics
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from lightly.loss import NTXentLoss
from torch import Tensor

from benchmarks.timing import alternate, conditions, one_core, refuse_options, table
from pretrain.methods.nt_xent import nt_xent

ROUNDS, SIZES, WIDTH, TEMPERATURE = 5, (512, 1024, 2048, 4096, 8192, 16384), 128, 0.1

P, R = ParamSpec("P"), TypeVar("R")
Loss = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    refuse_options(__doc__)
    one_core()
    rows, last = [], dict.fromkeys(LOSSES, 0.0)
    for images in SIZES:
        fitting = [name for name in LOSSES if 4 * last[name] < memory("/proc/meminfo", "MemAvailable") / 2]
        last |= {name: alone(extra_memory, name, images) for name in fitting}
        last |= {name: float("inf") for name in LOSSES if name not in fitting}
        seconds = alone(times, fitting, images)
        rows.append([str(images), *(cell(last, seconds, name) for name in LOSSES), *(ours(seconds, n) for n in PEERS)])
    print(table(["images", *(f"{name}: ms, MB" for name in LOSSES), *(f"times {peer}" for peer in PEERS)], rows))
    counts = (
        f"embeddings of {WIDTH}; medians of {ROUNDS} alternating rounds (least to largest); - needs too much memory"
    )
    print(f"\n{conditions(['torch', 'lightly'], counts)}")


def plain(z_a: Tensor, z_b: Tensor) -> Tensor:
    """All similarities at once, as the paper's equation has it."""
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)  # (2B, D)
    logits = (z @ z.T / TEMPERATURE).fill_diagonal_(-torch.inf)  # (2B, 2B)
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z_a)))


LOSSES: dict[str, Loss] = {
    "ours": lambda z_a, z_b: nt_xent(z_a, z_b, TEMPERATURE),
    "plain": plain,
    "lightly": NTXentLoss(temperature=TEMPERATURE),
}
PEERS = ("plain", "lightly")


def alone(function: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
    """What the function answers in a process of its own, which has no other side's memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *given, **named).result()


def extra_memory(name: str, images: int) -> float:
    """The most MB that two rounds take beyond what stood before."""
    one_core()
    work = step(LOSSES[name], images)
    step(LOSSES[name], 2)()  # libraries are loaded
    before = memory("/proc/self/status", "VmRSS")
    work(), work()
    return memory("/proc/self/status", "VmHWM") - before


def times(names: list[str], images: int) -> dict[str, list[float]]:
    """Seconds of CPU time of each round."""
    one_core()
    rates = alternate({name: step(LOSSES[name], images) for name in names}, ROUNDS)
    return {name: [images / rate for rate in of] for name, of in rates.items()}


def step(loss: Loss, images: int) -> Callable[[], int]:
    """Forward and backward of a loss on random embeddings."""
    z_a, z_b = (torch.randn(images, WIDTH, requires_grad=True) for _ in range(2))

    def work() -> int:
        z_a.grad = z_b.grad = None
        loss(z_a, z_b).backward()
        return images

    return work


def memory(file: str, name: str) -> float:
    """MB in the line of that name of a file in /proc."""
    line = next(line for line in Path(file).read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def cell(extra: dict[str, float], seconds: dict[str, list[float]], name: str) -> str:
    """Time and memory of a side."""
    return f"{1000 * statistics.median(seconds[name]):.0f}, {extra[name]:.0f}" if name in seconds else "-"


def ours(seconds: dict[str, list[float]], peer: str) -> str:
    """How many times the peer's speed: the median over rounds, with the least and the largest."""
    if peer not in seconds:
        return "-"
    ratios = [theirs / own for own, theirs in zip(seconds["ours"], seconds[peer], strict=True)]
    return f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"


if __name__ == "__main__":
    main()
