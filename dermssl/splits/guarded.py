"""The images that a command scores, guarded: crossed with those that train and with those that the encoder has seen."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import Split
from dermssl.splits.leaks import COLUMNS, Verdict, crossed, guard
from dermssl.splits.official import split_of
from dermssl.weights.encoder import Start


@dataclass(frozen=True)
class Guarded:
    """A split, and what crossing its held-out images has found."""

    split: Split
    training: Verdict
    encoder: Verdict

    @property
    def summary(self) -> dict[str, object]:
        """For result.json."""
        return {"training": self.training.summary, "encoder": self.encoder.summary}

    @property
    def found(self) -> pd.DataFrame:
        """Every leak, for leaks.csv."""
        sides = {"training": self.training.found, "encoder": self.encoder.found}
        return pd.concat([found.assign(side=side) for side, found in sides.items()], ignore_index=True)

    def __str__(self) -> str:
        aside = f"; {len(self.split.aside)} images set aside" if self.split.aside else ""
        split = f"split: {self.split.origin}, together by {self.split.grouped_by}, {self.split.hash}{aside}"
        return f"{split}\nof training, {self.training}\nof the encoder, {self.encoder}"


def guarded_split(manifest: Manifest, config: SplitConfig, start: Start) -> Guarded:
    """The split that `config` asks for, without what leaks into its held-out images.

    Raises:
        UserError: If images leak and `--on_leak` does not say what to do, or the encoder has seen held-out images.
    """
    split = split_of(manifest, config)
    held = manifest.take(split.val)
    training = guard(leaks_of(manifest, split, config), len(held), config.on_leak, str(manifest.root))
    encoder = verdict_on_encoder(start, held, config)
    return Guarded(split.without(training.dropped), training, encoder)


def leaks_of(manifest: Manifest, split: Split, config: SplitConfig) -> pd.DataFrame:
    """Training images that leak into held-out ones; a split that is drawn here has none, for it is drawn by groups."""
    if config.split == "drawn":
        return pd.DataFrame(columns=COLUMNS)
    return crossed(manifest.take(split.train).table, manifest.root, manifest.take(split.val))


def verdict_on_encoder(start: Start, held: Manifest, config: SplitConfig) -> Verdict:
    """Whether the encoder has been trained on held-out images, without their masks."""
    nothing = pd.DataFrame(columns=COLUMNS)
    if start.init != "ssl":
        return Verdict(nothing, len(held), "clean")
    if start.seen is None:
        return Verdict(nothing, len(held), "unknown")
    folder = Path(str(start.card.data.get("folder", "")))
    remedy = (
        f"pretrain it anew with --protect {held.root} and the same split options, which leaves held-out images out "
        "(--on-leak drop, near-duplicates as well)"
    )
    found = crossed(start.seen, folder, held)
    if not len(found) and not start.card.seen_whole:
        return Verdict(nothing, len(held), "unknown")
    return guard(found, len(held), config.on_leak, "the encoder's pretraining", remedy)
