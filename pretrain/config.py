"""The options that every method of pretraining has; their own stand in pretrain/recipes.py and dense_recipes.py."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.bounds import above_zero, at_least, processes, share, sides, whole_seeds
from dermssl.splits.config import SPLIT_OPTIONS, SplitConfig
from dermssl.training.logger_config import LoggerConfig

Optimiser = Literal["lars", "sgd", "adamw"]
Scaling = Literal["sqrt", "linear", "none"]
ViewRecipe = Literal["dermoscopy", "imagenet", "geometry"]


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(LoggerConfig, SplitConfig):
    """Options that every method has."""

    REST: ClassVar[str] = "training"
    BELOW: ClassVar[str] = "method"
    USUAL: ClassVar[tuple[str, ...]] = (
        "method",
        "init",
        "encoder",
        "data",
        "protect",
        "views",
        "image_size",
        "epochs",
        "batch_size",
        "lr",
        "seed",
        "out",
        "resume",
        "threads",
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m pretrain --method densecl --epochs 100",
        "python -m pretrain --method simclr --init random --encoder resnet18",
        "python -m pretrain --method moco --help-all",
    )

    # Where a run lies and how fast it goes is no part of what it is.
    # What is held out shows in the images that are left to train on.
    ELSEWHERE: ClassVar[frozenset[str]] = SPLIT_OPTIONS | {
        "data", "protect", "init", "out", "checkpoints", "resume", "workers", "threads", "save_every", "look_every",
        "on_collapse", "logger",
    }  # fmt: skip
    ADDED: ClassVar[Mapping[str, object]] = {"l2_sp": 0.0}
    MODULE: ClassVar[str] = ""  # of the method, as `pretrain.NAME:Class`; imported when it is run, for it needs torch
    SMALLER: ClassVar[str] = "--batch_size, --image_size"  # the options to lower where memory is short

    method: str = ""
    """What the encoder learns by; --method NAME --help lists the options of that method."""
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
    views: ViewRecipe = "dermoscopy"
    """Recipe of the two views: all rotations, mild colour, no tiny crops for dermoscopy; imagenet is SimCLR's own; geometry crops, turns and mirrors, and leaves colours as they are."""  # noqa: E501
    padding: Literal["none", "skin", "black", "reflect", "edge"] = "none"
    """What a turned crop shows beyond the picture; none shrinks the crop until it shows nothing of that."""
    solarise: float = 0.0
    """Probability that a second view's bright pixels are inverted: 0.2 in BYOL's paper; 0 here, for a lesion's colour is a sign."""  # noqa: E501
    colour: Literal["matrix", "sequential"] = "matrix"
    """Colour changes as one matrix a view, or one after the other in random order as torchvision does, which is slower."""  # noqa: E501
    epochs: int = 100
    """Passes over the images."""
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises from 0 before its cosine descent."""
    batch_size: int = 256
    """Images per step, over all processes; each gives two views."""
    optimiser: Optimiser = "lars"
    """LARS suits large batches, SGD is MoCo's, AdamW suits transformers and short continuations."""
    lr: float = 0.075
    """Peak learning rate before scaling with the batch."""
    lr_scaling: Scaling = "sqrt"
    """How --lr grows with the batch: lr x sqrt(batch_size), lr x batch_size / 256 (linear), or lr as it is (none)."""
    weight_decay: float = 1e-6
    """Decay of the weights at each step; not applied to biases and normalisation."""
    l2_sp: float = 0.0
    """Pull of the encoder towards the weights of --init, per step lr x l2_sp of the way back (L2-SP, decoupled); try 1 to 10."""  # noqa: E501
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """float32, or bf16 where that is safe; auto times a few steps and takes the quicker (log.txt tells which)."""
    save_every: int = 0
    """Steps between checkpoints; 0 saves at the end of every epoch, which every number does as well."""
    look_every: int = 1
    """Epochs between two looks of the doctor, which checks the encoder for failure (features, neighbours, dense probe); 0 for none."""  # noqa: E501
    on_collapse: Literal["stop", "warn"] = "warn"
    """What to do when the doctor finds that nothing is learned any more: stop, or say so and go on."""
    workers: int = 0
    """Processes that draw views; 0 draws them in this one, which is best where the CPU trains."""
    threads: int = 0
    """CPU threads; 0 takes all cores. Threads x processes must not exceed the cores."""
    seed: int = 0
    """Seed of the random numbers: of the heads' first weights, the order of the images, and the views."""
    out: Path = Path("runs/pretrain")
    """Folder of run folders."""
    checkpoints: Path | None = Path("checkpoints")
    """The finished encoder is copied to checkpoints/METHOD/encoder.safetensors, where `--init ssl` finds it."""
    resume: Path | None = None
    """Run folder to continue."""

    # What a method without such an option has in its place. A recipe that has one declares it as a field.
    @property
    def queue_size(self) -> int:
        """Embeddings of earlier steps that are kept as negatives; 0 without a queue."""
        return 0

    @property
    def norm_groups(self) -> int:
        """Parts of the batch that BatchNorm sees apart; 1 where it sees the whole batch."""
        return 1

    @property
    def micro_batch(self) -> int:
        """Images that pass the encoder at once; 0 where the whole batch does."""
        return 0

    @property
    def temperature(self) -> float:
        """What divides similarities before a softmax; 0 for a loss without it."""
        return 0.0

    @property
    def momentum(self) -> float:
        """Share of the old weights that a slow copy of the encoder keeps at each step; nan without a slow copy."""
        return math.nan

    @property
    def teacher(self) -> str:
        """The frozen network that the encoder learns from, by its file or name; empty without one."""
        return ""

    @property
    def decoder(self) -> str:
        """The decoder that is trained with the encoder, under smp's name; empty without one."""
        return ""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 2, "batch_size", why="for an anchor needs a negative")
        sides(self, "image_size", least=32, why="the stride of the last stage")
        sides(self, "cache_size")
        at_least(self, 1, "epochs", "limit")
        at_least(self, 0, "weight_decay", "l2_sp", "save_every", "look_every")
        whole_seeds(self, "seed")
        processes(self, "workers", "threads")
        above_zero(self, "lr")
        share(self, "warmup", noun="share of the steps")
        share(self, "solarise", interval="[0, 1]", noun="probability")
