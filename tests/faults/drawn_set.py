"""A dozen drawn images that a forked process can read: their drawing leaves no threads behind."""

from pathlib import Path

import cv2
import numpy as np


def draw_set(root: Path) -> Path:
    """Twelve discs with masks, two of a lesion."""
    rng = np.random.default_rng(0)
    rows = ["image_id,lesion_id,dx"]
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for index in range(12):
        mask = np.zeros((48, 64), np.uint8)
        cv2.circle(mask, (int(rng.integers(20, 44)), int(rng.integers(16, 32))), int(rng.integers(6, 14)), 255, -1)
        image = rng.normal(rng.uniform(150, 230, 3), 6, (48, 64, 3))
        image[mask > 0] -= rng.uniform(60, 120, 3)
        cv2.imwrite(str(root / "images" / f"picture_{index:02d}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"picture_{index:02d}.png"), mask)
        rows.append(f"picture_{index:02d},lesion_{index // 2},{('nv', 'mel')[index // 2 % 2]}")
    (root / "metadata.csv").write_text("\n".join(rows) + "\n")
    return root
