"""The recipes of methods that learn whole pictures: their own options, with the papers' values as defaults.

Where the papers scale with the batch, lr is given for a batch of 256. This file knows no torch, so that `--help`
answers at once; what an option does stands in the method's own file, which `MODULE` names.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dermssl.bounds import above_zero, at_least, share, sides
from pretrain.config import Optimiser, PretrainConfig, Scaling


@dataclass(frozen=True, kw_only=True)
class SimCLRConfig(PretrainConfig):
    """SimCLR (Chen et al. 2020, https://arxiv.org/abs/2002.05709)."""

    MODULE: ClassVar[str] = "pretrain.methods.simclr:SimCLR"
    SMALLER: ClassVar[str] = f"{PretrainConfig.SMALLER}, --micro_batch"
    method: Literal["simclr"] = "simclr"
    temperature: float = 0.1
    """Divides cosine similarities before the softmax; lower makes hard negatives count more."""
    hidden_dim: int = 2048
    """Width of the projection head's hidden layer."""
    projection_dim: int = 128
    """Width of the space in which views are compared."""
    micro_batch: int = 0
    """Images that pass the encoder at once, a divisor of batch_size; gradients are those of the whole batch, which need not fit into memory. BatchNorm sees a micro-batch. 0 passes all at once."""  # noqa: E501

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "temperature", "hidden_dim", "projection_dim")
        if self.micro_batch and (self.micro_batch < 2 or self.batch_size % self.micro_batch):
            raise ValueError(
                f"--micro_batch must divide --batch_size ({self.batch_size}) into parts of 2 images or more, "
                f"got {self.micro_batch}"
            )


