"""Sides that train, each in a process of its own, so that none inherits another's allocator or threads."""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

IMAGES, WARM = 512, 4  # JPEGs, and steps before the clock starts


def turns(module: str, asked: argparse.Namespace, sides: Sequence[str]) -> dict[str, list[float]]:
    """Images per second by side, a number a round; the sides take turns.

    Args:
        module: The benchmark, which runs one side where it is given `--side NAME`.
        asked: Its options, all of which a side is given.
        sides: `NAME` or `NAME, 2 workers`.
    """
    rates: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(asked.rounds):
        for side in sides:
            rates[side].append(one_process(module, asked, side))
            print(f"round {number + 1}/{asked.rounds}  {side:24} {rates[side][-1]:7.1f} images/s", file=sys.stderr)
    return rates


def one_process(module: str, asked: argparse.Namespace, side: str) -> float:
    """Images per second of one side in a process of its own."""
    name, _, count = side.partition(", ")
    words = [sys.executable, "-m", module, "--side", name]
    for option, value in vars(asked).items():
        if option not in ("side", "workers", "rounds"):
            words += [f"--{option}", str(value)]
    words += ["--workers", count.partition(" ")[0] or "0"]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def print_rates(
    rates: Mapping[str, Sequence[float]], peers: str, asked: argparse.Namespace, libraries: Sequence[str]
) -> None:
    """Prints the sides with their medians, against the best peer and the roof, and where it was measured.

    Args:
        rates: Of `turns`; one of the sides is `roof`.
        peers: How the names of the peers begin, the best of which the others are held against.
        asked: The options.
        libraries: Whose versions are told.
    """
    from benchmarks.timing import conditions, ratio, table  # with what it imports of ours, it stays out of the peers

    medians = {name: statistics.median(found) for name, found in rates.items()}
    peer = max((name for name in medians if name.startswith(peers)), key=lambda name: medians[name])
    rows = []
    for name, median in medians.items():
        shown = f"{median:.0f}" if median >= 100 else f"{median:.1f}"
        rows.append([name, shown, ratio(rates, name, peer, 2), ratio(rates, name, "roof", 2)])
    print(table(["side", "images/s", f"times {peer}", "share of the roof"], rows))
    counts = f"medians of {asked.rounds} alternating rounds of {asked.steps} steps (least to largest)"
    print(f"\n{conditions(libraries, counts)}")


def has(module: str) -> bool:
    """Whether a library can be imported here."""
    return subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode == 0


def draw_jpegs(folder: Path, masks: bool = False, count: int = IMAGES) -> Path:
    """Skin as JPEGs of 600 x 450 px; a few drawn ones, mirrored and lit otherwise, make many.

    With `masks` the folder has `images` and `masks`, PNGs of 0 and 255.
    """
    from dermssl.synthetic.dataset import draw_image

    images, truths = (folder / "images", folder / "masks") if masks else (folder, folder)
    images.mkdir(parents=True)
    truths.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    few = [draw_image(0, index, 600) for index in range(min(32, count))]
    for index in range(count):
        drawn, up, left = few[index % len(few)], *rng.choice([-1, 1], 2)
        lit = cv2.convertScaleAbs(np.ascontiguousarray(drawn.image[75:525][::up, ::left]), alpha=rng.uniform(0.7, 1.1))
        cv2.imwrite(str(images / f"{index:04d}.jpg"), lit[..., ::-1])
        if masks:
            truth = np.ascontiguousarray(drawn.mask[75:525][::up, ::left]).astype(np.uint8)
            cv2.imwrite(str(truths / f"{index:04d}.png"), np.where(truth > 0, np.uint8(255), np.uint8(0)))
    return folder


def clocked(steps: Iterator[None], asked: argparse.Namespace) -> float:
    """Images per second over the steps that come after the first few; the device is waited for at both ends."""
    for _ in range(getattr(asked, "warm", WARM)):
        next(steps)
    wait()
    began = time.perf_counter()
    for _ in range(asked.steps):
        next(steps)
    wait()
    return float(asked.steps * asked.batch / (time.perf_counter() - began))


class Steps:
    """Notes when each step of somebody's Trainer ended; the device is waited for where the clock starts and stops."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.at: list[float] = []

    def note(self) -> None:
        """At the end of a step."""
        if len(self.at) in (WARM - 1, WARM + self.asked.steps - 1):
            wait()
        self.at.append(time.perf_counter())

    @property
    def rate(self) -> float:
        """Images per second after the first few steps."""
        seconds = self.at[WARM + self.asked.steps - 1] - self.at[WARM - 1]
        return float(self.asked.steps * self.asked.batch / seconds)


def wait() -> None:
    """Lets the device finish."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
