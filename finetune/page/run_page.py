"""What a run found as one page: scores with intervals, curves, pictures, what was guarded against, what it cost."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from dermssl.data.images import read_rgb
from dermssl.files import write_text
from dermssl.flags import plain_options
from dermssl.scores.counts import ISIC_THRESHOLD
from dermssl.scores.intervals import ScoreInterval, class_mean
from dermssl.web_page import filled_page, page_templates, web_picture
from dermssl.wording import counted, duration, room
from finetune.options.config import FinetuneConfig

HERE = Path(__file__).parent
WIDEST = 1500  # pixels of a figure on the page
WORST = 12  # images with the lowest IoU that are named
MEASURES = {  # score of scores.parquet -> what it is called, and how it is read
    "jaccard": ("IoU", "overlap of mask and truth: intersection over union, also Jaccard index"),
    "isic_jaccard": (
        "ISIC threshold Jaccard",
        f"IoU, and 0 below {ISIC_THRESHOLD}: the challenge's score",
    ),
    "dice": ("Dice", "overlap again, twice the intersection over both areas"),
    "sensitivity": ("sensitivity", "share of the lesion that was found"),
    "specificity": ("specificity", "share of the skin that was left alone"),
    "surface_dice": ("surface Dice", "share of the outline that is where it should be, to a few pixels"),
    "hd95_share": ("HD95", "distance of the outlines that 95 % stay within, as a share of the picture's diagonal"),
}
FIGURES = {  # file in figures/ -> title, and what to see in it
    "predictions": ("Best, median and worst", "Outlines of truth and prediction on held-out images."),
    "iou_histogram": ("IoU of the images", f"Left of {ISIC_THRESHOLD} an image counts as failed."),
    "learning_curves": ("Training", "Loss and learning rate over the steps."),
    "calibration": ("Calibration", "How often a pixel is lesion where the network says so with this probability."),
    "augmentation": ("What the network saw", "Training images as the augmentation drew them."),
}

PLACES_AND_PACE = frozenset({"data", "out", "checkpoints", "resume", "threads", "workers"})


@dataclass(frozen=True)
class ScoreRow:
    """A score with its interval over lesions."""

    name: str
    meaning: str
    interval: ScoreInterval


@dataclass(frozen=True)
class FigureOnPage:
    """A figure of the run as a data address."""

    title: str
    caption: str
    source: str
    width: int
    height: int


@dataclass(frozen=True)
class RunFindings:
    """What a run has found by its end."""

    folder: Path
    """Holds figures/ by now."""
    scores: pd.DataFrame
    """An image a row, with `image_id`, `lesion_id` and scores."""
    result: Mapping[str, object]
    """As result.json will have it."""
    said: Sequence[str]
    """What the log says of images, network, split and leaks, a sentence each."""
    predict: str
    """The command that segments with this network."""


def write_run_page(config: FinetuneConfig, findings: RunFindings) -> Path:
    """Writes report.html into the run folder; returns it."""
    scores = score_rows(findings.scores, config.seed)
    context = {
        "name": findings.folder.name,
        "headline": headline(config, scores[0], findings),
        "scores": scores,
        "failed": float((findings.scores["jaccard"] < ISIC_THRESHOLD).mean()),
        "limit": ISIC_THRESHOLD,
        "figures": list(figures_of(findings.folder / "figures")),
        "worst": worst(findings.scores),
        "said": findings.said,
        "cost": cost(findings.result),
        "options": options_apart(config),
        "predict": findings.predict,
        "again": f"python -m finetune --config {shlex.quote(str(findings.folder / 'config.yaml'))} --out runs/again",
    }
    templates = page_templates(HERE)
    templates.filters |= {"share": as_share, "percent": lambda value: f"{100 * value:.0f} %"}
    style = (HERE / "run_page.css").read_text(encoding="utf-8")
    page = findings.folder / "report.html"
    write_text(page, filled_page(templates, "run_page.html.j2", context, style=style))
    return page


def score_rows(scores: pd.DataFrame, seed: int) -> list[ScoreRow]:
    """The mean of every score that the table has, over images, with the interval that resampling lesions gives."""
    lesions = lesions_of(scores)
    whole = np.zeros(len(scores), int)
    return [
        ScoreRow(*MEASURES[name], class_mean(scores[name], whole, lesions, seed)) for name in MEASURES if name in scores
    ]


def lesions_of(scores: pd.DataFrame) -> "pd.Series[str]":
    """The lesion of each image; one without is its own."""
    return scores["lesion_id"].where(scores["lesion_id"] != "", scores["image_id"])


def headline(config: FinetuneConfig, iou: ScoreRow, findings: RunFindings) -> str:
    """What came out, in a sentence."""
    mean, low, high = iou.interval
    lesions = lesions_of(findings.scores).nunique()
    reach = f", 95 % interval {low:.3f} to {high:.3f}" if isfinite(low) else ""
    return (
        f"{config.decoder} on {config.encoder}, started from {findings.result['init']} weights and trained on "
        f"{counted(int(str(findings.result['n_train'])), 'image')} with masks, segments "
        f"{counted(len(findings.scores), 'held-out image')} of {counted(lesions, 'lesion')} with a mean IoU of "
        f"{mean:.3f}{reach}."
    )


def worst(scores: pd.DataFrame) -> list[dict[str, object]]:
    """The images with the lowest IoU."""
    rows = scores.sort_values("jaccard", kind="stable").head(WORST)
    return [
        {name: row[name] for name in ("image_id", "jaccard", "sensitivity", "specificity")}
        for _, row in rows.iterrows()
    ]


def figures_of(folder: Path) -> list[FigureOnPage]:
    """The figures that were drawn, smaller where they are wider than a page."""
    drawn = [(folder / f"{name}.png", *words) for name, words in FIGURES.items()]
    return [figure_on_page(path, title, caption) for path, title, caption in drawn if path.is_file()]


def figure_on_page(path: Path, title: str, caption: str) -> FigureOnPage:
    """A figure as a data address in WebP."""
    pixels = read_rgb(path)
    if pixels.shape[1] > WIDEST:
        size = (WIDEST, round(pixels.shape[0] * WIDEST / pixels.shape[1]))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return FigureOnPage(title, caption, web_picture(pixels), pixels.shape[1], pixels.shape[0])


def cost(result: Mapping[str, object]) -> list[tuple[str, str]]:
    """What the run took, in words."""
    rows = [
        ("time", duration(result_entry(result, "seconds"))),
        ("training", f"{result_entry(result, 'images_per_second'):.0f} images/s"),
        ("memory", memory(result)),
        ("energy", f"{result_entry(result, 'energy_wh'):.1f} Wh"),
    ]
    return [(name, words) for name, words in rows if "nan" not in words and words != "-"]


def memory(result: Mapping[str, object]) -> str:
    """What the run held at most."""
    held = result_entry(result, "memory_mb")
    return room(1e6 * held) if isfinite(held) else "-"


def result_entry(result: Mapping[str, object], name: str) -> float:
    """A number of the result; nan where it has none."""
    value = result.get(name)
    return float(value) if isinstance(value, int | float) else float("nan")


def options_apart(config: FinetuneConfig) -> list[tuple[str, object]]:
    """The options that are not the defaults, but for places."""
    standard = plain_options(FinetuneConfig())
    silent = {"data", "out", "checkpoints", "resume", "threads", "workers"}
    return [
        (name, value) for name, value in plain_options(config).items() if value != standard[name] and name not in silent
    ]


def as_share(value: float) -> str:
    """A share to three digits; of what is no number, a dash."""
    return f"{value:.3f}" if isfinite(value) else "-"
