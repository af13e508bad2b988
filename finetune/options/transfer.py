"""The options of the transfer: what of the encoder is trained, how fast, and until when."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dermssl.bounds import above_zero, at_least, share

DecoderInit = Literal["pretrained", "random"]


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """What of the encoder is trained, how fast, and until when."""

    GROUP: ClassVar[str] = "training"

    steps: int = 4000
    """Optimiser steps, the same at every label fraction: fewer labels are not less training."""
    epochs: int | None = None
    """Passes over the training images; where given, --steps does not count."""
    batch_size: int = 16
    """Images per step."""
    lr: float | Literal["auto"] = 3e-4
    """Peak learning rate of AdamW; auto finds it by a range test on the first batches, before training."""
    encoder_lr: float | None = None
    """Peak learning rate of the encoder; --lr by default."""
    layer_decay: float = 1.0
    """Factor by which each stage of the encoder learns slower than the one above it, in (0, 1]."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises from 0 before its cosine descent."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW; not applied to biases and normalisation."""
    decoder_init: DecoderInit = "pretrained"
    """Weights of the decoder: pretrained takes those that were trained with the encoder, where its file holds such a decoder, and random takes none."""  # noqa: E501
    freeze: bool = False
    """Train the decoder alone: nothing of the encoder moves, nor BatchNorm's statistics; no Dropout, no DropPath."""
    thaw_after: int | None = None
    """Passes over the training images after which what --freeze froze is trained as well; never by default."""
    ema: float = 0.0
    """Share of itself that a moving average of the weights keeps at each step, say 0.999; it is what is scored and kept. 0 for none."""  # noqa: E501
    patience: int = 0
    """Rows of metrics.csv (tenths of the training) without a better inner score after which training ends, and the best weights are kept; 0 never ends early."""  # noqa: E501
    inner_fraction: float = 0.1
    """Share of the training images set aside for --patience, --threshold_search and --score_on inner; held-out ones are never looked at."""  # noqa: E501

    def __post_init__(self) -> None:
        at_least(self, 2, "batch_size", why="for BatchNorm")
        at_least(self, 1, "steps", "epochs")
        at_least(self, 0, "weight_decay", "patience")
        above_zero(self, "lr")
        share(self, "warmup", noun="share of the steps")
        share(self, "ema")
        share(self, "inner_fraction", interval="(0, 1)")
        self.refuse_what_a_frozen_encoder_ignores()

    def refuse_what_a_frozen_encoder_ignores(self) -> None:
        """Options of an encoder's training must not be given where it is never trained, nor a thaw without frost."""
        above_zero(self, "encoder_lr")
        share(self, "layer_decay", interval="(0, 1]", noun="factor")
        at_least(self, 1, "thaw_after")
        if self.thaw_after is not None and not self.freeze:
            raise ValueError(f"--thaw_after {self.thaw_after} thaws what nothing froze; add --freeze")
        for name, value, default in (
            ("encoder_lr", self.encoder_lr, None),
            ("layer_decay", self.layer_decay, 1.0),
        ):
            if self.freeze and self.thaw_after is None and value != default:
                raise ValueError(f"--{name} {value} has no effect on an encoder that stays frozen; add --thaw_after")
