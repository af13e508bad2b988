"""The options of fine-tuning and of prediction."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.split_config import SPLIT_OPTIONS, SplitConfig

Decoder = Literal[
    "unet", "fpn", "pspnet", "linknet", "unetplusplus", "manet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(SplitConfig):
    """An encoder's weights under a segmentation decoder, trained on images with masks and scored on held-out ones."""

    # Where a run lies and how fast it goes is no part of what it is; hashes stand for images, weights and split.
    ELSEWHERE: ClassVar[frozenset[str]] = SPLIT_OPTIONS | {
        "data", "init", "out", "checkpoints", "resume", "workers", "threads",
    }  # fmt: skip

    init: str = "ssl"
    """Weights to start from: ssl (the newest file in --checkpoints for the encoder), imagenet, random, or a file."""
    encoder: str = "tu-tf_efficientnet_lite0"
    """Name in segmentation-models-pytorch, or a timm model as tu-NAME."""
    decoder: Decoder = "unet"
    """Architecture of segmentation-models-pytorch."""
    encoder_depth: int | None = None
    """Stages of the encoder that the decoder uses, 3 to 5; the architecture's own by default (PSPNet: 3)."""
    data: Path | None = None
    """Folder of images and masks. By default data/isic2018 where it exists, else the synthetic set."""
    limit: int | None = None
    """Take this many images, from both sides of the split in their proportion; all by default."""
    label_fraction: float = 1.0
    """Share of the training images whose masks are used; smaller shares lie inside larger ones."""
    image_size: int = 256
    """Side of the network's input, pixels, a multiple of 32. Scores are at each image's native size."""
    cache_size: int = 512
    """Shorter side of the pictures that training reads, pixels; larger ones are shrunk once and kept."""
    augmentation: Literal["none", "light", "dermoscopy"] = "dermoscopy"
    """none, light: the eight symmetries of the square, dermoscopy: these with turns, zoom, shifts and mild colour."""
    padding: Literal["skin", "black", "reflect", "edge", "none"] = "skin"
    """What fills corners that a turn uncovers; reflect mirrors lesions into being, none turns by zooming in."""
    steps: int = 4000
    """Optimiser steps, the same at every label fraction: fewer labels are not less training."""
    batch_size: int = 16
    """Images per step."""
    lr: float = 3e-4
    """Peak learning rate of AdamW."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises from 0 before its cosine descent."""
    weight_decay: float = 1e-2
    """Not applied to biases and normalisation."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Of the network; losses are in float32 always."""
    threshold: float = 0.5
    """Probability above which a pixel is lesion."""
    examples: int = 6
    """Held-out images to keep with their prediction for the report, the same ones in every run of a split."""
    workers: int = 0
    """Processes that draw augmentations; 0 draws them in this one."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""
    seed: int = 0
    """Of the decoder's weights, the order and the augmentation."""
    out: Path = Path("runs/finetune")
    """Folder of run folders."""
    checkpoints: Path = Path("checkpoints")
    """Folder in which `--init ssl` looks."""
    resume: Path | None = None
    """Run folder to continue."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.image_size % 32 or self.image_size < 32:
            raise ValueError(f"--image_size must be a multiple of 32, got {self.image_size}")
        if not 0 < self.label_fraction <= 1:
            raise ValueError(f"--label_fraction is a share in (0, 1], got {self.label_fraction}")
        if self.batch_size < 2:
            raise ValueError(f"--batch_size must be at least 2 for BatchNorm, got {self.batch_size}")
        if self.seed < 0:
            raise ValueError(f"--seed must not be negative, got {self.seed}")
        if not self.lr > 0:
            raise ValueError(f"--lr must be above 0, got {self.lr}")
        if self.steps < 1:
            raise ValueError(f"--steps must be at least 1, got {self.steps}")
        if self.limit is not None and self.limit < 2:
            raise ValueError(f"--limit must leave an image on either side of the split, got {self.limit}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"--warmup is a share of the steps in [0, 1), got {self.warmup}")
        if not 0 < self.threshold < 1:
            raise ValueError(f"--threshold is a probability in (0, 1), got {self.threshold}")
        if self.cache_size < 1:
            raise ValueError(f"--cache_size is a number of pixels, got {self.cache_size}")
        for name in ("weight_decay", "examples", "workers", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must not be negative, got {getattr(self, name)}")
        if self.encoder_depth not in (None, 3, 4, 5):
            raise ValueError(f"--encoder_depth is 3, 4 or 5, got {self.encoder_depth}")


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Masks of new images, by the network of a finished run."""

    model: Path
    """Run folder of `python -m finetune`, or its model.safetensors."""
    images: Path
    """Folder of images, searched to any depth."""
    out: Path
    """Folder to write NAME_segmentation.png into, 0 and 255, of each image's own size."""
    threshold: float = 0.5
    """Probability above which a pixel is lesion."""
    batch_size: int = 16
    """Images at once."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"--threshold is a probability in (0, 1), got {self.threshold}")
        if self.batch_size < 1 or self.threads < 0:
            raise ValueError(
                f"--batch_size must be at least 1 and --threads not negative, got {self.batch_size} and {self.threads}"
            )
