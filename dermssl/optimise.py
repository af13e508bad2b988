"""Optimisers and the schedule that every training here shares."""

from collections.abc import Iterable
from typing import Literal

import torch
from lightly.utils.scheduler import CosineWarmupScheduler
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import nn
from torch.optim import Optimizer

from dermssl.lars import LARS

Name = Literal["lars", "sgd", "adamw"]


def groups(modules: Iterable[nn.Module], weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: weights, which decay and LARS adapts, and biases and normalisation, which stay plain."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    flat = [p for p in parameters if p.ndim <= 1]  # biases, and weights of normalisation
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay, "adapted": True},
        {"params": flat, "weight_decay": 0.0, "adapted": False},
    ]


def optimiser(name: Name, parameters: list[dict[str, object]], lr: float) -> Optimizer:
    """LARS (You et al. 2017) and SGD with momentum 0.9, or AdamW."""
    if name == "lars":
        return LARS(parameters, lr=lr, momentum=0.9)
    if name == "sgd":
        # Not fused: torch's fused SGD fails where a parameter gets its first gradient later than others (DINO, SwAV).
        return torch.optim.SGD(parameters, lr=lr, momentum=0.9, foreach=True)
    return torch.optim.AdamW(parameters, lr=lr, fused=True)


def warmup_and_cosine(optimizer: Optimizer, steps: int, warmup: float) -> OptimizerLRSchedulerConfig:
    """A schedule that rises in the first `warmup` of the steps and falls to 0 as a cosine, as Lightning takes it."""
    rising = round(warmup * steps)
    schedule = CosineWarmupScheduler(optimizer, warmup_epochs=rising, max_epochs=max(steps, rising + 1), end_value=0.0)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
