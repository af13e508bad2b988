"""The options of the decoder."""

from dataclasses import dataclass
from typing import Literal

Decoder = Literal[
    "unet", "fpn", "pspnet", "linknet", "unetplusplus", "manet", "pan", "deeplabv3", "deeplabv3plus", "upernet",
    "segformer", "dpt",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """Which decoder the encoder is put under, and what it is made of."""

    decoder: Decoder = "unet"
    """Architecture of segmentation-models-pytorch."""
    encoder_depth: int | None = None
    """Stages of the encoder that the decoder uses, 3 to 5; the architecture's own by default (PSPNet: 3)."""

    def __post_init__(self) -> None:
        if self.encoder_depth not in (None, 3, 4, 5):
            raise ValueError(f"--encoder_depth is 3, 4 or 5, got {self.encoder_depth}")
