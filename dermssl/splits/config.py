"""The options of a split and of the guard against leaks, which pretraining, fine-tuning and probing share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dermssl.bounds import share, whole_seeds
from dermssl.data.config import READING_OPTIONS, Reading

MOST_FOLDS = 10_000
OFFICIAL = {  # name -> the part that is held out; the training part trains
    "isic2018": "test", "isic2018-validation": "validation", "isic2017": "test", "isic2017-validation": "validation",
}  # fmt: skip
DRAWN = "drawn"
FOLDERS = "folders"  # train, val and test of one's own
SPLITS = (DRAWN, FOLDERS, *OFFICIAL)
"""The words that `--split` knows beside a file."""
OnLeak = Literal["stop", "drop", "allow"]


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Reading):
    """Which images are held out, and what happens if one of them leaks into training."""

    GROUP: ClassVar[str] = "data"

    split: str = DRAWN
    """drawn, folders (train, val, test), a split file, or an official one: isic2018 (held out: its test images), isic2018-validation, isic2017, isic2017-validation."""  # noqa: E501
    val_fraction: float = 0.2
    """Share of the images to hold out and score; patients, lesions and near-duplicates are never on both sides."""
    folds: int = 0
    """Folds of a cross-validation, at least 2; 0 holds out --val_fraction of the images once."""
    fold: int = 0
    """With --folds, the fold to hold out, counted from 0."""
    split_seed: int = 0
    """Seed that draws the split; apart from --seed, so that runs of all seeds are scored on the same images."""
    on_leak: OnLeak = "stop"
    """If held-out images, or near-duplicates of them, are trained on: stop, drop them from training, or allow it."""

    def __post_init__(self) -> None:
        Reading.__post_init__(self)
        share(self, "val_fraction", interval="(0, 1)")
        whole_seeds(self, "split_seed")
        refuse_folds(self.folds)
        if self.fold and not 0 <= self.fold < self.folds:
            if not self.folds:
                raise ValueError(f"--fold {self.fold} is of no folds; give --folds as well")
            raise ValueError(f"--fold is counted from 0 to {self.folds - 1} with --folds {self.folds}; got {self.fold}")


def refuse_folds(folds: int) -> None:
    """Refuses a cross-validation that is none, and one that nobody has the lesions for."""
    if folds < 0 or folds == 1:
        raise ValueError(f"--folds is 0 or at least 2, got {folds}")
    if folds > MOST_FOLDS:
        raise ValueError(f"--folds must be at most {MOST_FOLDS}, got {folds}")


# What stands for these in a run's name is the split that comes of them.
SPLIT_OPTIONS = READING_OPTIONS | {"split", "val_fraction", "folds", "fold", "split_seed", "on_leak"}
