"""The recipes of methods that learn places of a picture and not the picture alone; the others stand in recipes.py.

This file knows no torch, so that `--help` answers at once.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dermssl.bounds import above_zero, at_least, share, sides
from pretrain.config import Optimiser, PretrainConfig, Scaling, ViewRecipe
from pretrain.recipes import MoCoConfig, VICRegConfig


@dataclass(frozen=True, kw_only=True)
class DenseCLConfig(MoCoConfig):
    """DenseCL (Wang et al. 2021, https://arxiv.org/abs/2011.09157): MoCo v2 and the same between places."""

    MODULE: ClassVar[str] = "pretrain.methods.densecl:DenseCL"
    method: Literal["densecl"] = "densecl"  # type: ignore[assignment]
    dense_share: float = 0.5
    """Weight of the loss between places; the rest is MoCo's between images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self, "dense_share", interval="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class DeConConfig(DenseCLConfig):
    """DeCon (Quetin, Ghosh and Maleki 2025, https://arxiv.org/abs/2503.17526): DenseCL on an encoder and its decoder.

    Encoder and decoder are trained together, and the file carries both.
    """

    MODULE: ClassVar[str] = "pretrain.methods.decon:DeCon"
    SMALLER: ClassVar[str] = f"{PretrainConfig.SMALLER}, --decoder_grid"
    method: Literal["decon"] = "decon"  # type: ignore[assignment]
    decoder: Literal["unet", "fpn"] = "unet"
    """The decoder of segmentation-models-pytorch that is trained with the encoder."""
    encoder_share: float = 0.5
    """Weight of the encoder's loss; the rest is the decoder's. At 1 the decoder learns nothing, and the encoder what DenseCL teaches."""  # noqa: E501
    decoder_grid: int = 14
    """Places on a side that the decoder's map is averaged to before they are compared: more tell finer things apart, and memory grows with the square."""  # noqa: E501

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "decoder_grid")
        share(self, "encoder_share", interval="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class VICRegLConfig(VICRegConfig):
    """VICRegL (Bardes, Ponce and LeCun 2022, https://arxiv.org/abs/2210.01571): VICReg and the same between places."""

    MODULE: ClassVar[str] = "pretrain.methods.vicregl:VICRegL"
    method: Literal["vicregl"] = "vicregl"  # type: ignore[assignment]
    global_share: float = 0.75
    """Weight of the loss between images; the rest is between places: alpha in the paper."""
    matches: int = 20
    """Pairs of places of two views that are nearest, by position and by feature, and so are compared."""
    map_dim: int = 512
    """Width of the expander of places, of three layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "matches", "map_dim")
        share(self, "global_share", interval="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class DecoderPretrainConfig(PretrainConfig):
    """Local contrast on a decoder's feature map (Chaitanya et al. 2020, https://arxiv.org/abs/2006.10511).

    Encoder and decoder are trained together, and the file carries both.
    """

    MODULE: ClassVar[str] = "pretrain.methods.decoder:Decoder"
    method: Literal["decoder"] = "decoder"
    optimiser: Optimiser = "adamw"
    lr: float = 1e-3
    lr_scaling: Scaling = "none"
    decoder: Literal["unet", "fpn"] = "unet"
    """The decoder of segmentation-models-pytorch that is trained with the encoder."""
    temperature: float = 0.1
    """Divides cosine similarities before the softmax."""
    projection_dim: int = 128
    """Width of the space in which places are compared."""
    places: int = 64
    """Places of each image that are compared with each other across its views."""

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(self, "temperature", "projection_dim")
        at_least(self, 2, "places", why="for a place needs a negative")


@dataclass(frozen=True, kw_only=True)
class DistillConfig(PretrainConfig):
    """Distillation of a frozen teacher's features (FitNets, Romero et al. 2015, https://arxiv.org/abs/1412.6550)."""

    # A hash of the teacher's weights stands for its place and name.
    ELSEWHERE: ClassVar[frozenset[str]] = PretrainConfig.ELSEWHERE | {"teacher"}
    MODULE: ClassVar[str] = "pretrain.methods.distill:Distill"
    SMALLER: ClassVar[str] = f"{PretrainConfig.SMALLER}, --teacher_size"
    method: Literal["distill"] = "distill"
    optimiser: Optimiser = "adamw"
    lr: float = 1e-3
    lr_scaling: Scaling = "none"
    teacher: str = "tu-tf_efficientnet_lite2"
    """Whose features are learned: an encoder file of pretrain, or a name as --encoder takes it, with its ImageNet weights. The default's are installed."""  # noqa: E501
    teacher_size: int = 0
    """Side of the view that the teacher sees, pixels; 0 is the view's own. A transformer needs a multiple of its patch."""  # noqa: E501
    pooled_share: float = 0.5
    """Weight of the distance between means over places; the rest is between places."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher_size:
            sides(self, "teacher_size", least=32, why="the stride of the last stage, or 0 for the view's own size")
        share(self, "pooled_share", interval="[0, 1]")


@dataclass(frozen=True, kw_only=True)
class SparKConfig(PretrainConfig):
    """SparK (Tian et al. 2023, https://arxiv.org/abs/2301.03580): hidden patches are painted from visible ones.

    For convolutional encoders; the views need no colour changes and the loss needs no pairs.
    """

    MODULE: ClassVar[str] = "pretrain.methods.spark:SparK"
    SMALLER: ClassVar[str] = f"{PretrainConfig.SMALLER}, --decoder_width"
    method: Literal["spark"] = "spark"
    views: ViewRecipe = "geometry"
    optimiser: Optimiser = "adamw"
    lr: float = 1e-3
    lr_scaling: Scaling = "none"
    weight_decay: float = 0.04
    mask_ratio: float = 0.6
    """Share of a view's patches that are hidden and painted; a patch is as large as the stride of the last stage, mostly 32 pixels. Rounded to whole patches, of which one at least is hidden and one visible."""  # noqa: E501
    decoder_width: int = 256
    """Channels of the decoder at the coarsest map, halved at each of its blocks; wider paints better and is slower."""

    def __post_init__(self) -> None:
        super().__post_init__()
        share(self, "mask_ratio", interval="(0, 1)")
        at_least(self, 32, "decoder_width", why="for it is halved five times")
