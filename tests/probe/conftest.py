from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

Draw = Callable[..., Path]


def draw_set(root: Path, count: int = 12, size: int = 64, masks: bool = True, classes: bool = True) -> Path:
    """Draws dark discs on skin, two of a lesion, with masks and two classes that colour tells apart."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for index in range(count):
        lesion, name = index // 2, f"picture_{index:02d}"
        image = np.clip(rng.normal((210, 180, 160), 8, (size, size, 3)), 0, 255).astype(np.uint8)
        mask = np.zeros((size, size), np.uint8)
        x, y = rng.integers(size // 3, 2 * size // 3, 2).tolist()
        radius = int(rng.integers(size // 6, size // 3))
        cv2.circle(mask, (x, y), radius, 255, -1)
        image[mask > 0] = (90, 40, 30) if lesion % 2 else (60, 60, 120)
        cv2.imwrite(str(root / "images" / f"{name}.png"), image[..., ::-1])
        if masks:
            cv2.imwrite(str(root / "masks" / f"{name}.png"), mask)
        rows.append({"image_id": name, "lesion_id": f"lesion_{lesion}", "dx": ("nv", "mel")[lesion % 2]})
    table = pd.DataFrame(rows)
    (table if classes else table.drop(columns="dx")).to_csv(root / "metadata.csv", index=False)
    return root


@pytest.fixture
def draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Draws a set that a test may change, by the options of `draw_set`."""
    monkeypatch.delenv("DERMSSL_CACHE", raising=False)
    return partial(draw_set, tmp_path / "set")


@pytest.fixture(scope="session")
def dozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve pictures that no test changes."""
    return draw_set(tmp_path_factory.mktemp("dozen") / "set")


@pytest.fixture
def keep_drawn() -> Callable[[int], Any]:
    """So many pictures of clouds, as a cache gives them."""

    def drawn(count: int) -> list[np.ndarray]:
        rng = np.random.default_rng(0)
        return [cv2.resize(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), (200, 150)) for _ in range(count)]

    return drawn
