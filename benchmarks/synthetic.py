"""Drawn pictures per second on one core.

python -m benchmarks.synthetic
"""

import statistics
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.timing import alternate, conditions, one_core, refuse_options, table
from dermssl.synthetic.dataset import draw_image, write_dataset

IMAGES, ROUNDS, SIZE = 64, 7, 192


def drawn() -> int:
    for index in range(IMAGES):
        draw_image(0, index, SIZE)
    return IMAGES


def written(folder: Path) -> int:
    """Draws into a new folder, JPEG and PNG and metadata."""
    write_dataset(Path(tempfile.mkdtemp(dir=folder)), IMAGES, SIZE, seed=0)
    return IMAGES


if __name__ == "__main__":
    refuse_options(__doc__)
    one_core()
    with tempfile.TemporaryDirectory() as folder:
        rates = alternate({"draw": drawn, "draw and write": partial(written, Path(folder))}, ROUNDS)
    rows = [[name, f"{statistics.median(r):.0f}", f"{min(r):.0f} to {max(r):.0f}"] for name, r in rates.items()]
    print(table([f"{SIZE} px", "images/s", "least to largest"], rows))
    counts = f"{ROUNDS} alternating rounds of {IMAGES} images"
    print(f"\n{conditions(['numpy', 'opencv-python-headless'], counts)}")
