"""What is measured of one encoder: its classes, its masks, its invariance, each as a score with an interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pandas as pd

from dermssl.data.pixel_cache import PixelCache
from dermssl.features.dense import Masked, probe_dense
from dermssl.features.frozen import Features, FrozenEncoder
from dermssl.weights.encoder import Start
from probe.config import ProbeConfig
from probe.scores.dense_summary import clamped, summaries
from probe.scores.intervals import Interval
from probe.scores.invariance import probe_invariance
from probe.scores.knn import probe_neighbours
from probe.scores.labels import Labelled
from probe.scores.linear import probe_linear
from probe.scores.two_views import TwoViews

Result = dict[str, object]


class Row(NamedTuple):
    """A score as it is printed."""

    probe: str
    score: str
    interval: Interval
    images: int
    """Held out."""


@dataclass(frozen=True)
class Asked:
    """What is asked of every encoder alike."""

    config: ProbeConfig
    images: PixelCache
    """All of them, in the manifest's order."""
    known: Labelled
    pictures: Masked
    pairs: np.ndarray
    """Rows of the images whose two views are compared."""
    lesions: np.ndarray
    """Of all images, (N,)."""
    skipped: Mapping[str, str]


@dataclass
class Probed:
    """An encoder and what was found of it."""

    name: str
    """As the user asked for it, for figures and tables."""
    start: Start
    eye: FrozenEncoder
    features: Features
    first: bool
    """Whether it is the one of --init, whose files have plain names."""
    result: Result = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
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

    def add(self, name: str, row: Row, score: str, **more: object) -> None:
        """Keeps a score for result.json and for the table on the terminal."""
        self.rows.append(row)
        self.result[name] = scored(score, row.interval, row.images, **more)


def measure(one: Probed, asked: Asked) -> None:
    """Fills in every score that these images allow."""
    if "knn" not in asked.skipped:
        classes(one, asked)
    if "dense" not in asked.skipped:
        masks(one, asked)
    if "invariance" not in asked.skipped:
        invariance(one, asked)


def classes(one: Probed, asked: Asked) -> None:
    """Classes: by the vote of neighbours and by a linear classifier."""
    known, config = asked.known, asked.config
    held = len(known.val)
    found = probe_neighbours(one.features, known, config.k, config.seed)
    one.tables["knn_confusion.csv"] = found.confusion.reset_index()
    row = Row(f"kNN, k = {found.k}", "balanced accuracy", found.accuracy, held)
    one.add("knn", row, "balanced_accuracy", k=found.k, classes=list(known.names), recall=found.recall)
    linear = probe_linear(one.features, known, config.seed)
    row = Row(f"linear, C = {linear.strength:g}", "balanced accuracy", linear.accuracy, held)
    one.add("linear", row, "balanced_accuracy", C=linear.strength)


def masks(one: Probed, asked: Asked) -> None:
    """Masks: by a linear map from feature maps, fitted on ever more pictures."""
    pictures = asked.pictures
    sizes = clamped(asked.config.dense_images, len(pictures.train))
    table = probe_dense(one.eye, asked.images, pictures, sizes)
    one.tables["scores.parquet"] = table
    found: Result = {}
    for size, interval in summaries(table, asked.config.seed).items():
        row = Row(f"dense, {size} masks", "IoU per image", interval, len(pictures.val))
        one.add("dense", row, "jaccard", n_train=size)  # the largest stands last and stays
        found[str(size)] = one.result["dense"]
    one.result["dense_by_images"] = found


def invariance(one: Probed, asked: Asked) -> None:
    """Two views of a picture against strangers, and how full the space of features is."""
    views = TwoViews(asked.images.take(asked.pairs.tolist()), asked.config.image_size, asked.config.seed)
    found = probe_invariance(one.eye.features(views), asked.lesions[asked.pairs], asked.config.seed)
    count = len(asked.pairs)
    one.rows.append(Row("two views", "told from strangers", found.recognised, count))
    one.rows.append(Row("two views", "cosine of a pair", found.pairs, count))
    one.result["invariance"] = {
        "recognised": scored("share", found.recognised, count),
        "pairs": scored("cosine", found.pairs, count),
        "strangers": found.strangers,
        "rankme": found.rankme,
        "alignment": found.alignment,
        "uniformity": found.uniformity,
    }


def scored(score: str, interval: Interval, count: int, **more: object) -> Result:
    """A score with its interval and the number of images it is of, as result.json holds them."""
    return {score: interval.mean, "low": interval.low, "high": interval.high, "n": count} | more


def as_table(rows: Sequence[Row]) -> str:
    """The scores for people, a line each."""
    lines = [f"{'probe':<22}{'score':<22}{'mean':>6}   {'95 % interval':<16}{'images':>6}"]
    for row in rows:
        interval = f"{row.interval.low:.3f} to {row.interval.high:.3f}"
        lines.append(f"{row.probe:<22}{row.score:<22}{row.interval.mean:>6.3f}   {interval:<16}{row.images:>6}")
    return "\n".join(lines)
