"""The type that every loss of fine-tuning has, and the float32 that it is computed in."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")
Loss = Callable[[Tensor, Tensor], Tensor]  # logits and truth, both (B, 1, H, W), to a scalar


def loss_in_float32(
    loss: Callable[Concatenate[Tensor, Tensor, P], Tensor],
) -> Callable[Concatenate[Tensor, Tensor, P], Tensor]:
    """Hands a loss logits and truth in float32, with autocast off: half precision cannot count the pixels of a picture.

    fp16 ends at 65504, the pixels of 256 x 256, and bf16 has 8 bits.

    Raises:
        ValueError: If logits and truth differ in shape, or are not (B, 1, H, W); torch would stretch one to the other.
    """

    @wraps(loss)
    def exact(logits: Tensor, truth: Tensor, *options: P.args, **named_options: P.kwargs) -> Tensor:
        if logits.shape != truth.shape or logits.ndim != 4 or logits.shape[1] != 1:
            raise ValueError(
                f"logits are {tuple(logits.shape)} and truth {tuple(truth.shape)}; both must be (B, 1, H, W)"
            )
        with torch.autocast(logits.device.type, enabled=False):
            return loss(logits.float(), truth.float(), *options, **named_options)

    return exact  # type: ignore[return-value]
