"""The options of pretraining: one flat dataclass per method, whose defaults are its recipe."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.split_config import SPLIT_OPTIONS, SplitConfig

Optimiser = Literal["lars", "sgd", "adamw"]


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(SplitConfig):
    """Options that every method has."""

    # Where a run lies and how fast it goes is no part of what it is.
    # What is held out shows in the images that are left to train on.
    ELSEWHERE: ClassVar[frozenset[str]] = SPLIT_OPTIONS | {
        "data", "protect", "init", "out", "checkpoints", "resume", "workers", "threads",
    }  # fmt: skip

    data: Path | None = None
    """Folder of images, searched to any depth. By default data/unlabelled, data/isic2018, or the synthetic set."""
    limit: int | None = None
    """Take this many images, drawn by the seed; all by default."""
    protect: Path | None = None
    """Labelled images whose held-out part must not be trained on; by default --data where it has masks, else data/isic2018."""  # noqa: E501
    encoder: str = "tu-tf_efficientnet_lite0"
    """Name in segmentation-models-pytorch, or a timm model as tu-NAME. The default's ImageNet weights are installed."""
    init: str = "imagenet"
    """Weights to continue from: imagenet, random, or an encoder file."""
    image_size: int = 224
    """Side of a view, pixels."""
    cache_size: int = 256
    """Shorter side of the pictures that views are cut from, pixels; larger ones are shrunk once and kept."""
    views: Literal["dermoscopy", "imagenet"] = "dermoscopy"
    """Recipe of the two views: with all rotations, mild colour and no tiny crops, or SimCLR's own for photographs."""
    epochs: int = 100
    """Passes over the images."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0 before its cosine descent."""
    batch_size: int = 256
    """Images per step; each gives two views."""
    optimiser: Optimiser = "lars"
    """LARS suits large batches, SGD is MoCo's, AdamW suits transformers and short continuations."""
    lr: float = 0.075
    """Peak learning rate before scaling with the batch."""
    lr_scaling: Literal["sqrt", "linear", "none"] = "sqrt"
    """lr x sqrt(batch_size), lr x batch_size / 256, or lr as it is."""
    weight_decay: float = 1e-6
    """Not applied to biases and normalisation."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """auto times a few steps and takes the quicker; what it took stands in the log."""
    workers: int = 0
    """Processes that draw views; 0 draws them in this one, which is best where the CPU trains."""
    threads: int = 0
    """CPU threads; 0 takes all cores. Threads x processes must not exceed the cores."""
    seed: int = 0
    """Of heads, order and views."""
    out: Path = Path("runs/pretrain")
    """Folder of run folders."""
    checkpoints: Path | None = Path("checkpoints")
    """The finished encoder is copied to checkpoints/METHOD/encoder.safetensors, where `--init ssl` finds it."""
    resume: Path | None = None
    """Run folder to continue."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size < 2:
            raise ValueError(f"--batch_size must be at least 2, for an anchor needs a negative; got {self.batch_size}")
        if self.image_size < 32:
            raise ValueError(f"--image_size must be at least 32, the stride of the last stage; got {self.image_size}")
        if self.seed < 0:
            raise ValueError(f"--seed must not be negative, got {self.seed}")
        if not self.lr > 0:
            raise ValueError(f"--lr must be above 0, got {self.lr}")
        if self.epochs < 1:
            raise ValueError(f"--epochs must be at least 1, got {self.epochs}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"--warmup is a share of the steps in [0, 1), got {self.warmup}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"--limit is a number of images, got {self.limit}")
        if self.cache_size < 1:
            raise ValueError(f"--cache_size is a number of pixels, got {self.cache_size}")
        for name in ("weight_decay", "workers", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class SimCLRConfig(PretrainConfig):
    """SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

    method: Literal["simclr"] = "simclr"
    temperature: float = 0.1
    """Divides cosine similarities before the softmax; lower makes hard negatives count more."""
    hidden_dim: int = 2048
    """Width of the projection head's hidden layer."""
    projection_dim: int = 128
    """Width of the space in which views are compared."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError(f"--temperature must be above 0, got {self.temperature}")


@dataclass(frozen=True, kw_only=True)
class MoCoConfig(PretrainConfig):
    """MoCo v2 (Chen et al. 2020, https://arxiv.org/abs/2003.04297)."""

    method: Literal["moco"] = "moco"
    optimiser: Optimiser = "sgd"
    lr: float = 0.03
    """Peak learning rate for a batch of 256."""
    lr_scaling: Literal["sqrt", "linear", "none"] = "linear"
    weight_decay: float = 1e-4
    temperature: float = 0.2
    """Divides cosine similarities before the softmax."""
    hidden_dim: int = 2048
    """Width of the projection head's hidden layer."""
    projection_dim: int = 128
    """Width of the space in which queries meet keys."""
    queue_size: int = 16_384
    """Negative keys kept. More than the data set has images repeats them as their own negatives."""
    momentum: float = 0.999
    """Share of the old key encoder kept at each step, in [0, 1)."""
    norm_groups: int = 8
    """Parts of the batch that BatchNorm sees apart, shuffled for the keys, so that statistics give no answer away."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.temperature <= 0:
            raise ValueError(f"--temperature must be above 0, got {self.temperature}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"--momentum is a share in [0, 1), got {self.momentum}")
        if self.batch_size % self.norm_groups or self.batch_size // self.norm_groups < 2:
            raise ValueError(
                f"--norm_groups must divide --batch_size into parts of 2 images or more; "
                f"got {self.norm_groups} for {self.batch_size}"
            )
        if self.queue_size < self.batch_size:
            raise ValueError(f"--queue_size must hold a batch ({self.batch_size}), got {self.queue_size}")


AnyConfig = SimCLRConfig | MoCoConfig
METHODS: dict[str, type[AnyConfig]] = {"simclr": SimCLRConfig, "moco": MoCoConfig}
