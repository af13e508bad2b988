"""The doctor: watches a training for failure, and says by name what is wrong and what helps."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from dermssl.errors import UserError
from dermssl.parallel import rank, summed, world
from dermssl.training.trainer import Progress
from pretrain.config import PretrainConfig
from pretrain.doctor.diagnoses import Course, Diagnosis, diagnose
from pretrain.doctor.looks import (
    Look,
    dense_change,
    dense_scores,
    features_of_views,
    pair_losses,
    shared_companions,
    slow_copy_distance,
    two_batches,
    untouched,
    vote_of_neighbours,
)
from pretrain.doctor.signs import constant_share, duplicate_share, gradient_norm, relative_distance
from pretrain.methods.method import Method
from pretrain.views.batch import Batch

SPARSE = 4  # every fourth pixel tells equal views from different ones in a sixteenth of the time


class Doctor(Callback):
    """Adds its signs to every step's scalars and every epoch's row, and reports what they mean.

    It comes before `Progress` in the list of callbacks, and `Progress` before `Checkpoints`.

    Args:
        config: The resolved options: `look_every`, `on_collapse`, and what remedies speak of.
        progress: Gets the signs of epochs.
        say: Where reports go.
        look: What there is to look at; None looks at nothing beside the steps.
    """

    def __init__(
        self, config: PretrainConfig, progress: Progress, say: Callable[[str], None], look: Look | None = None
    ) -> None:
        self.config, self.progress, self.say, self.look = config, progress, say, look
        self.start: dict[str, float] = {}
        self.first_dense: list[float] = []  # the dense probe's IoU of each picture before the first step
        self.reported: list[str] = []
        self.last: dict[str, float] = {}
        self.verdict = ""
        self.gradient = torch.zeros(())
        self.kernels: list[Tensor] = []  # the encoder's, before an epoch's last step

    def state_dict(self) -> dict[str, Any]:
        """The signs that later ones are compared with, and the diagnoses that were reported already."""
        return {
            "start": dict(self.start), "last": dict(self.last), "said": list(self.reported), "dense": self.first_dense,
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.start, self.last = dict(state_dict["start"]), dict(state_dict["last"])
        self.reported, self.first_dense = list(state_dict["said"]), list(state_dict.get("dense", []))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks once before the first step, to have something to compare with."""
        if self.config.look_every and not self.start:
            self.start = self.last = self.signs(trainer, pl_module)
            if rank() == 0 and self.start:
                self.say(f"doctor: before the first step {look_in_words(self.start)}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops where the last epoch gave reason to; its checkpoint is written by now."""
        self.stop_if_told()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops before the encoder is published."""
        self.stop_if_told()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Keeps the encoder's weights for the length of an epoch's last step."""
        if batch_idx + 1 == trainer.num_training_batches:
            self.kernels = [kernel.detach().clone() for kernel in kernels(encoder_of(pl_module))]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Gradients are whole here."""
        self.gradient = gradient_norm(pl_module.parameters())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Puts its scalars beside the step's own, which `Progress` averages."""
        assert isinstance(outputs, dict)
        assert isinstance(batch, Batch)
        sparse = batch.views[:, :, ::SPARSE, ::SPARSE]
        outputs["gradient_norm"] = self.gradient
        outputs["duplicate_views"] = duplicate_share(sparse)
        outputs["constant_views"] = constant_share(sparse)
        if self.kernels:
            self.progress.extra["step_size"] = float(relative_distance(kernels(encoder_of(pl_module)), self.kernels))
            self.kernels = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks, adds to the epoch's row, and reports."""
        due = self.config.look_every and (trainer.current_epoch + 1) % self.config.look_every == 0
        signs = self.signs(trainer, pl_module) if due else {}
        self.progress.extra |= signs
        now = means(self.progress) | self.progress.extra
        self.start = now | self.start
        done = (trainer.current_epoch + 1) / max(1, trainer.max_epochs or 1)
        self.report(diagnose(Course(self.config, self.start, self.last, now, done)), pl_module.device)
        self.last = signs or self.last

    def signs(self, trainer: Trainer, method: LightningModule) -> dict[str, float]:
        """Everything that a look finds; every process must take part, and the first one knows it all."""
        assert isinstance(method, Method)
        if self.look is None:
            return {}
        signs: dict[str, float] = {}
        pairs = two_batches(self.look, self.config.batch_size // world())
        if pairs is not None and not self.config.micro_batch:  # whose step asks for gradients inside
            context = trainer.precision_plugin.train_step_context
            signs |= pair_losses(method, pairs, context) | slow_copy_distance(method, pairs, context)
            signs |= shared_companions(method, pairs)
        if rank() == 0:
            with untouched(method):
                for measure in (features_of_views, vote_of_neighbours, self.dense_probe):
                    signs |= measure(self.look, method.device)
        return signs

    def dense_probe(self, look: Look, device: torch.device) -> dict[str, float]:
        """Mean IoU of the dense probe and how it has moved since the first look; nothing where masks are few."""
        scores = dense_scores(look, device)
        if scores is None:
            return {}
        first = np.array(self.first_dense)
        self.first_dense = self.first_dense or scores.tolist()
        moved = dense_change(scores, first) if len(first) == len(scores) > 1 else {}
        return {"dense_iou": float(scores.mean())} | moved

    def report(self, diagnoses: Sequence[Diagnosis], device: torch.device) -> None:
        """Says each diagnosis once; all processes stop, or none."""
        new = [diagnosis for diagnosis in diagnoses if diagnosis.name not in self.reported]
        self.reported += [diagnosis.name for diagnosis in new]
        if rank() == 0:
            for diagnosis in new:
                self.say(f"doctor: {diagnosis}")
        fatal = [diagnosis for diagnosis in diagnoses if diagnosis.fatal]
        stop = float(summed(torch.tensor(float(bool(fatal) and rank() == 0), device=device)))
        if stop and self.config.on_collapse == "stop":
            self.verdict = (
                "; ".join(map(str, fatal)) or "the doctor of the first process stopped the training; its log says why"
            )

    def stop_if_told(self) -> None:
        """Ends the training."""
        if self.verdict:
            raise UserError(
                f"the doctor stopped the training: {self.verdict}; give --on_collapse warn to train on all the same"
            )


def means(progress: Progress) -> dict[str, float]:
    """The epoch's mean of every scalar so far."""
    return {name: float(summed(value)) / world() / progress.steps for name, value in progress.sums.items()}


def encoder_of(module: LightningModule) -> nn.Module:
    """The encoder of a method."""
    assert isinstance(module, Method)
    return module.encoder


def kernels(module: nn.Module) -> list[Tensor]:
    """Weights but for biases and normalisation, whose length says nothing of what they do."""
    return [weight.detach() for weight in module.parameters() if weight.ndim > 1]


def look_in_words(signs: Mapping[str, float]) -> str:
    """What a person wants to know of a look."""
    words = {"rankme": "RankMe {:.1f}", "alignment": "alignment {:.3f}", "uniformity": "uniformity {:.2f}",
             "knn_accuracy": "kNN accuracy {:.3f}", "dense_iou": "dense probe IoU {:.3f}"}  # fmt: skip
    return ", ".join(form.format(signs[name]) for name, form in words.items() if name in signs)
