"""Pictures side by side: the same images under every arm, with outlines of truth and prediction and the IoU."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from compare.page.blocks import labels, points
from compare.tables.study import Cell, Study
from dermssl.outlines import svg_outline

SPREAD = 5  # images from the worst over the median to the best
APART = 3  # images on which either arm is ahead
Examples = dict[str, dict[str, Path]]
"""Folder of an image's saved pictures, by arm and by the name that they were saved under."""


@dataclass(frozen=True)
class Prediction:
    """One image under one arm; outlines are SVG path data in the picture's own pixels."""

    arm: str
    jaccard: float
    outline: str


@dataclass(frozen=True)
class Row:
    """One image: its picture as a data address, the outline of the truth, what every arm made of it, a word on it."""

    image_id: str
    source: str
    width: int
    height: int
    truth: str
    predictions: list[Prediction]
    note: str


@dataclass(frozen=True)
class Sheet:
    """Some images of one cell under one seed."""

    title: str
    arms: list[str]
    rows: list[Row]
    apart: bool = False
    """Whether they are those on which two arms differ most, and not spread from the worst to the best."""


def gallery(study: Study) -> list[Sheet]:
    """Sheets of the first setting's smallest and largest label fraction, and one of where the primary arms differ most.

    As far as runs have left examples.
    """
    cells = [cell for cell in study.cells if cell[0] == study.cells[0][0]]
    ends = list(dict.fromkeys([cells[0], cells[-1]])) if cells else []
    made = [sheet for cell in ends for sheet in _sheets(study, cell, apart=cell == ends[0])]
    return sorted(made, key=lambda sheet: sheet.apart)


def web_picture(path: Path, longest: int) -> tuple[str, int, int]:
    """A picture as a data address in WebP, no side longer than `longest` pixels, and its width and height."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, format="WEBP", quality=85)
    return "data:image/webp;base64," + base64.b64encode(data.getvalue()).decode(), picture.width, picture.height


def _sheets(study: Study, cell: Cell, apart: bool) -> list[Sheet]:
    """The cell under its first seed that has examples in most arms; nothing where no run has any."""
    runs = study.runs("finetune")
    runs = runs[(runs["setting"] == cell[0]) & (runs["label_fraction"] == cell[1]) & (runs["state"] == "done")]
    shown = {seed: _examples(runs[runs["seed"] == seed]) for seed in sorted({float(seed) for seed in runs["seed"]})}
    seed = max(shown, key=lambda seed: len(shown[seed]), default=None)
    if seed is None or not shown[seed]:
        return []
    examples = {arm: shown[seed][arm] for arm in study.levels("arm") if arm in shown[seed]}
    jaccard = _jaccard(study, cell, seed)
    title = f"{cell[0]}, {labels(cell[1])} of the labels, seed {seed:.0f}"
    sheets = [Sheet(title, list(examples), _spread(study, examples, jaccard))]
    pair = [arm for arm in study.contrasts[0] if arm in examples] if study.contrasts else []
    if apart and len(pair) == 2:
        own = {arm: examples[arm] for arm in pair}
        sheets.append(Sheet(f"Where {pair[0]} and {pair[1]} differ most: {title}", pair, _apart(own, jaccard), True))
    return [sheet for sheet in sheets if sheet.rows]


def _examples(runs: pd.DataFrame) -> Examples:
    """Saved images of each arm, of all its folds, where a run has left any."""
    found: Examples = {}
    for arm, folder in zip(runs["arm"], runs["folder"], strict=True):
        for path in sorted((Path(folder) / "examples").glob("*_prediction.png")) if folder else []:
            name = path.name.removesuffix("_prediction.png")
            if all((path.parent / f"{name}{end}").is_file() for end in (".jpg", "_truth.png")):
                found.setdefault(str(arm), {})[name] = path.parent
    return found


def _jaccard(study: Study, cell: Cell, seed: float) -> pd.DataFrame:
    """IoU of every image of a cell under a seed, (images, arms), by the name that pictures are saved under."""
    scores = study.scores
    rows = scores[(scores["setting"] == cell[0]) & (scores["label_fraction"] == cell[1]) & (scores["seed"] == seed)]
    names = rows["image_id"].str.replace("/", "_")
    return rows.assign(name=names).pivot_table(index="name", columns="arm", values="jaccard")


def _common(examples: Examples, jaccard: pd.DataFrame) -> pd.DataFrame:
    """IoU of the images that every arm has saved and scored, (images, arms)."""
    saved = set.intersection(*map(set, examples.values()))
    arms = [arm for arm in examples if arm in jaccard]
    rows = jaccard.loc[[name for name in jaccard.index if name in saved], arms].dropna()
    return rows if len(arms) == len(examples) else rows.head(0)


def _spread(study: Study, examples: Examples, jaccard: pd.DataFrame) -> list[Row]:
    """Up to five images, evenly spaced from the worst to the best by mean IoU over the whole study."""
    common = _common(examples, jaccard)
    mean = study.scores.groupby(study.scores["image_id"].str.replace("/", "_"))["jaccard"].mean()
    ranked = [str(name) for name in mean.sort_values(kind="stable").index if name in common.index]
    places = np.unique(np.linspace(0, len(ranked) - 1, min(SPREAD, len(ranked))).round().astype(int)).tolist()
    notes = {0: "worst", len(places) - 1: "best"} if len(places) > 1 else {}
    notes |= {2: "median"} if len(places) == SPREAD else {}
    return [_row(ranked[place], examples, jaccard, notes.get(i, "")) for i, place in enumerate(places)]


def _apart(examples: Examples, jaccard: pd.DataFrame) -> list[Row]:
    """Up to three images on which the first arm is ahead by most, then up to three on which the second is."""
    common = _common(examples, jaccard)
    first, second = examples
    gap = (common[first] - common[second]).sort_values(kind="stable", ascending=False)
    ahead, behind = gap[gap > 0].head(APART), gap[gap < 0].tail(APART)
    told = {str(name): f"{points(value)} points" for name, value in (*ahead.items(), *behind.items())}
    return [_row(name, examples, jaccard, note) for name, note in told.items()]


def _row(name: str, examples: Examples, jaccard: pd.DataFrame, note: str) -> Row:
    first = next(iter(examples.values()))[name]
    source, width, height = web_picture(first / f"{name}.jpg", 256)
    predictions = [
        Prediction(arm, float(jaccard[arm][name]), svg_outline(_mask(folders[name] / f"{name}_prediction.png")))
        for arm, folders in examples.items()
    ]
    return Row(name, source, width, height, svg_outline(_mask(first / f"{name}_truth.png")), predictions, note)


def _mask(path: Path) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    with Image.open(path) as opened:
        return np.asarray(opened.convert("L")) > 127
