"""CPU seconds until a command begins its work, beside `import torch`: `python -m benchmarks.start [--model RUN]`."""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import conditions, table

IMPORTS = ("pretrain.run", "finetune.run", "probe.run", "finetune.predict.run")
COMPARE = ("plan short --no-timed", "status short --once")


def cpu_seconds(words: Sequence[str]) -> float:
    """User and system time of one Python process and those that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def commands(model: Path | None, place: Path) -> dict[str, list[str]]:
    """What is timed, by what the table calls it."""
    sides = {"import torch": ["-c", "import torch"]}
    sides |= {f"import {module}": ["-c", f"import {module}"] for module in IMPORTS}
    sides |= {f"compare {words}": ["-m", "compare", *words.split()] for words in COMPARE}
    if model is not None:
        cv2.imwrite(str(place / "picture.png"), np.full((450, 600, 3), 128, np.uint8))
        words = [
            "-m",
            "finetune.predict",
            "--model",
            str(model),
            "--images",
            str(place / "picture.png"),
            "--threads",
            "1",
        ]
        sides["predict one picture"] = [*words, "--out", str(place / "masks"), "--no-overlay"]
    return sides


def measured(sides: Mapping[str, Sequence[str]], rounds: int, place: Path) -> dict[str, list[float]]:
    """Seconds of each side, which take turns; the first turn warms the disk and counts nothing."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, words in sides.items():
            for file in (place / "masks").glob("*"):
                file.unlink()
            spent = cpu_seconds(words)
            if number:
                seconds[name].append(spent)
    return seconds


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--model", type=Path, help="a run folder of python -m finetune; without one predict is left out"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measured(commands(options.model, Path(folder)), options.rounds, Path(folder))
    torch = statistics.median(seconds["import torch"])
    rows = [
        [name, f"{statistics.median(spent):.1f} ({min(spent):.1f} to {max(spent):.1f})",
         f"{statistics.median(spent) - torch:.1f}"]
        for name, spent in seconds.items()
    ]  # fmt: skip
    print(table(["what", "CPU seconds", "beyond torch"], rows))
    print(
        conditions(["torch", "timm", "segmentation-models-pytorch"], f"{options.rounds} rounds, the sides taking turns")
    )


if __name__ == "__main__":
    main()
