from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dermssl.cache import PixelCache
from dermssl.encoder import Start
from dermssl.encoder_file import Card


@pytest.fixture(scope="module", autouse=True)
def _apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pixels that one module decodes are no other's; one thread, as these networks are too small for two."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMSSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


class Tiny(nn.Module):
    """An encoder of one convolution, with BatchNorm or without, that answers as smp's do."""

    def __init__(self, norm: bool = True) -> None:
        super().__init__()
        self.out_channels = [3, 8]
        self.convolve = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, self.norm(self.convolve(images)).relu()]


@pytest.fixture
def tiny_start() -> Callable[..., Start]:
    """A start with the one-convolution encoder, whose weights depend on the seed."""

    def start(seed: int = 0, norm: bool = True) -> Start:
        torch.manual_seed(seed)
        card = Card(encoder="tiny", method="random", mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2))
        return Start(Tiny(norm), card, "0")

    return start


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
