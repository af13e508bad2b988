"""Augmentation of images with masks, drawn from (seed, pass, image) alone."""

import math
import warnings
from collections.abc import Sequence

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from dermssl.cache import PixelCache
from dermssl.images import Pixels, skin_colour
from dermssl.randomness import Draw, Order, let_draw

BORDERS = {
    "skin": cv2.BORDER_CONSTANT,
    "black": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "edge": cv2.BORDER_REPLICATE,
}


def resized(pixels: Pixels, size: int, *, is_mask: bool = False) -> Pixels:
    """The whole picture as a square of `size` pixels, its aspect given up, as every network input here is."""
    if is_mask:
        return (cv2.resize(pixels * 255, (size, size), interpolation=cv2.INTER_AREA) > 127).astype(np.uint8)
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def transforms(preset: str, padding: str, size: int) -> list[A.BasicTransform]:
    """The pipeline of a preset; its input and output are squares of `size` pixels."""
    if preset == "none":
        return []
    if preset == "light":
        return [A.SquareSymmetry(p=1)]
    colour = A.ColorJitter(brightness=(0.8, 1.2), contrast=(0.8, 1.2), saturation=(0.8, 1.2), hue=(-0.02, 0.02), p=0.8)
    if padding == "none":  # zooms in until no corner is uncovered
        turn: list[A.BasicTransform] = [
            # Without border_mode albumentations' crop leaves a black rim of a pixel in nine of ten turns.
            A.Rotate(limit=45, crop_border=True, border_mode=cv2.BORDER_REPLICATE, p=0.5),
            A.RandomResizedCrop((size, size), scale=(0.6, 1), ratio=(3 / 4, 4 / 3)),
        ]
    else:
        border = BORDERS[padding]
        shift = {"x": (-0.1, 0.1), "y": (-0.1, 0.1)}
        turn = [A.Affine(scale=(0.8, 1.25), translate_percent=shift, rotate=(-45, 45), border_mode=border, p=0.8)]
    return [A.SquareSymmetry(p=1), *turn, colour]


class Labelled(Dataset[tuple[Pixels, Pixels]]):
    """Augmented images (size, size, 3) with masks (size, size) of 0 and 1, both uint8.

    Args:
        images: Their pixels.
        masks: Theirs, in the same order and sizes.
        preset: none, light or dermoscopy.
        padding: What fills uncovered corners.
        size: Side of the square, pixels.
        seed: Of the draws.
    """

    def __init__(
        self, images: PixelCache, masks: PixelCache, *, preset: str, padding: str, size: int, seed: int
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations merely warns of an argument that it does not know
            self.pipeline = A.Compose(transforms(preset, padding, size), seed=0)
        self.images, self.masks, self.size, self.seed = images, masks, size, seed
        self.filled_with_skin = [t for t in self.pipeline.transforms if isinstance(t, A.Affine) and padding == "skin"]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[Pixels, Pixels]:
        number, index = draw
        image = resized(np.asarray(self.images[index]), self.size)
        mask = resized(np.asarray(self.masks[index]), self.size, is_mask=True)
        for transform in self.filled_with_skin:
            transform.fill = skin_colour(image)
        let_draw(self.pipeline, self.seed, number, index)
        drawn = self.pipeline(image=image, mask=mask)
        return drawn["image"], drawn["mask"]


def collate(pairs: Sequence[tuple[Pixels, Pixels]]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in memory channels last and masks (B, 1, H, W), both uint8."""
    images: NDArray[np.uint8] = np.stack([image for image, _ in pairs])
    masks: NDArray[np.uint8] = np.stack([mask for _, mask in pairs])
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks)[:, None]


def labelled_loader(pictures: Labelled, batch_size: int, workers: int, steps: int) -> DataLoader[object]:
    """Full batches in each pass's order; a batch may span passes, so that fewer images than a batch train as well.

    An epoch is as many passes as make a tenth of the training: a handful of images is not saved at every step.
    """
    passes = max(math.ceil(batch_size / len(pictures)), steps * batch_size // (10 * len(pictures)))
    order = Order(len(pictures), pictures.seed, passes)
    return DataLoader(
        pictures,
        batch_sampler=BatchSampler(order, batch_size, drop_last=True),  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
