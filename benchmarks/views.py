"""Two views of an image, images per second on one core: ours against lightly's SimCLRTransform.

    python benchmarks/views.py

Both sides begin with decoded pixels and end with one normalised float32 batch (2B, 3, S, S). Ours begins with the
uint8 cache (shorter side 256 px), lightly's with PIL images, as its documentation has it: of 600 x 450 px, the size of
HAM10000, and of the cache's size.
"""

import statistics
from collections.abc import Callable

import numpy as np
import torch
from lightly.transforms import SimCLRTransform
from PIL import Image
from timing import alternate, conditions, one_core, ratio, table

from dermssl.cache import PixelCache
from dermssl.encoder import IMAGENET_MEAN, IMAGENET_STD, Normalise
from dermssl.images import Pixels, shrink
from dermssl.synthetic import draw
from pretrain.views import PRESETS, Views, collate

BATCH, ROUNDS, SIZES = 32, 9, (128, 224)
PEERS = ("lightly from 600 x 450", "lightly from 341 x 256")


def main() -> None:
    one_core()
    photographs = [draw(0, index, 600).image[75:525] for index in range(BATCH)]  # (450, 600, 3)
    small = [shrink(pixels, 256) for pixels in photographs]
    rows = []
    for size in SIZES:
        sides = {f"ours, {preset}": ours(small, preset, size) for preset in PRESETS}
        sides |= {peer: theirs(pixels, size) for peer, pixels in zip(PEERS, (photographs, small), strict=True)}
        rates = alternate(sides, ROUNDS)
        rows += [
            [f"{size} px", name, f"{statistics.median(rates[name]):.0f}", *(ratio(rates, name, peer) for peer in PEERS)]
            for name in sides
        ]
    print(table(["views of", "side", "images/s", *(f"times {peer}" for peer in PEERS)], rows))
    libraries = ["lightly", "albumentations", "torch", "torchvision", "pillow", "opencv-python-headless"]
    print(f"\n{conditions(libraries, f'medians of {ROUNDS} alternating rounds of {BATCH} images (least to largest)')}")


def ours(pictures: list[Pixels], preset: str, size: int) -> Callable[[], int]:
    """A batch from the cache, by `pretrain.views`."""
    views = Views(in_cache(pictures), preset, size, seed=0)
    normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
    return lambda: len(normalise(collate([views[0, index] for index in range(len(views))]))) // 2


def theirs(pictures: list[Pixels], size: int) -> Callable[[], int]:
    """A batch from PIL images, by lightly's transform with its own defaults."""
    transform, images = SimCLRTransform(input_size=size), [Image.fromarray(pixels) for pixels in pictures]

    def batch() -> int:
        first, second = zip(*(transform(image) for image in images), strict=True)
        return len(torch.cat([torch.stack(first), torch.stack(second)])) // 2

    return batch


def in_cache(pictures: list[Pixels]) -> PixelCache:
    """The pictures as `dermssl.cache` holds them."""
    shapes = np.array([pixels.shape for pixels in pictures])
    starts = np.concatenate([[0], shapes.prod(axis=1).cumsum()[:-1]])
    return PixelCache(np.concatenate([pixels.ravel() for pixels in pictures]), starts, shapes)


if __name__ == "__main__":
    main()
