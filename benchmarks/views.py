"""Two views of an image, images per second on one core: ours, lightly's SimCLRTransform, and albumentations.

    python -m benchmarks.views

All sides begin with decoded pixels and end with one normalised float32 batch (2B, 3, S, S). Ours begins with the uint8
cache (shorter side 256 px), lightly's with PIL images, as its documentation has it: of 600 x 450 px, the size of
HAM10000, and of the cache's size. Albumentations begins with the cache as well; its pipeline is that of the preset
`imagenet`, step for step, and its draws are seeded for each view, as ours are.
"""

import random
import statistics
from collections.abc import Callable

import albumentations as A
import cv2
import numpy as np
import torch
from lightly.transforms import SimCLRTransform
from PIL import Image

from benchmarks.timing import alternate, conditions, one_core, ratio, refuse_options, table
from dermssl.data.images import Pixels, shrink
from dermssl.data.pixel_cache import PixelCache
from dermssl.synthetic.dataset import draw_image
from dermssl.weights.encoder import IMAGENET_MEAN, IMAGENET_STD, Normalise
from pretrain.config import PretrainConfig
from pretrain.views.batches import StepImages, Views
from pretrain.views.view_presets import IMAGENET, VIEW_PRESETS

BATCH, ROUNDS, SIZES = 32, 9, (128, 224)
PEERS = ("lightly from 600 x 450", "lightly from 341 x 256", "albumentations")
WAYS = ("matrix", "sequential")


def main() -> None:
    refuse_options(__doc__)
    one_core()
    photographs = [draw_image(0, index, 600).image[75:525] for index in range(BATCH)]  # (450, 600, 3)
    small = [shrink(pixels, 256) for pixels in photographs]
    rows = []
    for size in SIZES:
        sides = {f"ours, {preset}, {way}": ours(small, preset, way, size) for preset in VIEW_PRESETS for way in WAYS}
        sides |= {peer: lightly_s(pixels, size) for peer, pixels in zip(PEERS[:2], (photographs, small), strict=True)}
        sides["albumentations"] = albumentations_s(small, size)
        rates = alternate(sides, ROUNDS)
        rows += [
            [f"{size} px", name, f"{statistics.median(rates[name]):.0f}", *(ratio(rates, name, peer) for peer in PEERS)]
            for name in sides
        ]
    print(table(["views of", "side", "images/s", *(f"times {peer}" for peer in PEERS)], rows))
    libraries = ["lightly", "albumentations", "torch", "torchvision", "pillow", "opencv-python-headless"]
    print(f"\n{conditions(libraries, f'medians of {ROUNDS} alternating rounds of {BATCH} images (least to largest)')}")


def ours(pictures: list[Pixels], preset: str, colour: str, size: int) -> Callable[[], int]:
    """A batch from the cache, by `pretrain.views.batches`."""
    config = PretrainConfig(views=preset, colour=colour, image_size=size)  # type: ignore[arg-type]
    views, everything = Views(in_cache(pictures), config, torch.device("cpu")), np.arange(len(pictures))
    normalise = Normalise(IMAGENET_MEAN, IMAGENET_STD)
    return lambda: len(normalise(views[StepImages(0, everything)].views)) // 2


def lightly_s(pictures: list[Pixels], size: int) -> Callable[[], int]:
    """A batch from PIL images, by lightly's transform with its own defaults."""
    transform, images = SimCLRTransform(input_size=size), [Image.fromarray(pixels) for pixels in pictures]

    def batch() -> int:
        first, second = zip(*(transform(image) for image in images), strict=True)
        return len(torch.cat([torch.stack(first), torch.stack(second)])) // 2

    return batch


def albumentations_s(pictures: list[Pixels], size: int) -> Callable[[], int]:
    """A batch from the cache, by albumentations with the numbers of the preset `imagenet`."""
    recipe, linear = IMAGENET, cv2.INTER_LINEAR
    changes = {name: getattr(recipe, name) for name in ("brightness", "contrast", "saturation", "hue")}
    pipeline = A.Compose(
        [
            A.RandomResizedCrop((size, size), scale=recipe.area, ratio=recipe.ratio, interpolation=linear),
            A.HorizontalFlip(p=0.5),
            A.ColorJitter(**changes, p=recipe.jittered),
            A.ToGray(p=recipe.grey),
            A.GaussianBlur(sigma_limit=recipe.sigma, blur_limit=0, p=recipe.blurred),
        ],
        seed=0,
    )
    pixels, normalise = in_cache(pictures), Normalise(IMAGENET_MEAN, IMAGENET_STD)

    def view(index: int, number: int) -> Pixels:
        # Its own seeding gives every transform the same numbers: what is mirrored is then always dark, say.
        pipeline.set_random_state(np.random.default_rng([index, number]), random.Random(2 * index + number))
        drawn: Pixels = pipeline(image=pixels[index])["image"]
        return drawn

    def batch() -> int:
        views = np.stack([view(index, number) for number in (0, 1) for index in range(len(pixels))])
        return len(normalise(torch.from_numpy(views).permute(0, 3, 1, 2))) // 2

    return batch


def in_cache(pictures: list[Pixels]) -> PixelCache:
    """The pictures as `dermssl.data.pixel_cache` holds them."""
    shapes = np.array([pixels.shape for pixels in pictures])
    starts = np.concatenate([[0], shapes.prod(axis=1).cumsum()[:-1]])
    return PixelCache(np.concatenate([pixels.ravel() for pixels in pictures]), starts, shapes)


if __name__ == "__main__":
    main()
