"""Checking, crossing and caching data: `python -m benchmarks.data [--images DIR] [--copies 50000]`.

On copies of the photographs in DIR (by default the synthetic set is drawn), linked into a folder of its own. Ratios are
taken round by round, the sides taking turns. Nothing is kept.
"""

import argparse
import io
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.timing import conditions
from dermssl.check.config import CheckConfig
from dermssl.check.run import run as check
from dermssl.data.images import find_pictures
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.pixel_cache import PixelCache, cached_images
from dermssl.splits.leaks import leaking_pairs
from dermssl.synthetic.dataset import write_dataset
from dermssl.training.device import prepare

LIBRARIES = ["numpy", "opencv-python-headless", "faiss-cpu", "torch"]
BATCH = 256
ROUNDS = 5
SIZES = [(600, 450), (1022, 767), (3008, 2000)]  # of HAM10000, and of many and large images of ISIC 2018


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--copies", type=int, default=50_000)
    given = parser.parse_args()
    prepare(0)
    with tempfile.TemporaryDirectory(prefix="dermssl-bench-") as name:
        place = Path(name)
        os.environ["DERMSSL_CACHE"] = str(place / "kept")
        sources = photographs(given.images, place)
        some = copies(sources, place / "some", 10_000)
        rows = [("check 10 000 images", *timed(lambda: look_over(some, place)))]
        halves = [copies(sources[side::2], place / f"half{side}", 10_000) for side in range(2)]
        first, second = map(read_manifest, halves)
        rows.append(("cross 10 000 with 10 000", *timed(lambda: cross(first, second))))
        many = read_manifest(copies(sources, place / "many", given.copies))
        rows.append((f"cache {len(many)} images at 256 px", *timed(lambda: cached_images(many, 256))))
        print(f"| what | seconds | peak memory, MB |\n| --- | --- | --- |\n{table(rows)}\n")
        print("| JPEG | from the cache, images/s | from the file | ratio |\n| --- | --- | --- | --- |")
        print("\n".join(rates(sources, place)))
        print(f"\n{conditions(LIBRARIES, f'{len(sources)} photographs, medians of {ROUNDS} rounds')}")


def photographs(folder: Path | None, place: Path) -> list[Path]:
    """The pictures to copy: those given, else drawn ones."""
    if folder is None:
        folder = place / "drawn"
        write_dataset(folder, 1000, 200, seed=0, masks=False, workers=os.cpu_count() or 1)
    return find_pictures(folder)


def copies(sources: list[Path], folder: Path, count: int) -> Path:
    """So many files; those beyond the first of a source get a byte behind their end, so that no two are equal."""
    folder.mkdir()
    for number in range(count):
        source, again = sources[number % len(sources)], number // len(sources)
        target = folder / f"{folder.name}_{number:06d}{source.suffix}"
        shutil.copyfile(source, target)
        if again:
            with target.open("ab") as file:
                file.write(again.to_bytes(4, "little"))
    return folder


def look_over(folder: Path, place: Path) -> None:
    """The whole command, from files that nobody has read before."""
    with quiet():
        check(CheckConfig(data=folder, out=place / "reports"))


def cross(first: Manifest, second: Manifest) -> None:
    """Near-duplicates and ids of one set among the other's: their hashes are known, their pictures are read again."""
    leaking_pairs(first.table, first.root, second)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of one go, and the most memory that the process has held until then, MB."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what the command prints, and its exit code for findings."""
    with redirect_stdout(io.StringIO()), suppress(SystemExit):
        yield


def rates(sources: list[Path], place: Path) -> Iterator[str]:
    """Random batches from the cache at 256 px against decoding the same JPEGs, at sizes that the archives hold.

    The cache is warm, as it is from the second epoch on; a batch is copied out of it.
    """
    rng = np.random.default_rng(0)
    for width, height in SIZES:
        folder = place / f"{width}x{height}"
        folder.mkdir()
        for number, source in enumerate(sources[:BATCH]):
            picture = cv2.resize(cv2.imread(str(source)), (width, height), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / f"{number:03d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
        manifest = read_manifest(folder)
        pixels, paths = cached_images(manifest, 256), manifest.paths()
        found = []
        for number in range(ROUNDS + 1):
            rows = rng.integers(BATCH, size=BATCH).tolist()
            cached = timed(partial(copied, pixels, rows))[0]
            decoded = timed(partial(read, [paths[row] for row in rows]))[0]
            found += [(BATCH / cached, BATCH / decoded, decoded / cached)] if number else []
        ours, theirs, times = np.median(found, axis=0)
        yield f"| {width} x {height} | {ours:.0f} | {theirs:.0f} | {times:.0f} |"


def copied(pixels: PixelCache, rows: list[int]) -> list[object]:
    """A batch from the cache."""
    return [np.array(pixels[row]) for row in rows]


def read(paths: list[Path]) -> list[object]:
    """A batch from the files."""
    return [cv2.imread(str(path)) for path in paths]


def table(rows: list[tuple[str, float, float]]) -> str:
    """The lines of the table."""
    return "\n".join(f"| {what} | {seconds:.1f} | {memory:.0f} |" for what, seconds, memory in rows)


if __name__ == "__main__":
    main()
