"""What is measured of one encoder: its classes, its masks, its invariance, each as a score with an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from dermssl.data.pixel_cache import PixelCache
from dermssl.features.dense import MaskedPictures, probe_dense
from dermssl.features.frozen import Features, FrozenEncoder
from dermssl.scores.intervals import ScoreInterval
from dermssl.weights.encoder import Start
from dermssl.wording import counted, interval_in_words
from probe.config import ProbeConfig
from probe.scores.dense_summary import clamped, summaries
from probe.scores.invariance import probe_invariance
from probe.scores.knn import probe_neighbours
from probe.scores.labels import ClassSplit
from probe.scores.linear import probe_linear
from probe.scores.two_views import TwoViews

Result = dict[str, object]


class ScoreLine(NamedTuple):
    """A score as it is printed."""

    probe: str
    score: str
    interval: ScoreInterval
    images: int
    """Held-out images that the score is of."""


@dataclass(frozen=True)
class ProbeTask:
    """What every encoder is probed with: options, images, classes and masks; the same for all of them."""

    config: ProbeConfig
    images: PixelCache
    """All of them, in the manifest's order."""
    classes: ClassSplit
    pictures: MaskedPictures
    pairs: np.ndarray
    """Rows of the held-out images whose two views are compared."""
    lesions: np.ndarray
    """The lesion of each of all images, (N,)."""
    skipped: Mapping[str, str]


@dataclass
class ProbedEncoder:
    """An encoder and what was measured of it."""

    name: str
    """As the user asked for it, for figures and tables."""
    start: Start
    frozen_encoder: FrozenEncoder | None
    """None where nothing but its features is known."""
    features: Features
    first: bool
    """Whether it is the encoder of --init, whose files have plain names."""
    result: Result = field(default_factory=dict)
    rows: list[ScoreLine] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What figures call it: the method of its pretraining, imagenet or random."""
        return self.start.card.method

    @property
    def short(self) -> str:
        """What files call it: the same, with the weights' hash where it was pretrained."""
        ssl = self.start.init == "ssl"
        return f"{self.label}-{self.start.sha256[:6]}" if ssl else self.label

    def file(self, name: str) -> str:
        """A file's place below the run folder: CSV files are tables, PNG files are figures."""
        stem, _, suffix = name.rpartition(".")
        folder = {"csv": "tables/", "png": "figures/"}.get(suffix, "")
        return f"{folder}{name}" if self.first else f"{folder}{stem}_{self.short}.{suffix}"

    @property
    def entry(self) -> Result:
        """What result.json holds of it."""
        return {"init": self.start.init, "name": self.short, "encoder_sha256": self.start.sha256, **self.result}

    def add(self, name: str, row: ScoreLine, score: str, **more: object) -> None:
        """Keeps a score for result.json and for the table on the terminal."""
        self.rows.append(row)
        self.result[name] = score_entry(score, row.interval, row.images, **more)


def measure_encoder(probed: ProbedEncoder, task: ProbeTask) -> None:
    """Fills in every score that these images allow."""
    if "knn" not in task.skipped:
        measure_classes(probed, task)
    if probed.frozen_encoder is None:  # the rest takes pictures that go through it
        return
    if "dense" not in task.skipped:
        measure_masks(probed, probed.frozen_encoder, task)
    if "invariance" not in task.skipped:
        measure_invariance(probed, probed.frozen_encoder, task)


def measure_classes(probed: ProbedEncoder, task: ProbeTask) -> None:
    """Classes: by the vote of neighbours and by a linear classifier."""
    classes, config = task.classes, task.config
    held_out = len(classes.val)
    neighbours = probe_neighbours(probed.features, classes, config.k, config.seed)
    probed.tables["knn_confusion.csv"] = neighbours.confusion.reset_index()
    row = ScoreLine(f"kNN, k = {neighbours.k}", "balanced accuracy", neighbours.accuracy, held_out)
    probed.add("knn", row, "balanced_accuracy", k=neighbours.k, classes=list(classes.names), recall=neighbours.recall)
    linear = probe_linear(probed.features, classes, config.seed)
    row = ScoreLine(f"linear, C = {linear.strength:g}", "balanced accuracy", linear.accuracy, held_out)
    probed.add("linear", row, "balanced_accuracy", C=linear.strength)


def measure_masks(probed: ProbedEncoder, frozen_encoder: FrozenEncoder, task: ProbeTask) -> None:
    """Masks: by a linear map from feature maps, fitted on ever more pictures."""
    pictures = task.pictures
    sizes = clamped(task.config.dense_images, len(pictures.train))
    table = probe_dense(frozen_encoder, task.images, pictures, sizes)
    probed.tables["scores.parquet"] = table
    by_images: Result = {}
    for size, score in summaries(table, task.config.seed).items():
        row = ScoreLine(f"dense, {counted(size, 'mask')}", "IoU per image", score, len(pictures.val))
        probed.add("dense", row, "jaccard", n_train=size)  # the largest stands last and stays
        by_images[str(size)] = probed.result["dense"]
    probed.result["dense_by_images"] = by_images


def measure_invariance(probed: ProbedEncoder, frozen_encoder: FrozenEncoder, task: ProbeTask) -> None:
    """Two views of a picture against strangers, and how full the space of features is."""
    views = TwoViews(task.images.take(task.pairs.tolist()), task.config.image_size, task.config.seed)
    measured = probe_invariance(frozen_encoder.features(views), task.lesions[task.pairs], task.config.seed)
    count = len(task.pairs)
    probed.rows.append(ScoreLine("two views", "told from strangers", measured.recognised, count))
    probed.rows.append(ScoreLine("two views", "cosine of a pair", measured.pairs, count))
    probed.result["invariance"] = {
        "recognised": score_entry("share", measured.recognised, count),
        "pairs": score_entry("cosine", measured.pairs, count),
        "strangers": measured.strangers,
        "rankme": measured.rankme,
        "alignment": measured.alignment,
        "uniformity": measured.uniformity,
    }


def score_entry(score: str, interval: ScoreInterval, count: int, **more: object) -> Result:
    """A score with its interval and the number of images it is of, as result.json holds them."""
    return {score: interval.mean, "low": interval.low, "high": interval.high, "n": count} | more


def as_table(rows: Sequence[ScoreLine]) -> str:
    """The scores for people, a line each."""
    lines = [f"{'probe':<22}{'score':<22}{'mean':>6}   {'95 % interval':<16}{'images':>6}"]
    for row in rows:
        mean, low, high = row.interval
        lines.append(f"{row.probe:<22}{row.score:<22}{mean:>6.3f}   {interval_in_words(low, high):<16}{row.images:>6}")
    return "\n".join(lines)
