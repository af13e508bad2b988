"""A whole small study: two inits, one decoder, two seeds, on a dozen drawn images of 32 px, and a place to do it in."""

from pathlib import Path
from typing import Self

import cv2
import numpy as np
import pandas as pd

from compare.execution.worker import do_task
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, Task

ENCODER = "tu-test_efficientnet"
PRETRAIN = """init: random
image_size: 32
cache_size: 40
epochs: 1
batch_size: 4
precision: 32-true
"""
FINETUNE = """image_size: 32
cache_size: 40
steps: 3
batch_size: 4
val_fraction: 0.25
"""


class Here:
    """Does each run in this process as it is started, since a process takes longer to start than these runs take."""

    slots = 1

    def __init__(self) -> None:
        self.outcomes: list[tuple[Task, Outcome]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def has_room(self, task: Task) -> bool:
        return not self.outcomes

    def start(self, task: Task) -> None:
        self.outcomes.append((task, do_task(task)))

    def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
        ends, self.outcomes = self.outcomes, []
        return ends


def draw_photographs(root: Path) -> Path:
    """Twelve dark discs on skin with their masks."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for index in range(12):
        mask = np.zeros((48, 64), np.uint8)
        cv2.circle(mask, (int(rng.integers(20, 44)), int(rng.integers(16, 32))), int(rng.integers(6, 14)), 255, -1)
        image = rng.normal(rng.uniform(170, 230, 3), 6, (48, 64, 3))
        image[mask > 0] -= rng.uniform(60, 120, 3)
        cv2.imwrite(str(root / "images" / f"picture_{index:02d}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"picture_{index:02d}.png"), mask)
    return root


def small_study(place: Path, photographs: Path, **more: object) -> StudyConfig:
    """A study below a folder, with two arms and two seeds where nothing else is said."""
    place.mkdir(exist_ok=True)
    (place / "pretrain.yaml").write_text(PRETRAIN)
    (place / "finetune.yaml").write_text(FINETUNE)
    small = {
        "init": ("ssl", "random"), "contrast": ("ssl", "random"), "encoder": (ENCODER,), "decoder": ("unet",),
        "label_fraction": (1.0,), "seed": (0, 1), "data": photographs, "unlabelled": photographs, "jobs": 1,
        "out": place / "studies", "runs": place / "runs", "pretrain": place / "pretrain.yaml",
        "finetune": place / "finetune.yaml",
    }  # fmt: skip
    return StudyConfig(**(small | more))  # type: ignore[arg-type]


def plan_of(study: StudyConfig) -> pd.DataFrame:
    """plan.csv, as it stands."""
    return pd.read_csv(study.folder / "plan.csv", dtype={"hash": str, "id": str}, keep_default_na=False)
