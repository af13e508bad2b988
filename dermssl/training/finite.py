"""Training stops at the step whose loss or gradient is no finite number, and keeps no checkpoint that holds one."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from dermssl.errors import UserError
from dermssl.parallel import summed
from dermssl.training.checkpoint import newest_whole

WATCHED = 50  # steps between readings of the flag on a GPU, which wait for it


class NotFiniteError(UserError):
    """A training that has come to no number; its last good checkpoint stands."""


class FiniteNumbers(Callback):
    """Watches losses, gradients, weights and moments. It comes before whatever looks at them or writes them.

    Args:
        checkpoints: The folder that a training that broke can be continued from; None where none are written.
        slower: The options to start anew with.
    """

    def __init__(self, checkpoints: Path | None, slower: str) -> None:
        self.checkpoints, self.slower = checkpoints, slower
        self.broken_step = torch.full((), -1, dtype=torch.int64)  # the first one whose numbers were none
        self.gradient_is_finite = torch.ones((), dtype=torch.bool)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves the flags to where the numbers are, and looks at what a checkpoint or a file has brought."""
        self.broken_step = self.broken_step.to(pl_module.device)
        self.gradient_is_finite = self.gradient_is_finite.to(pl_module.device)
        for name, tensor in pl_module.state_dict().items():
            if not finite([tensor]):
                raise NotFiniteError(
                    f"before the first step '{name}' holds what is no finite number; give other weights with --init"
                )

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Gradients are whole here."""
        self.gradient_is_finite = finite(p.grad for p in pl_module.parameters() if p.grad is not None)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Notes a step that is broken; on a GPU the flag is read now and then, as reading waits for the device."""
        assert isinstance(outputs, dict)
        well = outputs["loss"].detach().isfinite() & self.gradient_is_finite
        self.broken_step = torch.where(~well & (self.broken_step < 0), trainer.global_step, self.broken_step)
        if pl_module.device.type == "cpu" or trainer.global_step % WATCHED == 0:
            self.refuse_broken(trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the weights as well, before anybody looks at the network."""
        self.refuse_broken(trainer.global_step)
        if not finite(pl_module.parameters()):
            raise self.broken(trainer.global_step)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Lets no checkpoint be written that holds what is no number."""
        moments = [value for o in trainer.optimizers for state in o.state.values() for value in state.values()]
        tensors = [*pl_module.state_dict().values(), *(value for value in moments if isinstance(value, Tensor))]
        if not finite(tensors):
            raise self.broken(trainer.global_step)

    def refuse_broken(self, step: int) -> None:
        """Stops where a number was none; all processes must ask together."""
        if summed((self.broken_step >= 0).double()) > 0:
            raise self.broken(int(self.broken_step) if self.broken_step >= 0 else step)

    def broken(self, step: int) -> NotFiniteError:
        """What to say of a training that has come to no number."""
        last = newest_whole(self.checkpoints) if self.checkpoints is not None else None
        stands = f"the last good checkpoint stands in {last.parent}" if last else "no checkpoint was written yet"
        return NotFiniteError(
            f"divergence: at step {step} the loss, a gradient or a weight is no finite number, mostly because steps "
            f"are too long; start anew with {self.slower}; {stands}"
        )


@torch.no_grad()
def finite(tensors: Iterable[Tensor]) -> Tensor:
    """Whether no number of these tensors is NaN or infinite."""
    filled = [tensor for tensor in tensors if tensor.numel() and tensor.is_floating_point()]
    if not filled:
        return torch.ones((), dtype=torch.bool)
    largest = torch._foreach_norm(filled, torch.inf)  # NaN where one is NaN; a sum of squares would overflow
    return torch.stack([part.float() for part in largest]).isfinite().all()