@dataclass(frozen=True, kw_only=True)
class MoCoConfig(PretrainConfig):
    """MoCo v2 (Chen et al. 2020, https://arxiv.org/abs/2003.04297)."""

    MODULE: ClassVar[str] = "pretrain.methods.moco:MoCo"
    method: Literal["moco"] = "moco"
    optimiser: Optimiser = "sgd"
    lr: float = 0.03
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-4
    temperature: float = 0.2
    """Divides cosine similarities before the softmax."""
    hidden_dim: int = 2048
    """Width of the projection head's hidden layer."""
    projection_dim: int = 128
    """Width of the space in which queries meet keys."""
    queue_size: int = 16_384
    """Negative keys kept, at most as many as images: more would be an image's own negatives. 65536 in the paper."""
    momentum: float = 0.999
    """Share of the old key encoder kept at each step, in [0, 1)."""
    norm_groups: int = 8
    """Parts of the batch that BatchNorm sees apart, shuffled for the keys, so that statistics tell no query its key."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "temperature", "hidden_dim", "projection_dim")
        share(self, "momentum")
        queue_and_groups(self, self.queue_size, self.norm_groups)


@dataclass(frozen=True, kw_only=True)
class MoCoV3Config(PretrainConfig):
    """MoCo v3 (Chen, Xie and He 2021, https://arxiv.org/abs/2104.02057)."""

    MODULE: ClassVar[str] = "pretrain.methods.mocov3:MoCoV3"
    method: Literal["mocov3"] = "mocov3"
    lr: float = 0.6
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-6
    temperature: float = 1.0
    """Divides cosine similarities before the softmax; the loss is multiplied by twice of it."""
    hidden_dim: int = 4096
    """Width of the hidden layers of projection and prediction head."""
    projection_dim: int = 256
    """Width of the space in which queries meet keys."""
    momentum: float = 0.99
    """Share of the old key encoder kept at the first step; rises to 1 as a cosine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "temperature", "hidden_dim", "projection_dim")
        share(self, "momentum")


@dataclass(frozen=True, kw_only=True)
class BYOLConfig(PretrainConfig):
    """BYOL (Grill et al. 2020, https://arxiv.org/abs/2006.07733), with its values for 100 epochs."""

    MODULE: ClassVar[str] = "pretrain.methods.byol:BYOL"
    method: Literal["byol"] = "byol"
    lr: float = 0.45
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-6
    hidden_dim: int = 4096
    """Width of the hidden layers of projection and prediction head."""
    projection_dim: int = 256
    """Width of the space in which one view predicts the other."""
    momentum: float = 0.99
    """Share of the old target network kept at the first step; rises to 1 as a cosine."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "hidden_dim", "projection_dim")
        share(self, "momentum")


@dataclass(frozen=True, kw_only=True)
class SimSiamConfig(PretrainConfig):
    """SimSiam (Chen and He 2021, https://arxiv.org/abs/2011.10566)."""

    MODULE: ClassVar[str] = "pretrain.methods.simsiam:SimSiam"
    method: Literal["simsiam"] = "simsiam"
    optimiser: Optimiser = "sgd"
    lr: float = 0.05
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-4
    warmup: float = 0.0
    projection_dim: int = 2048
    """Width of the projection head's three layers."""
    prediction_dim: int = 512
    """Width of the prediction head's hidden layer, a bottleneck."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "projection_dim", "prediction_dim")


@dataclass(frozen=True, kw_only=True)
class BarlowTwinsConfig(PretrainConfig):
    """Barlow Twins (Zbontar et al. 2021, https://arxiv.org/abs/2103.03230)."""

    MODULE: ClassVar[str] = "pretrain.methods.barlow_twins:BarlowTwins"
    method: Literal["barlow_twins"] = "barlow_twins"
    lr: float = 0.2
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-6
    flat_lr: float = 0.0048
    """Peak learning rate of biases and normalisation, which LARS does not scale by their norms."""
    redundancy: float = 0.005
    """Weight of the terms off the diagonal: lambda in the paper."""
    projection_dim: int = 8192
    """Width of the projection head's three layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "projection_dim", "redundancy", "flat_lr")


@dataclass(frozen=True, kw_only=True)
class VICRegConfig(PretrainConfig):
    """VICReg (Bardes, Ponce and LeCun 2022, https://arxiv.org/abs/2105.04906), with its code's rate for 100 epochs."""

    MODULE: ClassVar[str] = "pretrain.methods.vicreg:VICReg"
    method: Literal["vicreg"] = "vicreg"
    lr: float = 0.3
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-6
    invariance: float = 25.0
    """Weight of the squared distance between views: lambda in the paper."""
    variance: float = 25.0
    """Weight of the hinge that keeps each dimension's deviation above 1: mu."""
    covariance: float = 1.0
    """Weight of the squared covariances between dimensions: nu."""
    projection_dim: int = 8192
    """Width of the expander's three layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "projection_dim")
        at_least(self, 0, "invariance", "variance", "covariance")


@dataclass(frozen=True, kw_only=True)
class MultiCropConfig(PretrainConfig):
    """Options of methods that also look at small crops."""

    local_crops: int = 6
    """Small crops of each image beside its two views; 0 for none."""
    local_size: int = 96
    """Side of a small crop, pixels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "local_crops")
        sides(self, "local_size", least=32, why="the stride of the last stage")


@dataclass(frozen=True, kw_only=True)
class DINOConfig(MultiCropConfig):
    """DINO (Caron et al. 2021, https://arxiv.org/abs/2104.14294), with its values for ResNet-50."""

    MODULE: ClassVar[str] = "pretrain.methods.dino:DINO"
    method: Literal["dino"] = "dino"
    optimiser: Optimiser = "sgd"
    lr: float = 0.03
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-4
    student_temperature: float = 0.1
    """Divides the student's logits."""
    teacher_temperature: float = 0.04
    """Divides the teacher's logits; lower is sharper."""
    momentum: float = 0.996
    """Share of the old teacher kept at the first step; rises to 1 as a cosine."""
    centre_momentum: float = 0.9
    """Share of the old centre of the teacher's logits kept at each step, in [0, 1)."""
    hidden_dim: int = 2048
    """Width of the head's hidden layers."""
    bottleneck_dim: int = 256
    """Width of the unit vectors before the prototypes."""
    prototypes: int = 60_000
    """Width of the logits."""
    frozen_epochs: int = 1
    """First epochs in which the prototypes stay as they were drawn."""
    clip: float = 3.0
    """Largest norm of a parameter's gradient; 0 leaves gradients as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "student_temperature", "teacher_temperature", "hidden_dim", "bottleneck_dim", "prototypes")
        share(self, "momentum", "centre_momentum")
        at_least(self, 0, "frozen_epochs", "clip")


@dataclass(frozen=True, kw_only=True)
class SwAVConfig(MultiCropConfig):
    """SwAV (Caron et al. 2020, https://arxiv.org/abs/2006.09882), with its values for a batch of 256."""

    MODULE: ClassVar[str] = "pretrain.methods.swav:SwAV"
    method: Literal["swav"] = "swav"
    lr: float = 0.6
    lr_scaling: Scaling = "linear"
    weight_decay: float = 1e-6
    warmup: float = 0.0
    temperature: float = 0.1
    """Divides the scores of the prototypes before the softmax."""
    epsilon: float = 0.05
    """Smoothness of the assignment of images to prototypes; higher is nearer to uniform."""
    sinkhorn_steps: int = 3
    """Rounds of normalising the assignment by rows and columns."""
    hidden_dim: int = 2048
    """Width of the projection head's hidden layer."""
    projection_dim: int = 128
    """Width of the space of the prototypes."""
    prototypes: int = 3000
    """Clusters that views are assigned to."""
    frozen_epochs: int = 1
    """First epochs in which the prototypes stay as they were drawn."""
    queue_size: int = 3840
    """Earlier embeddings that help to assign a small batch to many prototypes; 0 for none."""
    queue_from: int = 15
    """Epoch from which the queue helps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "temperature", "epsilon", "sinkhorn_steps", "hidden_dim", "projection_dim", "prototypes")
        at_least(self, 0, "frozen_epochs", "queue_from", "queue_size")
        if 0 < self.queue_size < self.batch_size:
            raise ValueError(f"--queue_size must be 0 or hold a batch ({self.batch_size}), got {self.queue_size}")


def queue_and_groups(config: PretrainConfig, queue_size: int, norm_groups: int) -> None:
    """Refuses a queue that holds no batch, and groups that BatchNorm cannot use."""
    if norm_groups < 1 or config.batch_size % norm_groups or config.batch_size // norm_groups < 2:
        raise ValueError(
            f"--norm_groups must divide --batch_size into parts of 2 images or more; "
            f"got {norm_groups} for {config.batch_size}"
        )
    if queue_size < config.batch_size:
        raise ValueError(f"--queue_size must hold a batch ({config.batch_size}), got {queue_size}")
