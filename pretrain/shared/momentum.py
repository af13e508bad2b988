"""The slow copy of a network that others learn from: teacher, target or key encoder."""

import copy
import math
from typing import TypeVar

import torch
from torch import Tensor, nn

M = TypeVar("M", bound=nn.Module)


def slow_copy(module: M) -> M:
    """A copy that no gradient moves. It starts equal: one with weights of its own would answer from another space."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Moves the parameters of `slow` towards those of `fast`, keeping a share of `momentum` (He et al. 2020, eq. 2).

    Buffers stay its own: the slow copy's BatchNorm has seen other weights' activations, so its statistics are not the
    fast one's.
    """
    old: list[Tensor] = list(slow.parameters())
    new: list[Tensor] = [parameter.detach() for parameter in fast.parameters()]
    assert len(old) == len(new), "the slow copy is of another network"
    torch._foreach_lerp_(old, new, 1 - momentum)


def momentum_schedule(start: float, step: int, steps: int) -> float:
    """A momentum that rises from `start` to 1 as a cosine over the training (Grill et al. 2020, section 3.3)."""
    return 1 - (1 - start) * (math.cos(math.pi * min(step, steps) / steps) + 1) / 2
