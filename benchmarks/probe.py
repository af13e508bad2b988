"""What probes wait for: features of a data set, and neighbours among many vectors; seconds on the wall.

    python -m benchmarks.probe
    python -m benchmarks.probe --data DIR --encoder resnet18

Features are of `--data`, or of drawn pictures of 200 x 150 px, from files that nobody has read yet to features on the
disk, and then once more from what was kept. Neighbours are among made-up vectors about two thousand centres.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from benchmarks.timing import conditions, table
from dermssl.data.manifest import read_manifest
from dermssl.features.frozen import FrozenEncoder
from dermssl.features.neighbours import EXACT, nearest_neighbours
from dermssl.synthetic.dataset import draw_image
from dermssl.training.device import prepare
from dermssl.weights.encoder import start_from
from probe.features import kept_features

T = TypeVar("T")


def main() -> None:
    asked = options()
    device = prepare(0)
    with tempfile.TemporaryDirectory() as place:
        os.environ["DERMSSL_CACHE"] = str(Path(place) / "kept")
        data = asked.data or draw_pictures(Path(place) / "pictures", asked.images)
        manifest, manifest_seconds = timed(lambda: read_manifest(data))
        start = start_from("random", asked.encoder, 0)
        frozen_encoder = FrozenEncoder(start, asked.size, 32, device)
        first, again = (timed(lambda: kept_features(frozen_encoder, start.sha256, manifest))[1] for _ in range(2))
    named = f"{len(manifest)} pictures, {asked.encoder}, {asked.size} px"
    rows = [
        [f"manifest of {len(manifest)} pictures", f"{manifest_seconds:.1f}", ""],
        [f"features of {named}", f"{first:.1f}", ""],
        ["the same from what was kept", f"{again:.1f}", ""],
    ]
    bank, queries = clouds(asked.bank, 0), clouds(asked.queries, 1)
    for name, limit in (("exact", len(bank)), ("as the probe does", EXACT)):
        found, seconds = timed(lambda limit=limit: nearest_neighbours(bank, queries, 20, limit))  # type: ignore[misc]
        what = f"{len(queries)} queries against {len(bank)} x {bank.shape[1]}, {name}"
        rows.append([what, f"{seconds:.1f}", f"{found.recall:.3f}"])
    print(table(["work", "seconds", "recall"], rows))
    print(f"\n{conditions(['faiss-cpu', 'torch', 'timm'], 'one pass')}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a folder of pictures; drawn by default")
    parser.add_argument("--images", type=int, default=8000, help="to draw")
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--bank", type=int, default=400_000)
    parser.add_argument("--queries", type=int, default=10_000)
    return parser.parse_args()


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What it gives, and the seconds that it took."""
    began = time.perf_counter()
    given = work()
    return given, time.perf_counter() - began


def draw_pictures(folder: Path, count: int) -> Path:
    """So many JPEGs of 200 x 150 px; a few drawn ones under other light make many."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    few = [draw_image(0, index, 200).image[25:175] for index in range(64)]
    for index in range(count):
        lit = cv2.convertScaleAbs(few[index % len(few)], alpha=rng.uniform(0.6, 1.2), beta=rng.uniform(-20, 20))
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), lit[..., ::-1])
    return folder


def clouds(count: int, seed: int) -> np.ndarray:
    """Vectors of 512 numbers about two thousand centres."""
    centres = np.random.default_rng(9).normal(size=(2000, 512)).astype(np.float32)
    rng = np.random.default_rng([seed, 7])
    spread = rng.standard_normal((count, 512), dtype=np.float32)
    return centres[rng.integers(len(centres), size=count)] + 0.5 * spread


if __name__ == "__main__":
    main()
