"""The options of the transfer: what of the encoder is trained, how fast, and until when."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """What of the encoder is trained, how fast, and until when."""

    steps: int = 4000
    """Optimiser steps, the same at every label fraction: fewer labels are not less training."""
    epochs: int | None = None
    """Passes over the training images, in place of --steps."""
    batch_size: int = 16
    """Images per step."""
    lr: float | Literal["auto"] = 3e-4
    """Peak learning rate of AdamW; auto finds it by a range test before training."""
    encoder_lr: float | None = None
    """Peak learning rate of the encoder; --lr by default."""
    layer_decay: float = 1.0
    """Factor by which each stage of the encoder learns slower than the one above it, in (0, 1]."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises from 0 before its cosine descent."""
    weight_decay: float = 1e-2
    """Not applied to biases and normalisation."""
    freeze: bool = False
    """Train the decoder alone: nothing of the encoder moves, nor BatchNorm's statistics; no Dropout, no DropPath."""
    thaw_after: int | None = None
    """Passes over the training images after which a frozen encoder is trained as well; never by default."""
    ema: float = 0.0
    """Share of the old mean that a moving average of the weights keeps at each step; 0 for none."""
    patience: int = 0
    """Epochs of metrics.csv without a better inner score after which training ends, and the best weights are kept; 0 never ends early."""  # noqa: E501
    inner_fraction: float = 0.1
    """Share of the training images set aside for --patience and --threshold_search; held-out ones are never looked at."""  # noqa: E501

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise ValueError(f"--batch_size must be at least 2 for BatchNorm, got {self.batch_size}")
        if self.lr != "auto" and not self.lr > 0:
            raise ValueError(f"--lr must be above 0, got {self.lr}")
        if self.steps < 1:
            raise ValueError(f"--steps must be at least 1, got {self.steps}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"--warmup is a share of the steps in [0, 1), got {self.warmup}")
        if self.weight_decay < 0:
            raise ValueError(f"--weight_decay must not be negative, got {self.weight_decay}")
