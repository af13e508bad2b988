"""Pictures side by side: the same images under every arm, with outlines of truth and prediction and the IoU."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from compare.study import Cell, Study
from dermssl.outlines import svg_outline

ROWS = 6


@dataclass(frozen=True)
class Prediction:
    """One image under one arm; outlines are SVG path data in the picture's own pixels."""

    arm: str
    jaccard: float
    outline: str


@dataclass(frozen=True)
class Row:
    """One image: its picture as a data address, the outline of the truth, and what every arm made of it."""

    image_id: str
    source: str
    width: int
    height: int
    truth: str
    predictions: list[Prediction]


@dataclass(frozen=True)
class Sheet:
    """The images of one cell under one seed."""

    network: str
    label_fraction: float
    seed: int
    arms: list[str]
    rows: list[Row]


def gallery(study: Study) -> list[Sheet]:
    """A sheet for the first network's smallest label fraction and one for its largest, as far as there are examples."""
    cells = [cell for cell in study.cells if cell[0] == study.cells[0][0]]
    ends = dict.fromkeys([cells[0], cells[-1]]) if cells else {}
    return [sheet for cell in ends if (sheet := _sheet(study, cell)) is not None]


def web_picture(path: Path, longest: int) -> tuple[str, int, int]:
    """A picture as a data address in WebP, no side longer than `longest` pixels, and its width and height."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, format="WEBP", quality=88)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode(), picture.width, picture.height


def _sheet(study: Study, cell: Cell) -> Sheet | None:
    """The cell under its first seed that has examples in most arms; None where no run has any."""
    runs = study.runs("finetune")
    runs = runs[(runs["network"] == cell[0]) & (runs["label_fraction"] == cell[1]) & (runs["state"] == "done")]
    shown = {seed: _folders(runs[runs["seed"] == seed]) for seed in sorted({float(seed) for seed in runs["seed"]})}
    seed = max(shown, key=lambda seed: len(shown[seed]), default=None)
    if seed is None or not shown[seed]:
        return None
    folders = {arm: shown[seed][arm] for arm in study.levels("arm") if arm in shown[seed]}
    scores = study.scores[(study.scores["network"] == cell[0]) & (study.scores["label_fraction"] == cell[1])]
    jaccard = scores[scores["seed"] == seed].set_index(["arm", "image_id"])["jaccard"]
    images = _spread(set.intersection(*map(_image_ids, folders.values())), study)
    rows = [_row(image_id, folders, jaccard) for image_id in images]
    return Sheet(cell[0], cell[1], int(seed), list(folders), rows) if rows else None


def _folders(runs: pd.DataFrame) -> dict[str, Path]:
    """Examples of each arm, where a run has left any."""
    folders = {str(arm): Path(folder) / "examples" for arm, folder in zip(runs["arm"], runs["folder"], strict=True)}
    return {arm: folder for arm, folder in folders.items() if _image_ids(folder)}


def _image_ids(folder: Path) -> set[str]:
    return {path.name.removesuffix("_prediction.png") for path in folder.glob("*_prediction.png")}


def _spread(image_ids: set[str], study: Study) -> list[str]:
    """Up to six of the images, evenly spaced from the worst to the best by mean IoU over the whole study."""
    mean = study.scores.groupby("image_id")["jaccard"].mean()
    ranked = [str(i) for i in mean.sort_values(kind="stable").index if i in image_ids]
    places = np.unique(np.linspace(0, len(ranked) - 1, min(ROWS, len(ranked))).round().astype(int))
    return [ranked[place] for place in places]


def _row(image_id: str, folders: dict[str, Path], jaccard: "pd.Series[float]") -> Row:
    first = next(iter(folders.values()))
    source, width, height = web_picture(first / f"{image_id}.jpg", 256)
    predictions = [
        Prediction(arm, float(jaccard[(arm, image_id)]), svg_outline(_mask(folder / f"{image_id}_prediction.png")))
        for arm, folder in folders.items()
    ]
    return Row(image_id, source, width, height, svg_outline(_mask(first / f"{image_id}_truth.png")), predictions)


def _mask(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L")) > 127
