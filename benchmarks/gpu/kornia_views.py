"""SimCLR's views by kornia, a batch at once on the device, in place of ours in the same loop."""

import kornia.augmentation as K
import numpy as np
import torch
from torch import Tensor, nn

from dermssl.data.pixel_cache import PixelCache
from pretrain.config import PretrainConfig
from pretrain.views.batch import Batch
from pretrain.views.batches import VIEWS, StepImages, Views
from pretrain.views.view_presets import IMAGENET, ViewPreset


class KorniaViews(Views):
    """Views by the preset `imagenet`'s numbers; all pictures have one size, as kornia takes them."""

    def __init__(self, pixels: PixelCache, config: PretrainConfig, device: torch.device) -> None:
        super().__init__(pixels, config, device)
        self.device = device
        different, self.rows = np.unique(pixels.starts, return_inverse=True)
        first = [int(np.flatnonzero(pixels.starts == start)[0]) for start in different]
        stacked = np.stack([np.asarray(pixels[row]) for row in first])  # (M, H, W, 3)
        self.pictures = torch.from_numpy(stacked).permute(0, 3, 1, 2).to(device)
        self.transform = recipe(IMAGENET, config.image_size).to(device)

    def __getitem__(self, step: StepImages) -> Batch:
        chosen = torch.from_numpy(self.rows[step.images]).to(self.device, non_blocking=True)
        pictures = self.pictures[chosen].float() / 255
        views = torch.cat([self.view(pictures) for _ in range(VIEWS)])
        maps = torch.eye(2, 3).expand(len(views), 2, 3)
        return Batch(views, views.new_empty(0, 3, 32, 32), maps, torch.from_numpy(step.images))

    @torch.no_grad()
    def view(self, pictures: Tensor) -> Tensor:
        """One view of each picture in [0, 1], as uint8 in memory channels last."""
        views: Tensor = self.transform(pictures)
        return (views * 255).round().clamp(0, 255).byte().contiguous(memory_format=torch.channels_last)


def recipe(preset: ViewPreset, size: int) -> nn.Module:
    """The preset as kornia's transforms."""
    width = 2 * int(np.ceil(3 * preset.sigma[1])) + 1
    return nn.Sequential(
        K.RandomResizedCrop((size, size), scale=preset.area, ratio=preset.ratio),
        K.RandomHorizontalFlip(),
        K.ColorJitter(preset.brightness, preset.contrast, preset.saturation, preset.hue, p=preset.jittered),
        K.RandomGrayscale(p=preset.grey),
        K.RandomGaussianBlur((width, width), preset.sigma, p=preset.blurred),
    )
