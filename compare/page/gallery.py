"""Pictures side by side: the same images under every arm, with outlines of truth and prediction and the IoU."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from compare.figures.pictures import MASKS, kept_masks, photograph_paths, read_photograph
from compare.page.blocks import fraction_label, points
from compare.records.study import Cell, Study
from dermssl.appearance.outlines import svg_outline
from dermssl.web_page import web_picture

SPREAD = 5  # images from the worst over the median to the best
APART = 3  # images on which either arm is ahead
COLUMNS = 4  # arms that have a column each; pictures of more stand in rows, named one by one
LINE = 6  # of those in a row of a wide page
Folders = Mapping[str, Sequence[Path]]
"""The run folders of each arm in one cell under one seed: one a fold."""


@dataclass(frozen=True)
class ArmPrediction:
    """One image under one arm; outlines are SVG path data in the picture's own pixels."""

    arm: str
    jaccard: float
    outline: str


@dataclass(frozen=True)
class GalleryRow:
    """One image: its picture as a data address or '', the outline of the truth, what every arm made of it, a word."""

    image_id: str
    source: str
    width: int
    height: int
    truth: str
    predictions: list[ArmPrediction]
    note: str


@dataclass(frozen=True)
class Sheet:
    """Some images of one cell under one seed."""

    title: str
    arms: list[str]
    rows: list[GalleryRow]
    apart: bool = False
    """Whether they are those on which two arms differ most, and not spread from the worst to the best."""

    @property
    def wide(self) -> bool:
        """Whether the arms are too many for a column each."""
        return len(self.arms) > COLUMNS


def gallery(study: Study) -> list[Sheet]:
    """Sheets of the first setting's smallest and largest label fraction, and one of where the primary arms differ most.

    Every scored image can stand in one; as far as runs have kept their masks. Photographs are those of the data set.
    """
    cells = [cell for cell in study.cells if cell[0] == study.cells[0][0]]
    ends = list(dict.fromkeys([cells[0], cells[-1]])) if cells else []
    photographs = photograph_paths(study) if ends else {}
    sheets = [sheet for cell in ends for sheet in _sheets(study, cell, photographs, apart=cell == ends[0])]
    return sorted(sheets, key=lambda sheet: sheet.apart)


def _sheets(study: Study, cell: Cell, photographs: Mapping[str, Path], apart: bool) -> list[Sheet]:
    """The cell under its first seed under which most arms have kept masks; nothing where none has."""
    runs = study.runs("finetune")
    runs = runs[(runs["setting"] == cell[0]) & (runs["label_fraction"] == cell[1]) & (runs["state"] == "done")]
    folders_by_seed = {
        seed: _mask_folders(study, runs[runs["seed"] == seed])
        for seed in sorted({float(seed) for seed in runs["seed"]})
    }
    seed = max(folders_by_seed, key=lambda seed: len(folders_by_seed[seed]), default=None)
    if seed is None or not folders_by_seed[seed]:
        return []
    folders, title = (
        _in_order(study, folders_by_seed[seed]),
        f"{cell[0]}, {fraction_label(cell[1])} of the labels, seed {seed:.0f}",
    )
    jaccard = _jaccard(study, cell, seed).reindex(columns=list(folders)).dropna()
    sheets = [Sheet(title, list(folders), _gallery_rows(_spread(study, jaccard), jaccard, folders, photographs))]
    pair = [arm for arm in study.contrasts[0] if arm in folders] if study.contrasts else []
    if apart and len(pair) == 2:
        own = {arm: folders[arm] for arm in pair}
        rows = _gallery_rows(_widest_gaps(jaccard[pair[0]] - jaccard[pair[1]]), jaccard, own, photographs)
        sheets.append(Sheet(f"Where {pair[0]} and {pair[1]} differ most: {title}", pair, rows, True))
    return [sheet for sheet in sheets if sheet.rows]


def _mask_folders(study: Study, runs: pd.DataFrame) -> Folders:
    """The run folders of every arm that hold masks; arms without any are left out."""
    arm_folders = [(arm, Path(folder)) for arm, folder in zip(runs["arm"], runs["folder"], strict=True) if folder]
    folders = {
        arm: [path for own, path in arm_folders if own == arm and (path / MASKS).is_file()]
        for arm in study.levels("arm")
    }
    return {arm: paths for arm, paths in folders.items() if paths}


def _in_order(study: Study, folders: Folders) -> Folders:
    """The arms as the study names them; of more than a row of them, those of the primary contrast first."""
    primary = study.contrasts[0] if study.contrasts and len(folders) > LINE else ()
    return {arm: folders[arm] for arm in dict.fromkeys([*primary, *folders]) if arm in folders}


def _jaccard(study: Study, cell: Cell, seed: float) -> pd.DataFrame:
    """IoU of every image of a cell under a seed, (images, arms)."""
    scores = study.scores
    rows = scores[(scores["setting"] == cell[0]) & (scores["label_fraction"] == cell[1]) & (scores["seed"] == seed)]
    return rows.pivot_table(index="image_id", columns="arm", values="jaccard")


def _spread(study: Study, jaccard: pd.DataFrame) -> dict[str, str]:
    """Up to five of the images with a word on each, evenly spaced from the worst to the best in the whole study."""
    mean = study.scores.groupby("image_id")["jaccard"].mean()
    ranked = [str(name) for name in mean.sort_values(kind="stable").index if name in jaccard.index]
    places = np.unique(np.linspace(0, len(ranked) - 1, min(SPREAD, len(ranked))).round().astype(int)).tolist()
    notes = {0: "worst", len(places) - 1: "best"} if len(places) > 1 else {}
    notes |= {2: "median"} if len(places) == SPREAD else {}
    return {ranked[place]: notes.get(i, "") for i, place in enumerate(places)}


def _widest_gaps(gap: "pd.Series[float]") -> dict[str, str]:
    """Up to three images on which the first arm is ahead by most, then up to three on which the second is."""
    gap = gap.sort_values(kind="stable", ascending=False)
    ahead, behind = gap[gap > 0].head(APART), gap[gap < 0].tail(APART)
    return {str(name): f"{points(value)} points" for name, value in (*ahead.items(), *behind.items())}


def _gallery_rows(
    notes: Mapping[str, str], jaccard: pd.DataFrame, folders: Folders, photographs: Mapping[str, Path]
) -> list[GalleryRow]:
    """Those of the noted images that every arm has kept a mask of."""
    masks = {arm: kept_masks(paths, list(notes)) for arm, paths in folders.items()}
    rows = []
    for name, note in notes.items():
        if all(name in own for own in masks.values()):
            truth = next(iter(masks.values()))[name].truth
            predictions = [
                ArmPrediction(arm, float(jaccard[arm][name]), svg_outline(own[name].prediction))
                for arm, own in masks.items()
            ]
            source = web_picture(read_photograph(photographs[name])) if name in photographs else ""
            height, width = truth.shape
            rows.append(GalleryRow(name, source, width, height, svg_outline(truth), predictions, note))
    return rows
