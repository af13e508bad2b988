from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import finetune.run
import finetune.training.loop
from dermssl.data.pixel_cache import PixelCache
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, write_model

FIELDS = {
    "encoder": "tu-test_efficientnet", "decoder": "unet", "image_size": 32, "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.25, 0.25), "init": "random", "encoder_sha256": "", "data": "", "commit": "",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _apart(apart: None) -> None:
    """Every module of this folder keeps what it decodes to itself."""


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs draw no figures, which take half of their time."""
    monkeypatch.setattr(finetune.run, "draw_figures", lambda *_: None)
    monkeypatch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})


@pytest.fixture(scope="session")
def keep() -> Callable[[list[NDArray[np.uint8]]], PixelCache]:
    """Puts pictures or masks of any size into a pixel cache in memory."""

    def kept(pictures: list[NDArray[np.uint8]]) -> PixelCache:
        shapes = np.array([(*p.shape[:2], p.size // (p.shape[0] * p.shape[1])) for p in pictures])
        starts = np.concatenate([[0], shapes.prod(axis=1).cumsum()[:-1]])
        return PixelCache(np.concatenate([p.ravel() for p in pictures]), starts, shapes)

    return kept


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen dark discs on skin with their masks, in four sizes, two of a lesion."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    rows = ["image_id,lesion_id"]
    for part in ("images", "masks"):
        (root / part).mkdir()
    for index in range(16):
        height, width = 60 + 10 * (index % 2), 70 + 30 * (index % 4 // 2)
        mask = np.zeros((height, width), np.uint8)
        cv2.circle(mask, (int(rng.integers(25, 45)), int(rng.integers(20, 40))), int(rng.integers(8, 18)), 255, -1)
        image = rng.normal(rng.uniform(170, 230, 3), 6, (height, width, 3))
        image[mask > 0] -= rng.uniform(60, 120, 3)
        # Bare discs are near-duplicates of one another.
        image += 40 * cv2.GaussianBlur(rng.normal(size=(height, width, 1)), (0, 0), 3)[..., None]
        cv2.imwrite(str(root / "images" / f"picture_{index:02d}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"picture_{index:02d}.png"), mask)
        rows.append(f"picture_{index:02d},lesion_{index // 2}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The run folder of a network, from fields of its card and a seed; it finds islands, two of them with a hole."""

    def model(seed: int = 3, **fields: object) -> Path:
        torch.manual_seed(seed)
        card = ModelCard(**FIELDS | fields)  # type: ignore[arg-type]
        folder = tmp_path_factory.mktemp("run")
        network = build_model(card.encoder, card.decoder, card.options)
        with torch.no_grad():
            network.segmentation_head[0].weight.mul_(100)  # sure of itself: its probabilities are far apart
        write_model(folder / "model.safetensors", network, card)
        return folder

    return model
