"""VICReg: two views of an image agree, while every dimension keeps varying and none repeats another.

Bardes, Ponce and LeCun 2022, VICReg: Variance-invariance-covariance regularization for self-supervised learning,
https://arxiv.org/abs/2105.04906.
"""

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from dermssl.features.representation import spread
from dermssl.parallel import gathered
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.barlow_twins import off_diagonal_squares, three_layer_projector
from pretrain.methods.method import Method, with_autocast_off
from pretrain.recipes import VICRegConfig
from pretrain.views.batch import Batch

EPSILON = 1e-4  # under the root of the variance, whose slope at 0 would be infinite


@with_autocast_off
def vicreg_terms(z_a: Tensor, z_b: Tensor) -> Tensor:
    """Invariance, variance and covariance of two views (eq. 1 to 5), before their weights: (3,).

    Invariance is that of this process's images, the others that of all processes' images. As in the paper's code, which
    its weights belong to, invariance is also a mean over dimensions and variance a mean over the two views, where the
    paper's formulas have sums.

    Args:
        z_a: Embeddings of the first views, (B, D), or of M places each, (B, M, D).
        z_b: Embeddings of the second views, of the same shape; row i shows the same image as `z_a[i]`.

    Returns:
        The mean squared distance, from 0; the mean hinge, in [0, 1), 0.99 for constant embeddings; the squares of all
        covariances by D, summed over the views. The last two are taken over the images, and then the mean over places.

    Raises:
        ValueError: If the shapes differ, or a single image leaves no variance.
    """
    a, b = gathered(z_a), gathered(z_b)
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"vicreg_terms needs two (B >= 2, ..., D) tensors, got {tuple(a.shape)} and {tuple(b.shape)}")
    invariance = F.mse_loss(z_a, z_b)
    return torch.stack([invariance, (variance(a) + variance(b)) / 2, covariance(a) + covariance(b)])


def variance(z: Tensor) -> Tensor:
    """How far the deviation of each dimension over the batch (B, ..., D) stays below 1, the mean over dimensions."""
    deviation = (z.var(dim=0) + EPSILON).sqrt()  # (..., D)
    return F.relu(1 - deviation).mean()


def covariance(z: Tensor) -> Tensor:
    """Squares of the covariances between dimensions over the batch (B, ..., D), summed and divided by D."""
    centred = (z - z.mean(dim=0)).movedim(0, -2) / sqrt(len(z) - 1)  # (..., B, D)
    return off_diagonal_squares(centred, centred).mean() / z.shape[-1]


class VICReg(Method):
    """Encoder, expander and their criterion."""

    weights: Tensor  # (3,), of invariance, variance and covariance

    def __init__(self, start: Start, config: VICRegConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        self.expander = three_layer_projector(feature_width(self.encoder), config.projection_dim)
        weights = torch.tensor([config.invariance, config.variance, config.covariance])
        self.register_buffer("weights", weights, persistent=False)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Views pass apart, so that BatchNorm sees one at a time, as in the paper's code."""
        views = self.normalise(batch.views).chunk(2)
        z_a, z_b = (self.expander(pooled(self.encoder, view)) for view in views)  # (B, D) each
        terms = vicreg_terms(z_a, z_b)
        return {"loss": self.weighed(terms), "spread": spread(z_a)} | terms_by_name(terms)

    def weighed(self, terms: Tensor) -> Tensor:
        """The criterion of its three terms (eq. 6), a scalar."""
        return (self.weights * terms).sum()


def terms_by_name(terms: Tensor) -> dict[str, Tensor]:
    """The three terms as columns of metrics.csv."""
    return dict(zip(("invariance", "variance", "covariance"), terms.detach(), strict=True))
