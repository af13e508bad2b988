"""A pull towards the weights that a pretraining continues from, so that it learns without forgetting them.

Li, Grandvalet and Davoine 2018, Explicit inductive bias for transfer learning with convolutional networks,
https://arxiv.org/abs/1802.01483 (L2-SP): the penalty is strength / 2 x |w - w0|^2 over the encoder's weights. Its
gradient is taken beside the optimiser's step and not through it, as AdamW decouples weight decay (Loshchilov and Hutter
2019, https://arxiv.org/abs/1711.05101): an adaptive step would divide it by the gradients' size.
"""

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer


class PullToStart(Callback):
    """After each step, moves the encoder's parameters by rate x strength of their way back to where they started.

    Args:
        encoder: With the starting weights in it, before a checkpoint is loaded.
        strength: Of the penalty; 0 pulls nothing.
    """

    def __init__(self, encoder: nn.Module, strength: float) -> None:
        self.strength = strength
        self.parameters = list(encoder.parameters()) if strength else []
        self.start = [parameter.detach().clone() for parameter in self.parameters]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follows the optimiser, at the rate of its own step."""
        if self.strength:
            self.start = [start.to(pl_module.device) for start in self.start]
            trainer.optimizers[0].register_step_post_hook(self.pull)

    @torch.no_grad()
    def pull(self, optimizer: Optimizer, *_: Any) -> None:
        """Pulls each parameter at the rate of its group; one that is not trained stays."""
        rates = {id(p): float(group["lr"]) for group in optimizer.param_groups for p in group["params"]}
        by_rate: dict[float, tuple[list[Tensor], list[Tensor]]] = {}
        for parameter, start in zip(self.parameters, self.start, strict=True):
            moved, there = by_rate.setdefault(rates.get(id(parameter), 0.0), ([], []))
            moved.append(parameter)
            there.append(start)
        for rate, (moved, there) in by_rate.items():
            torch._foreach_lerp_(moved, there, min(1.0, rate * self.strength))
