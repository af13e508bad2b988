"""Augmentation of images with masks, drawn from (seed, pass, image) alone."""

import math
import warnings
from collections.abc import Iterator, Sequence

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset

from dermssl.data.images import Pixels, skin_colour
from dermssl.data.pixel_cache import PixelCache
from dermssl.parallel import own_part
from dermssl.signals import leave_signals_to_parent
from dermssl.training.randomness import Draw, Order, let_draw
from finetune.augmentation.borders import bordered
from finetune.augmentation.fit import Fit
from finetune.augmentation.recipe import transforms_of
from finetune.options.augment import FitName, Padding


class AugmentedImages(Dataset[tuple[Pixels, Pixels]]):
    """Augmented images (size, size, 3) with masks (size, size) of 0 and 1, both uint8.

    Args:
        images: Pixels of the images.
        masks: Masks of the images, in the same order and sizes.
        preset: none, light, dermoscopy, strong, or a YAML file (`finetune.augmentation.recipe`).
        padding: What fills uncovered corners, and what a letterbox adds.
        size: Side of the square, pixels.
        seed: Seed of the draws.
        fit: How a picture becomes a square before it is augmented.

    Raises:
        UserError: If the YAML file or one of its entries is wrong.
    """

    def __init__(
        self,
        images: PixelCache,
        masks: PixelCache,
        *,
        preset: str,
        padding: Padding,
        size: int,
        seed: int,
        fit: FitName = "resize",
    ) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # albumentations merely warns of an argument that it does not know
            self.pipeline = A.Compose(transforms_of(preset, padding, size), seed=0)
        self.images, self.masks, self.seed, self.fit = images, masks, seed, Fit(fit, size, padding)
        self.filled_with_skin = [*bordered(self.pipeline.transforms)] if padding == "skin" else []

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, draw: Draw) -> tuple[Pixels, Pixels]:
        number, index = draw
        image, mask = self.squares(index)
        if self.filled_with_skin:
            colour = skin_colour(image)
            for transform in self.filled_with_skin:
                transform.fill = colour
        let_draw(self.pipeline, self.seed, number, index)
        sample = self.pipeline(image=image, mask=mask)
        return sample["image"], sample["mask"]

    def squares(self, index: int) -> tuple[Pixels, Pixels]:
        """Image and mask as squares, before augmentation."""
        image, mask = np.asarray(self.images[index]), np.asarray(self.masks[index])
        return self.fit.square(image), self.fit.square_mask(mask)


class OwnPartOfBatches(BatchSampler):
    """Full batches, of each of which this process takes its part: together all have what one process would have."""

    def __iter__(self) -> Iterator[list[Draw]]:  # type: ignore[override]
        for batch in super().__iter__():
            yield list(own_part(batch))  # type: ignore[arg-type]


def collate(pairs: Sequence[tuple[Pixels, Pixels]]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, H, W) in memory channels last and masks (B, 1, H, W), both uint8."""
    images: NDArray[np.uint8] = np.stack([image for image, _ in pairs])
    masks: NDArray[np.uint8] = np.stack([mask for _, mask in pairs])
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks)[:, None]


def augmented_loader(
    pictures: AugmentedImages, batch_size: int, workers: int, steps: int, done: int = 0
) -> DataLoader[object]:
    """Full batches in each pass's order; a batch may span passes, so that fewer images than a batch train as well.

    `batch_size` is that of all processes that train together, as steps are.

    An epoch is as many passes as make a tenth of the training: a handful of images is not saved at every step. The
    first one begins behind the steps of it that were `done` before a resume.
    """
    passes = max(math.ceil(batch_size / len(pictures)), steps * batch_size // (10 * len(pictures)))
    steps_an_epoch = len(pictures) * passes // batch_size
    order = Order(len(pictures), pictures.seed, passes, skipped=done % steps_an_epoch * batch_size)
    return DataLoader(
        pictures,
        batch_sampler=OwnPartOfBatches(order, batch_size, drop_last=True),  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=leave_signals_to_parent,
    )
