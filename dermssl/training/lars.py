"""LARS: every layer moves by the same small share of its own size (You et al. 2017, https://arxiv.org/abs/1708.03888).

lightly's gives the same numbers, but asks the device for two norms of every parameter at every step, which a GPU waits
for, and stops adapting altogether where the weight decay is 0.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """SGD with momentum, each parameter's gradient scaled to `trust` times the parameter's norm.

    Args:
        params: Parameters or groups of them. A group with `adapted` False is moved by plain SGD: biases and weights of
            normalisation, whose norms mean nothing (SimCLR, BYOL).
        lr: Learning rate.
        momentum: Share of the old direction kept.
        weight_decay: Added to the gradient before it is scaled.
        trust: Share of a parameter's norm by which it moves at a learning rate of 1.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust,
                                  "adapted": True})  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Moves all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters_moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters_moved:
                self.move(parameters_moved, group)
        return loss

    def move(self, parameters: list[Tensor], group: dict[str, Any]) -> None:
        """One step of a group, by operations over all its parameters at once."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        directions = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        if group["adapted"]:
            torch._foreach_mul_(directions, rates(parameters, gradients, group))
        buffers = [self.state[parameter].get("momentum_buffer") for parameter in parameters]
        for parameter, buffer, direction in zip(parameters, buffers, directions, strict=True):
            if buffer is None:  # the first direction is its own past
                self.state[parameter]["momentum_buffer"] = direction
        later = [place for place, buffer in enumerate(buffers) if buffer is not None]
        if later:
            old = [buffers[place] for place in later]
            torch._foreach_mul_(old, group["momentum"])
            torch._foreach_add_(old, [directions[place] for place in later])
        latest = [self.state[parameter]["momentum_buffer"] for parameter in parameters]
        torch._foreach_add_(parameters, latest, alpha=-group["lr"])


def rates(parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> list[Tensor]:
    """What each parameter's direction is multiplied by; 1 where it or its gradient is nought, without decay there."""
    weight_norms = torch.stack(torch._foreach_norm(parameters))
    gradient_norms = torch.stack(torch._foreach_norm(gradients))
    scaled = group["trust"] * weight_norms / (gradient_norms + weight_norms * group["weight_decay"] + 1e-8)
    return list(torch.where((weight_norms > 0) & (gradient_norms > 0), scaled, 1.0).unbind())
