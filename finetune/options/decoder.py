"""The options of the decoder, and which decoder has which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from dermssl.bounds import at_most, share

Decoder = Literal[
    "unet", "fpn", "pspnet", "linknet", "unetplusplus", "manet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt", "linear",
]  # fmt: skip
DECODERS: tuple[str, ...] = get_args(Decoder)

# By option: the decoders that have it, and the name of the argument that it is for each in segmentation-models-pytorch.
ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "encoder_depth": dict.fromkeys(DECODERS, "encoder_depth"),
    "decoder_channels": dict.fromkeys(
        ["unet", "unetplusplus", "manet", "pan", "deeplabv3", "deeplabv3plus", "upernet"], "decoder_channels"
    )
    | {
        "fpn": "decoder_pyramid_channels",
        "pspnet": "psp_out_channels",
        "segformer": "decoder_segmentation_channels",
        "dpt": "decoder_intermediate_channels",
    },
    "decoder_fusion_channels": {"fpn": "decoder_segmentation_channels", "dpt": "decoder_fusion_channels"},
    "decoder_norm": dict.fromkeys(
        ["unet", "unetplusplus", "manet", "linknet", "pspnet", "upernet"], "decoder_use_norm"
    ),
    "decoder_attention": dict.fromkeys(["unet", "unetplusplus"], "decoder_attention_type"),
    "decoder_attention_channels": {"manet": "decoder_pab_channels"},
    "decoder_dropout": {"fpn": "decoder_dropout", "pspnet": "psp_dropout"}
    | dict.fromkeys(["deeplabv3", "deeplabv3plus"], "decoder_aspp_dropout"),
    "decoder_interpolation": dict.fromkeys(["unet", "unetplusplus", "manet", "fpn", "pan"], "decoder_interpolation"),
    "decoder_merge": {"fpn": "decoder_merge_policy"},
    "decoder_readout": {"dpt": "decoder_readout"},
    "atrous_rates": dict.fromkeys(["deeplabv3", "deeplabv3plus"], "decoder_atrous_rates"),
    "atrous_separable": dict.fromkeys(["deeplabv3", "deeplabv3plus"], "decoder_aspp_separable"),
    "output_stride": dict.fromkeys(["deeplabv3", "deeplabv3plus", "pan"], "encoder_output_stride"),
    "encoder_blocks": dict.fromkeys(["dpt", "linear"], "encoder_output_indices"),
}
WIDEST = 65_536
WIDTH_PER_STAGE = ("unet", "unetplusplus", "manet", "dpt")
POSITIVE = {"decoder_channels", "decoder_fusion_channels", "decoder_attention_channels", "atrous_rates"}
STRIDES: Mapping[str, tuple[int, ...]] = {"deeplabv3": (8, 16), "deeplabv3plus": (8, 16), "pan": (16, 32)}


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Which decoder the encoder is put under, and what it is made of."""

    GROUP: ClassVar[str] = "network"

    decoder: Decoder = "unet"
    """Architecture of segmentation-models-pytorch; linear is one 1 x 1 convolution on the encoder's normalised maps."""
    encoder_depth: int | None = None
    """Stages of the encoder that the decoder uses: 3 to 5 (by default 5; pspnet 3), for dpt 1 to 4 (4), for linear 1 to 5 (5); of a plain transformer so many blocks, evenly spread, 1 being the last."""  # noqa: E501
    decoder_channels: tuple[int, ...] = ()
    """Widths of the decoder's maps; one for each stage, coarsest first, for unet, unetplusplus, manet and dpt, else one (linknet has none). The architecture's own by default."""  # noqa: E501
    decoder_fusion_channels: int | None = None
    """Width of the maps where those of all stages meet: fpn (128), dpt (256)."""
    decoder_norm: Literal["batchnorm", "instancenorm", "identity"] | None = None
    """Normalisation in the decoder (batchnorm): unet, unetplusplus, manet, linknet, pspnet, upernet."""
    decoder_attention: Literal["scse"] | None = None
    """Attention to channels and places at once (Roy et al. 2018, https://arxiv.org/abs/1803.02579): unet, unetplusplus."""  # noqa: E501
    decoder_attention_channels: int | None = None
    """Width of the attention between places: manet (64)."""
    decoder_dropout: float | None = None
    """Share of the last map's channels, for deeplabv3 and deeplabv3plus of its values, dropped in training: fpn and pspnet (0.2), deeplabv3 and deeplabv3plus (0.5)."""  # noqa: E501
    decoder_interpolation: Literal["nearest", "bilinear", "bicubic"] | None = None
    """How maps are enlarged in the decoder: unet, unetplusplus, manet, fpn (nearest), pan (bilinear)."""
    decoder_merge: Literal["add", "cat"] | None = None
    """How the stages' maps become one: fpn (add)."""
    decoder_readout: Literal["cat", "add", "ignore"] | None = None
    """What becomes of a transformer's class token: dpt (cat; ignore for encoders without one)."""
    atrous_rates: tuple[int, ...] = ()
    """Dilations of the three wide convolutions: deeplabv3, deeplabv3plus (12 24 36)."""
    atrous_separable: bool | None = None
    """Whether the convolutions of --atrous_rates are depthwise separable: deeplabv3 (False), deeplabv3plus (True)."""
    output_stride: int | None = None
    """Pixels of the image to one of the encoder's coarsest map, which is dilated for it: deeplabv3 (8) and deeplabv3plus (16) take 8 or 16, pan (16) takes 16 or 32."""  # noqa: E501
    encoder_blocks: tuple[int, ...] = ()
    """Blocks of a plain transformer, from 0, whose output dpt (one a stage) or linear takes (evenly spread)."""

    def __post_init__(self) -> None:
        options = decoder_options_of(self)
        for name in options:
            if self.decoder not in ARGUMENTS[name]:
                raise ValueError(
                    f"--{name} {as_typed(options[name])}: {self.decoder} has no such option; "
                    f"take --decoder {' or '.join(ARGUMENTS[name])}, or leave --{name} out"
                )
        least, most = {"dpt": (1, 4), "linear": (1, 5)}.get(self.decoder, (3, 5))
        if not least <= self.depth <= most:
            raise ValueError(
                f"--encoder_depth {self.encoder_depth}: {self.decoder} takes {least} to {most} stages of the encoder"
            )
        for name in POSITIVE & options.keys():
            value = options[name]
            if min(value if isinstance(value, list) else [value]) < 1:
                raise ValueError(f"--{name} must be positive, got {as_typed(value)}")
        at_most(self, WIDEST, *POSITIVE)
        self._refuse_widths()
        self._refuse_values()

    @property
    def depth(self) -> int:
        """Stages of the encoder that the decoder uses, given or its own."""
        own = {"pspnet": 3, "dpt": 4}.get(self.decoder, 5)
        if self.decoder == "linear" and self.encoder_blocks:
            own = len(self.encoder_blocks)
        return own if self.encoder_depth is None else self.encoder_depth

    @property
    def widths(self) -> int:
        """How many widths `decoder_channels` are."""
        return self.depth if self.decoder in WIDTH_PER_STAGE else 1

    def _refuse_widths(self) -> None:
        widths = self.decoder_channels
        if widths and len(widths) != self.widths:
            of = f"{self.decoder} of {self.depth} stages" if self.decoder in WIDTH_PER_STAGE else self.decoder
            raise ValueError(f"--decoder_channels {as_typed(widths)}: {of} takes {self.widths}, got {len(widths)}")
        if widths and self.decoder_attention and min(widths) < 16:  # a sixteenth of them is the attention's width
            raise ValueError(f"--decoder_channels under --decoder_attention are at least 16, got {as_typed(widths)}")
        if self.decoder == "fpn" and (self.decoder_fusion_channels or 0) % 32:  # groups of its GroupNorm
            raise ValueError(
                f"--decoder_fusion_channels of fpn is a multiple of 32, got {self.decoder_fusion_channels}"
            )

    def _refuse_values(self) -> None:
        share(self, "decoder_dropout")
        if len(self.atrous_rates) not in (0, 3):
            raise ValueError(f"--atrous_rates takes three dilations, got {as_typed(self.atrous_rates)}")
        strides = STRIDES.get(self.decoder, ())
        if self.output_stride is not None and self.output_stride not in strides:
            raise ValueError(
                f"--output_stride {self.output_stride}: {self.decoder} takes {' or '.join(map(str, strides))}"
            )
        blocks = self.encoder_blocks
        if blocks and len(blocks) != self.depth:
            raise ValueError(
                f"--encoder_blocks {as_typed(blocks)}: {self.decoder} of {self.depth} stages takes {self.depth}"
            )
        if self.decoder == "upernet" and self.decoder_norm == "instancenorm":
            raise ValueError(
                "--decoder_norm instancenorm: upernet normalises a map of one pixel, which has no deviation; "
                "take batchnorm or identity"
            )


def decoder_options_of(config: DecoderConfig) -> dict[str, Any]:
    """The options of the decoder that were given, as JSON knows them: what `finetune.network.build.build_model` takes.

    A model file's card holds them. What is left out is the architecture's own.
    """
    options = {name: vars(config)[name] for name in ARGUMENTS}
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, ())
    }


def as_typed(value: object) -> str:
    """An option's value as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
