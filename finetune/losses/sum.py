"""The loss of fine-tuning: a weighted sum of named losses, in float32 whatever the network computes in."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from finetune.losses.boundary import boundary_loss
from finetune.losses.float32 import Loss
from finetune.losses.lovasz import lovasz_loss
from finetune.losses.pixel import bce_loss, focal_loss
from finetune.losses.region import dice_loss, jaccard_loss, mcc_loss, tversky_loss
from finetune.options.loss import LossConfig, terms


@dataclass(frozen=True)
class LossSum:
    """What a training step lowers, and the parts of it that metrics.csv shows."""

    terms: tuple[tuple[float, str, Loss], ...]
    """Weight, name and function of each; at least one."""

    def __call__(self, logits: Tensor, truth: Tensor) -> Mapping[str, Tensor]:
        """The weighted sum as `loss`, and where it has several terms, each by its name, unweighted and detached.

        Args:
            logits: (B, 1, H, W), any float type.
            truth: (B, 1, H, W), 0 or 1, any type.

        Returns:
            Scalars in float32, on the device of the logits.

        Raises:
            ValueError: If the shapes differ.
        """
        values = {name: loss(logits, truth) for _, name, loss in self.terms}
        first, *others = (weight * values[name] for weight, name, _ in self.terms)
        parts = {name: value.detach() for name, value in values.items()} if others else {}
        return {"loss": sum(others, start=first), **parts}


def loss_of(config: LossConfig) -> LossSum:
    """The loss that the options describe."""
    losses = functions(config)
    return LossSum(tuple((weight, name, losses[name]) for weight, name in terms(config.loss)))


def functions(config: LossConfig) -> dict[str, Loss]:
    """Every loss by its name, with its options."""
    over = config.loss_over
    return {
        "dice": partial(dice_loss, over=over),
        "jaccard": partial(jaccard_loss, over=over),
        "bce": bce_loss,
        "focal": partial(focal_loss, gamma=config.focal_gamma, alpha=config.focal_alpha),
        "tversky": partial(tversky_loss, over=over, alpha=config.tversky_alpha, beta=config.tversky_beta),
        "lovasz": partial(lovasz_loss, over=over),
        "mcc": partial(mcc_loss, over=over),
        "boundary": boundary_loss,
    }
