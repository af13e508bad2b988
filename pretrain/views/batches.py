"""Batches of views: which images come when, what is drawn for each, and the engine that paints it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from dermssl.data.pixel_cache import PixelCache
from dermssl.parallel import rank, world
from dermssl.signals import leave_signals_to_parent
from dermssl.training.randomness import order_of
from pretrain.config import PretrainConfig
from pretrain.recipes import MultiCropConfig
from pretrain.views.batch import Batch
from pretrain.views.cpu import CpuPainter
from pretrain.views.draws import ViewParameters, draw_views, uniform_numbers
from pretrain.views.gpu import GpuPainter
from pretrain.views.view_presets import VIEW_PRESETS

VIEWS = 2
NEVER = 2**32  # an epoch that no training comes to
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class StepImages:
    """The images of a step, and the epoch they are drawn for."""

    epoch: int
    images: Rows


class StepSampler(Sampler[StepImages]):
    """Each epoch's steps in its order, the share of this process; images that fill no batch wait for another epoch.

    Args:
        count: Images.
        batch_size: Images of a step, over all processes.
        seed: Seed of the orders.
        skipped: Steps of the first epoch that were done before a resume.
    """

    def __init__(self, count: int, batch_size: int, seed: int, skipped: int = 0) -> None:
        self.count, self.batch_size, self.seed, self.skipped = count, batch_size, seed, skipped
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, also the first one after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[StepImages]:
        order = order_of(self.count, self.seed, self.epoch)
        first, self.skipped = self.skipped, 0
        for step in range(first, len(self)):
            whole = order[step * self.batch_size : (step + 1) * self.batch_size]
            yield StepImages(self.epoch, np.split(whole, world())[rank()])

    def __len__(self) -> int:
        return self.count // self.batch_size


class Views(Dataset[Batch]):
    """Views of the pictures in a cache, drawn from (seed, epoch, image, view) alone.

    Args:
        pixels: The pictures.
        config: ViewPreset, sizes, padding and seed.
        device: Where they are painted: on a CPU by OpenCV, elsewhere all at once.
    """

    def __init__(self, pixels: PixelCache, config: PretrainConfig, device: torch.device) -> None:
        self.pixels, self.config, self.preset = pixels, config, VIEW_PRESETS[config.views]
        self.local_crops, self.local_size = 0, 32
        if isinstance(config, MultiCropConfig):
            self.local_crops, self.local_size = config.local_crops, config.local_size
        self.sizes = pixels.shapes[:, 1::-1].astype(np.float64)  # (M, 2), width and height
        self.painter: CpuPainter | GpuPainter = (
            CpuPainter(pixels, config.padding, config.colour)
            if device.type == "cpu"
            else GpuPainter(pixels, config.padding, config.colour, device)
        )

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, step: StepImages) -> Batch:
        views = [self.parameters_of(step, view) for view in range(VIEWS)]
        crops = [self.parameters_of(step, VIEWS + crop) for crop in range(self.local_crops)]
        return Batch(
            views=self.paint(views, step.images, self.config.image_size),
            local=self.paint(crops, step.images, self.local_size),
            maps=torch.from_numpy(np.concatenate([view.maps for view in [*views, *crops]])).float(),
            images=torch.from_numpy(step.images),
        )

    def unseen(self, images: Rows) -> Batch:
        """Views of these images, always the same ones, that no training shows."""
        return self[StepImages(NEVER, images)]

    def parameters_of(self, step: StepImages, view: int) -> ViewParameters:
        """One view of each image of a step; from the third on they are small crops."""
        config = self.config
        return draw_views(
            uniform_numbers(config.seed, step.epoch, step.images, view),
            self.sizes[step.images],
            self.preset,
            area=self.preset.area if view < VIEWS else self.preset.local_area,
            padded=config.padding != "none",
            solarise=config.solarise if view == 1 else 0.0,
        )

    def paint(self, views: list[ViewParameters], images: Rows, size: int) -> Tensor:
        """(views * B, 3, size, size) uint8, all images of a view behind each other, in memory channels last."""
        if not views:
            return torch.empty(0, 3, size, size, dtype=torch.uint8)
        whole = ViewParameters(
            *(np.concatenate(parts) for parts in zip(*(vars(view).values() for view in views), strict=True))
        )
        painted = self.painter.paint(whole, np.tile(images, len(views)), size)
        if isinstance(painted, Tensor):
            return painted
        return torch.from_numpy(painted).permute(0, 3, 1, 2)


def view_loader(views: Views, config: PretrainConfig, skipped: int = 0) -> DataLoader[Batch]:
    """The batches of each epoch; `skipped` steps of the first one are left out."""
    sampler = StepSampler(len(views), config.batch_size, config.seed, skipped)
    workers = config.workers if isinstance(views.painter, CpuPainter) else 0  # a device belongs to this process
    return DataLoader(
        views,
        sampler=sampler,
        batch_size=None,  # a step's images are drawn and painted together
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=leave_signals_to_parent,
    )
