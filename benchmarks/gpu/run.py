"""The story of the kit: each part in a process of its own, with its share of the time, and tables after each."""

import argparse
import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.gpu.config import GpuKitConfig
from benchmarks.gpu.machine import conditions, why_no_gpu
from benchmarks.gpu.rows import Row, read_rows, write_rows
from benchmarks.gpu.scale import FULL, TINY
from benchmarks.gpu.table import markdown, write_tables

SHARES = {"right": 0.34, "pretraining": 0.42, "finetuning": 0.14, "prediction": 0.10}
ENDING = 10.0  # seconds that stay for the last table
ROOT = Path(__file__).parents[2]


def run(config: GpuKitConfig) -> list[Row]:
    """Does the parts and writes the tables; returns their rows."""
    began = time.monotonic()
    config.out.mkdir(parents=True, exist_ok=True)
    facts = conditions() | ({"sizes": "tiny, so that no figure says anything of speed"} if config.tiny else {})
    rows: list[Row] = []
    sentence = "" if config.tiny else why_no_gpu()
    if sentence:
        rows = [Row(part="GPU", subject="all parts", what="", text=sentence)]
        print(sentence)
    for number, part in enumerate([] if sentence else config.parts):
        left = 60 * config.minutes - ENDING - (time.monotonic() - began)
        share = SHARES[part] / sum(SHARES[later] for later in config.parts[number:])
        print(f"\n{part}: {left * share:.0f} s of the {left:.0f} s that are left", flush=True)
        rows += rows_of_part(part, left * share, tiny=config.tiny)
        write_tables(config.out, rows, facts | {"took": f"{time.monotonic() - began:.0f} s"})
    write_tables(config.out, rows, facts | {"took": f"{time.monotonic() - began:.0f} s"})
    print(f"\n{markdown(rows, facts)}\n{config.out / 'gpu.md'}")
    return rows


def rows_of_part(part: str, seconds: float, *, tiny: bool) -> list[Row]:
    """The rows of a part, which is stopped when its time is up; what it had found until then counts."""
    if seconds <= 0:
        return [Row(part=part, subject="all", what="", text="No time was left for this part.")]
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "rows.jsonl"
        words = [sys.executable, "-m", "benchmarks.gpu.run", part, str(seconds), str(file)] + ["--tiny"] * tiny
        environment = os.environ | {"DERMSSL_CACHE": str(Path(place) / "cache"), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(words, cwd=ROOT, env=environment, start_new_session=True)
        try:
            code, reason = process.wait(seconds), ""
        except subprocess.TimeoutExpired:
            code, reason = 1, f"It was stopped after {seconds:.0f} s, its share of the time."
        finally:
            end_with_all_that_it_started(process)
        rows = read_rows(file)
    if code:
        rows.append(Row(part=part, subject="the rest", what="", text=reason or f"Its process ended with code {code}."))
    return rows


def end_with_all_that_it_started(process: subprocess.Popen[bytes]) -> None:
    """Ends the process, its loaders' workers and its tests: they are a session of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def do_part(part: str, seconds: float, file: Path, *, tiny: bool) -> None:
    """Does one part in this process and writes its rows as they come."""
    began, scale = time.monotonic(), TINY if tiny else FULL

    def tell(rows: list[Row]) -> None:
        write_rows(file, rows)

    module = importlib.import_module(f"benchmarks.gpu.{part}")  # each loads what it needs
    left = 0.95 * seconds - (time.monotonic() - began) - 2
    if part == "right":
        module.measure(left, tell)
    else:
        module.measure(scale, 0.9 * left, tell)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="One part of `python -m benchmarks.gpu`, which starts it.")
    parser.add_argument("part", choices=sorted(SHARES))
    parser.add_argument("seconds", type=float)
    parser.add_argument("file", type=Path)
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    do_part(asked.part, asked.seconds, asked.file, tiny=asked.tiny)
