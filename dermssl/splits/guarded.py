"""The images that a command scores, guarded: crossed with those that train and with those that the encoder has seen."""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import Split, together
from dermssl.splits.leaks import COLUMNS, Verdict, guard, leaking_pairs
from dermssl.splits.official import AS_GIVEN, split_of
from dermssl.weights.encoder import Start
from dermssl.wording import counted

# What the log says of encoders that were pretrained on no images of the user's, so that nothing was compared.
NOT_COMPARED = {
    "imagenet": "the encoder was pretrained on ImageNet, whose photographs were not compared with held-out images",
    "random": "the encoder begins with random weights and has seen no image",
}


@dataclass(frozen=True)
class Guarded:
    """A split, and what crossing its held-out images has found."""

    split: Split
    training: Verdict
    encoder: Verdict
    init: str
    """What the encoder's weights are: ssl, imagenet or random."""

    @property
    def summary(self) -> dict[str, object]:
        """For result.json."""
        return {"training": self.training.summary, "encoder": self.encoder.summary}

    @property
    def leaks(self) -> pd.DataFrame:
        """Every leak, for leaks.csv."""
        sides = {"training": self.training.pairs, "encoder": self.encoder.pairs}
        return pd.concat([pairs.assign(side=side) for side, pairs in sides.items()], ignore_index=True)

    def __str__(self) -> str:
        training = self.training.sentence(f"the {counted(len(self.split.train), 'image')} of the training side")
        encoder = NOT_COMPARED.get(self.init) or self.encoder.sentence("the images that the encoder was pretrained on")
        return f"split: {split_sentence(self.split)}\nleaks: {training}\nleaks: {encoder}"


def split_sentence(split: Split) -> str:
    """How a split came to be, what it keeps together, and its hash, as the log says it."""
    count = len(split.train) + len(split.val)
    kept = "" if split.grouped_by == AS_GIVEN else together(split.grouped_by, split.groups, count)
    what = "images of validation and test folders on neither side (--split folders scores them)" * bool(kept)
    aside = f"{len(split.aside)} {what or 'images on neither side'}" if split.aside else ""
    return ", ".join(filter(None, [split.origin, kept, aside, f"hash {split.hash}"]))


def guarded_split(manifest: Manifest, config: SplitConfig, start: Start) -> Guarded:
    """The split that `config` asks for, without what leaks into its held-out images.

    Raises:
        UserError: If images leak and `--on_leak` does not say what to do, or the encoder has seen held-out images.
    """
    split = split_of(manifest, config)
    held = manifest.take(split.val)
    training = guard(leaks_of(manifest, split, config), len(held), config.on_leak, str(manifest.root))
    encoder = verdict_on_encoder(start, held, config)
    return Guarded(split.without(training.dropped), training, encoder, start.init)


def leaks_of(manifest: Manifest, split: Split, config: SplitConfig) -> pd.DataFrame:
    """Training images that leak into held-out ones; a split that is drawn here has none, for it is drawn by groups."""
    if config.split == "drawn":
        return pd.DataFrame(columns=COLUMNS)
    return leaking_pairs(manifest.take(split.train).table, manifest.root, manifest.take(split.val))


def verdict_on_encoder(start: Start, held: Manifest, config: SplitConfig) -> Verdict:
    """Whether the encoder has been trained on held-out images, without their masks."""
    nothing = pd.DataFrame(columns=COLUMNS)
    if start.init != "ssl":
        return Verdict(nothing, len(held), "clean")
    if start.seen is None:
        return Verdict(nothing, len(held), "unknown")
    folder = Path(str(start.card.data.get("folder", "")))
    remedy = (
        f"pretrain it anew with --protect {quote(str(held.place))} --on_leak drop and the same split options, which "
        "leaves held-out images and their near-duplicates out"
    )
    pairs = leaking_pairs(start.seen, folder, held)
    if not len(pairs) and not start.card.seen_whole:
        return Verdict(nothing, len(held), "unknown")
    return guard(pairs, len(held), config.on_leak, "the encoder's pretraining", remedy)
