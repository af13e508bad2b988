"""Small methods of pretraining, and what they are fed: pictures, photographs, batches. For tests of several folders."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dermssl.data.pixel_cache import PixelCache
from dermssl.flags import option_names
from dermssl.weights.encoder import start_from
from pretrain.config import PretrainConfig
from pretrain.known_methods import recipe_of
from pretrain.methods.method import Method
from pretrain.views.batch import Batch


@pytest.fixture(scope="session")
def keep() -> Callable[[list[NDArray[np.uint8]]], PixelCache]:
    """Puts pictures of any size into a pixel cache in memory."""

    def kept(pictures: list[NDArray[np.uint8]]) -> PixelCache:
        shapes = np.array([(*p.shape[:2], p.size // (p.shape[0] * p.shape[1])) for p in pictures])
        starts = np.concatenate([[0], shapes.prod(axis=1).cumsum()[:-1]])
        return PixelCache(np.concatenate([p.ravel() for p in pictures]), starts, shapes)

    return kept


@pytest.fixture(scope="session")
def draw_photographs() -> Callable[..., Path]:
    """Draws discs on skin into `folder/images`, two of a lesion; with masks on wish."""

    def draw(folder: Path, count: int = 12, masks: bool = False) -> Path:
        rng = np.random.default_rng(0)
        rows = ["image_id,lesion_id"]
        for part in ("images", "masks") if masks else ("images",):
            (folder / part).mkdir(parents=True)
        for index in range(count):
            height, width = 48 + 8 * (index % 3), 64 - 8 * (index % 2)
            mask = np.zeros((height, width), np.uint8)
            cv2.circle(mask, (int(rng.integers(20, 40)), int(rng.integers(16, 32))), int(rng.integers(6, 16)), 255, -1)
            image = rng.normal(rng.uniform(150, 230, 3), 6, (height, width, 3))
            image[mask > 0] -= rng.uniform(50, 120, 3)
            cv2.imwrite(str(folder / "images" / f"picture_{index:02d}.png"), image.clip(0, 255).astype(np.uint8))
            if masks:
                cv2.imwrite(str(folder / "masks" / f"picture_{index:02d}.png"), mask)
            rows.append(f"picture_{index:02d},lesion_{index // 2}")
        (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
        return folder

    return draw


# What makes a method small enough for a test; those that a method does not have are left out.
SMALL: dict[str, object] = {
    "batch_size": 8, "hidden_dim": 32, "projection_dim": 16, "prediction_dim": 8, "bottleneck_dim": 16, "map_dim": 16,
    "prototypes": 24, "queue_size": 16, "queue_from": 0, "frozen_epochs": 0, "norm_groups": 2,
    "places": 8, "matches": 4, "decoder_grid": 4, "image_size": 64, "local_crops": 2, "local_size": 32,
    "decoder_width": 128,
}  # fmt: skip


@pytest.fixture(scope="session")
def small_method() -> Callable[..., Method]:
    """Builds the method of a name, small, with timm's smallest EfficientNet, all drawn from `seed`."""

    def build(name: str, seed: int = 0, steps: int = 10, **options: object) -> Method:
        taken = recipe_of(name)
        small = {option: value for option, value in SMALL.items() if option in option_names(taken)}
        config = taken(**(small | options))  # type: ignore[arg-type]
        teacher = start_from("random", "tu-test_efficientnet", 7)  # of every seed the same, for a checkpoint lacks it
        start = replace(start_from("random", "tu-test_efficientnet", seed), teacher=teacher)
        torch.manual_seed(seed)
        method: Method = resolve_name(taken.MODULE)(start, config, steps)
        return method

    return build


def draw_maps(count: int, generator: torch.Generator) -> Tensor:
    """Crops (count, 2, 3) of a third to all of a picture's side, turned, that stay inside the picture."""
    side, turn = 0.33 + 0.35 * torch.rand(count, generator=generator), torch.rand(count, generator=generator) * 6.3
    turned = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], dim=1).view(-1, 2, 2) * side.view(-1, 1, 1)
    room = 1 - turned.abs().sum(dim=2)  # (count, 2), what a crop may be shifted by
    shift = (2 * torch.rand(count, 2, generator=generator) - 1) * room.clamp(min=0)
    return torch.cat([turned, shift.unsqueeze(2)], dim=2)


def cut(pictures: Tensor, maps: Tensor, side: int) -> Tensor:
    """The crops (N, 3, side, side) uint8, in memory channels last, of pictures in [0, 255], one after the other.

    N is a multiple of the pictures, which repeat.
    """
    repeated = pictures.repeat(len(maps) // len(pictures), 1, 1, 1)
    grid = F.affine_grid(maps, [len(maps), 3, side, side], align_corners=False)
    crops = F.grid_sample(repeated, grid, padding_mode="reflection", align_corners=False)
    return crops.byte().contiguous(memory_format=torch.channels_last)


@pytest.fixture(scope="session")
def draw_batch() -> Callable[..., Batch]:
    """Draws the batch that a method's options ask for: turned crops of smooth pictures, with their true maps."""

    def draw(config: PretrainConfig, seed: int = 0) -> Batch:
        B, local = config.batch_size, getattr(config, "local_crops", 0)
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.rand(B, 3, 7, 7, generator=generator)
        pictures = F.interpolate(coarse, size=(96, 96), mode="bicubic").clamp(0, 1) * 255
        maps = draw_maps((2 + local) * B, generator)
        views = cut(pictures, maps[: 2 * B], config.image_size)
        small = cut(pictures, maps[2 * B :], config.local_size) if local else views[:0]  # type: ignore[attr-defined]
        return Batch(views, small, maps, torch.arange(B))

    return draw
