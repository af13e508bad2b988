"""The options of fine-tuning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.bounds import at_least, processes, share, whole_seeds
from dermssl.splits.config import SPLIT_OPTIONS, SplitConfig
from dermssl.training.logger_config import LoggerConfig
from finetune.options.augment import AugmentConfig
from finetune.options.decoder import DecoderConfig
from finetune.options.loss import LossConfig
from finetune.options.score import ScoreConfig
from finetune.options.transfer import TransferConfig


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(LoggerConfig, ScoreConfig, LossConfig, TransferConfig, AugmentConfig, DecoderConfig, SplitConfig):
    """An encoder's weights under a segmentation decoder, trained on images with masks and scored on held-out ones."""

    REST: ClassVar[str] = "training"
    USUAL: ClassVar[tuple[str, ...]] = (
        "init",
        "encoder",
        "decoder",
        "data",
        "label_fraction",
        "split",
        "image_size",
        "augmentation",
        "steps",
        "epochs",
        "batch_size",
        "lr",
        "freeze",
        "loss",
        "seed",
        "out",
        "resume",
        "threads",
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m finetune --init imagenet --decoder fpn",
        "python -m finetune --init ssl --label_fraction 0.1",
        "python -m finetune --init random --data data/isic2018 --split isic2018",
    )

    # Where a run lies and how fast it goes is no part of what it is; hashes stand for images, weights and split.
    ELSEWHERE: ClassVar[frozenset[str]] = SPLIT_OPTIONS | {
        "data", "init", "augmentation", "out", "checkpoints", "resume", "workers", "threads", "logger",
    }  # fmt: skip

    ADDED: ClassVar[Mapping[str, object]] = {"decoder_init": "pretrained"}

    init: str = "ssl"
    """Weights to start from: ssl (the newest file in --checkpoints for the encoder), imagenet, random, or a file."""
    encoder: str = "tu-tf_efficientnet_lite0"
    """Name in segmentation-models-pytorch, or a timm model as tu-NAME."""
    data: Path | None = None
    """Folder of images and masks. By default data/isic2018 where it exists, else the synthetic set."""
    limit: int | None = None
    """Take this many images, from both sides of the split in their proportion; all by default."""
    label_fraction: float = 1.0
    """Share of the training images whose masks are used; smaller shares lie inside larger ones."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Numbers that the network computes in: 32-true is float32, bf16-mixed is quicker on a GPU; losses are in float32 always."""  # noqa: E501
    workers: int = 0
    """Processes that draw augmentations; 0 draws them in the process that trains."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    seed: int = 0
    """Seed of the decoder's first weights, of the order of the images and of the augmentation."""
    out: Path = Path("runs/finetune")
    """Folder in which the run gets a folder of its own."""
    checkpoints: Path = Path("checkpoints")
    """Folder in which `--init ssl` looks for encoder files."""
    resume: Path | None = None
    """Run folder to continue."""

    def __post_init__(self) -> None:
        for group in (ScoreConfig, LossConfig, TransferConfig, AugmentConfig, DecoderConfig, SplitConfig):
            group.__post_init__(self)
        share(self, "label_fraction", interval="(0, 1]")
        whole_seeds(self, "seed")
        processes(self, "workers", "threads")
        at_least(self, 2, "limit", why="an image on either side of the split")
