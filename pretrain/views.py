"""Two views of an image: the recipes, and a data set that draws them from the pixel cache."""

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
from dermssl.images import Pixels
from dermssl.randomness import Draw, Order, let_draw

VIEWS = 2


def dermoscopy(size: int) -> list[A.BasicTransform]:
    """A lesion has no up, its colour is a sign, and a crop without it says nothing of it.

    So: all rotations and both flips (eight symmetries, then a turn of up to 45 degrees that is cropped to real pixels:
    no border is invented), crops of 35 % of the area and more, hue and saturation moved little, grey rarely.
    """
    return [
        A.SquareSymmetry(p=1),
        # Without border_mode albumentations' crop leaves a black rim of a pixel in nine of ten turns.
        A.Rotate(limit=45, interpolation=cv2.INTER_LINEAR, crop_border=True, border_mode=cv2.BORDER_REPLICATE, p=0.5),
        A.RandomResizedCrop((size, size), scale=(0.35, 1), ratio=(3 / 4, 4 / 3), interpolation=cv2.INTER_LINEAR),
        A.ColorJitter(brightness=(0.7, 1.3), contrast=(0.7, 1.3), saturation=(0.8, 1.2), hue=(-0.02, 0.02), p=0.8),
        A.ToGray(p=0.05),
        A.GaussianBlur(sigma_limit=(0.1, 1.5), blur_limit=0, p=0.3),
    ]


def imagenet(size: int) -> list[A.BasicTransform]:
    """SimCLR's recipe for photographs (Chen et al. 2020, appendix A) as lightly's SimCLRTransform has it."""
    sigma = (0.1, 2.0)
    return [
        A.RandomResizedCrop((size, size), scale=(0.08, 1), ratio=(3 / 4, 4 / 3), interpolation=cv2.INTER_LINEAR),
        A.HorizontalFlip(p=0.5),
        A.ColorJitter(brightness=(0.2, 1.8), contrast=(0.2, 1.8), saturation=(0.2, 1.8), hue=(-0.2, 0.2), p=0.8),
        A.ToGray(p=0.2),
        A.GaussianBlur(sigma_limit=sigma, blur_limit=0, p=0.5),
    ]


PRESETS = {"dermoscopy": dermoscopy, "imagenet": imagenet}


class Views(Dataset[NDArray[np.uint8]]):
    """Both views of an image, drawn from (seed, epoch, image, view) alone; (2, size, size, 3) uint8."""

    def __init__(self, pixels: PixelCache, preset: str, size: int, seed: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations merely warns of an argument that it does not know
            self.pipeline = A.Compose(PRESETS[preset](size), seed=0)
        self.pixels, self.seed = pixels, seed

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, draw: Draw) -> NDArray[np.uint8]:
        return np.stack([self.view(*draw, view) for view in range(VIEWS)])

    def view(self, epoch: int, index: int, view: int) -> Pixels:
        """One view, (size, size, 3)."""
        let_draw(self.pipeline, self.seed, epoch, index, view)
        drawn: Pixels = self.pipeline(image=np.asarray(self.pixels[index]))["image"]
        return drawn


def collate(pairs: Sequence[NDArray[np.uint8]]) -> Tensor:
    """B pairs of views -> (2B, 3, H, W) uint8, the first views and then the second, in memory channels last."""
    batch = np.stack(pairs, axis=1)  # (2, B, H, W, 3)
    return torch.from_numpy(batch.reshape(-1, *batch.shape[2:])).permute(0, 3, 1, 2)


def view_loader(views: Views, batch_size: int, workers: int) -> DataLoader[object]:
    """Batches of views in each epoch's order; images that fill no batch wait for another epoch's order."""
    order = Order(len(views), views.seed)
    return DataLoader(
        views,
        batch_sampler=BatchSampler(order, batch_size, drop_last=True),  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
