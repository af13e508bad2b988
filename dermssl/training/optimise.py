"""Optimisers and the schedule that every training here shares."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from lightly.utils.scheduler import CosineWarmupScheduler, cosine_warmup_schedule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from dermssl.training.lars import LARS

Name = Literal["lars", "sgd", "adamw"]
Group = dict[str, Any]  # of an optimiser: `params` and the options that hold for them


def groups(modules: Iterable[nn.Module], weight_decay: float) -> list[Group]:
    """Two parameter groups: weights, which decay and LARS adapts, and biases and normalisation, which stay plain."""
    return decaying((p for module in modules for p in module.parameters() if p.requires_grad), weight_decay)


def decaying(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[Group]:
    """The two groups of `groups`, of these parameters, in their order."""
    parameters = list(parameters)
    flat = [p for p in parameters if p.ndim <= 1]  # biases, and weights of normalisation
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "adapted": True},
        {"params": flat, "weight_decay": 0.0, "adapted": False},
    ]


def optimiser(name: Name, parameters: list[Group], lr: float) -> Optimizer:
    """LARS (You et al. 2017) and SGD with momentum 0.9, or AdamW."""
    if name == "lars":
        return LARS(parameters, lr=lr, momentum=0.9)
    if name == "sgd":
        # Not fused: torch's fused SGD fails where a parameter gets its first gradient later than others (DINO, SwAV).
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, foreach=True)
    return torch.optim.AdamW(parameters, lr=lr, fused=True)


def warmup_and_cosine(optimizer: Optimizer, steps: int, warmup: float) -> OptimizerLRSchedulerConfig:
    """A schedule that rises in the first `warmup` of the steps and falls to 0 as a cosine, as Lightning takes it.

    A parameter group with `begins` above 0 stands still until that step.
    """
    rising = round(warmup * steps)
    total = max(steps, rising + 1)
    begins = [int(group.get("begins", 0)) for group in optimizer.param_groups]
    schedule = (
        LambdaLR(optimizer, [late_start(first, rising, total) for first in begins])
        if any(begins)
        else CosineWarmupScheduler(optimizer, warmup_epochs=rising, max_epochs=total, end_value=0.0)
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def late_start(first: int, rising: int, total: int) -> Callable[[int], float]:
    """The factor by step of a group that begins at step `first`: 0 before, then rising once more under the cosine.

    Args:
        first: 0 gives the schedule of everybody else.
        rising: Steps of the rise, the same here as at the start of the training.
        total: Steps of the training.
    """

    def factor(step: int) -> float:
        shared = float(cosine_warmup_schedule(step, total, 1.0, 0.0, warmup_steps=rising, warmup_start_value=0.0))
        again = (step - first + 1) / max(1, rising)
        return shared * min(1.0, max(0.0, again)) if first else shared

    return factor
