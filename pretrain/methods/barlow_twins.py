"""Barlow Twins: each dimension of a view's embedding repeats itself in the other view, and no dimension another.

Zbontar et al. 2021, Barlow Twins: Self-supervised learning via redundancy reduction, https://arxiv.org/abs/2103.03230.
"""

from dataclasses import replace
from math import sqrt

import torch.nn.functional as F
from lightly.models.modules.heads import ProjectionHead
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from dermssl.features.representation import spread
from dermssl.parallel import gathered
from dermssl.training.optimise import groups, optimiser, warmup_and_cosine
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.method import Method, scaled_lr, with_autocast_off
from pretrain.recipes import BarlowTwinsConfig
from pretrain.views.batch import Batch


@with_autocast_off
def barlow_twins_loss(z_a: Tensor, z_b: Tensor, redundancy: float) -> Tensor:
    """How far the views' cross-correlation matrix is from the identity (eq. 1).

    Its sums run over the images of all processes. lightly's loss takes each process's own mean and deviation, which is
    another loss than that of one process with the whole batch.

    Args:
        z_a: Embeddings of the first views, (B, D), at any scale.
        z_b: Embeddings of the second views, (B, D); row i shows the same image as `z_a[i]`.
        redundancy: Weight of the terms off the diagonal.

    Returns:
        A scalar from 0; D for constant embeddings, whose correlations are all 0.

    Raises:
        ValueError: If the shapes differ, or a single image leaves nothing to correlate.
    """
    a, b = gathered(z_a), gathered(z_b)
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"barlow_twins_loss needs two (B >= 2, D) tensors, got {tuple(a.shape)} and {tuple(b.shape)}")
    a, b = (standardised(z) / sqrt(len(z)) for z in (a, b))  # a.T @ b is the matrix of correlations
    own = (a * b).sum(dim=0)  # (D,), its diagonal
    return (own - 1).square().sum() + redundancy * off_diagonal_squares(a, b)


def standardised(z: Tensor) -> Tensor:
    """Mean 0 and deviation 1 in each dimension over the batch (B, D): the last, plain BatchNorm of the paper's code."""
    return F.batch_norm(z, None, None, training=True)


def off_diagonal_squares(x: Tensor, y: Tensor) -> Tensor:
    """The sum of squares of `x.T @ y` off its diagonal, over (..., N, D) each: (...,).

    All of them are also the products of `x @ x.T` with `y @ y.T`, element by element. A batch is mostly smaller than
    an embedding is wide, and N x N is then by far the smaller matrix: 256 against 8192.
    """
    if x.shape[-2] < x.shape[-1]:
        everything = ((x @ x.mT) * (y @ y.mT)).sum(dim=(-2, -1))
    else:
        everything = (x.mT @ y).square().sum(dim=(-2, -1))
    return everything - (x * y).sum(dim=-2).square().sum(dim=-1)


def three_layer_projector(features: int, width: int) -> nn.Module:
    """Three layers of one width, features (B, C) -> embeddings (B, width).

    lightly's own head gives the last layer a bias. The paper's code has none there, and no loss of correlations or of
    centred rows would ever move it but by rounding.
    """
    layers = [(size, width, nn.BatchNorm1d(width), nn.ReLU()) for size in (features, width)]
    head: nn.Module = ProjectionHead([*layers, (width, width, None, None, False)])
    return head


class BarlowTwins(Method):
    """Encoder, projector and their loss."""

    def __init__(self, start: Start, config: BarlowTwinsConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        self.head = three_layer_projector(feature_width(self.encoder), config.projection_dim)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Views pass apart, so that BatchNorm sees one at a time, as in the paper's code."""
        views = self.normalise(batch.views).chunk(2)
        z_a, z_b = (self.head(pooled(self.encoder, view)) for view in views)  # (B, D) each
        return {"loss": barlow_twins_loss(z_a, z_b, self.config.redundancy), "spread": spread(z_a)}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Biases and normalisation have a peak rate of their own; both rise and fall together.

        LARS moves a weight by a thousandth of its norm and a flat parameter by its plain gradient, so one rate cannot
        suit both.
        """
        config = self.config
        weights, flat = groups([self], config.weight_decay)
        flat["lr"] = scaled_lr(replace(config, lr=config.flat_lr))
        stepper = optimiser(config.optimiser, [weights, flat], scaled_lr(config))
        return warmup_and_cosine(stepper, self.steps, config.warmup)
