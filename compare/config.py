"""The options of a study: the factors of its grid, what is held fixed, and what it is to decide."""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.split_config import OnLeak
from finetune.decoder_config import Decoder

Init = Literal["ssl", "imagenet", "random"]


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """Every init under every decoder at every label fraction and seed, on the same images, and what follows from it.

    Runs are named by their content: what was done is never done again, here or in another study.
    """

    # Where a study lies and how fast it goes is no part of what it is.
    ELSEWHERE: ClassVar[frozenset[str]] = frozenset({"out", "runs", "jobs", "data", "unlabelled"})

    name: str = "study"
    """Of the study's folder and report."""
    init: tuple[Init, ...] = ("ssl", "imagenet", "random")
    """Weights to compare."""
    method: tuple[str, ...] = ("simclr",)
    """Pretraining methods behind ssl."""
    encoder: tuple[str, ...] = ("tu-tf_efficientnet_lite0",)
    """Encoders, each with every init."""
    decoder: tuple[Decoder, ...] = ("unet", "fpn")
    """Decoders, each on every encoder."""
    label_fraction: tuple[float, ...] = (0.1, 1.0)
    """Shares of the training images whose masks are used."""
    seed: tuple[int, ...] = (0, 1)
    """Of fine-tuning; pretraining is done once, with the first of them."""
    contrast: tuple[Init, Init] = ("ssl", "imagenet")
    """The primary question: is the first init better than the second?"""
    margin: float = 0.01
    """Differences of mean IoU within this count as equivalent."""
    data: Path | None = None
    """Folder of images and masks. By default data/isic2018 where it exists, else the synthetic set."""
    unlabelled: Path | None = None
    """Folder of images to pretrain on. By default data/unlabelled, data/isic2018, or the synthetic set."""
    on_leak: OnLeak = "stop"
    """If held-out images, or near-duplicates of them, are trained on: stop, drop them from training, or allow it."""
    pretrain: Path | None = None
    """YAML file of fixed options of pretraining."""
    finetune: Path | None = None
    """YAML file of fixed options of fine-tuning."""
    probe: Path | None = None
    """YAML file of fixed options of the probes; without one, none are made."""
    jobs: int = 0
    """Runs side by side, each with cores / jobs threads; 0 is one a core, or one where there is a GPU."""
    out: Path = Path("runs/compare")
    """Folder of study folders."""
    runs: Path = Path("runs")
    """Folder of the run folders of every command."""

    def __post_init__(self) -> None:
        for factor in ("init", "method", "encoder", "decoder", "label_fraction", "seed"):
            values = getattr(self, factor)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"--{factor} needs one value or more, none of them twice; got {list(values)}")
        absent = [init for init in self.contrast if init not in self.init]
        if absent or self.contrast[0] == self.contrast[1]:
            raise ValueError(f"--contrast names two of --init ({', '.join(self.init)}); got {' '.join(self.contrast)}")
        if min(self.label_fraction) <= 0 or max(self.label_fraction) > 1:
            raise ValueError(f"--label_fraction are shares in (0, 1], got {list(self.label_fraction)}")
        if min(self.seed) < 0:
            raise ValueError(f"--seed must not be negative, got {list(self.seed)}")
        if self.margin <= 0:
            raise ValueError(f"--margin is a difference of IoU above 0, got {self.margin}")
        if self.jobs < 0:
            raise ValueError(f"--jobs is a number of processes, or 0; got {self.jobs}")

    @property
    def arms(self) -> list[tuple[Init, str]]:
        """Init and method of every arm; a method belongs to ssl alone."""
        return [(init, method) for init in self.init for method in (self.method if init == "ssl" else ("",))]

    @property
    def cells(self) -> list[tuple[str, Decoder, float, int]]:
        """Encoder, decoder, label fraction and seed of every run of an arm."""
        return list(itertools.product(self.encoder, self.decoder, self.label_fraction, self.seed))
