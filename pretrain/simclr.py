"""SimCLR: two views of an image agree, and disagree with everything else in the batch.

Chen et al. 2020, A simple framework for contrastive learning of visual representations,
https://arxiv.org/abs/2002.05709.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import SimCLRProjectionHead
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from dermssl.encoder import Start, feature_width, pooled
from dermssl.optimise import groups, optimiser, warmup_and_cosine
from pretrain.config import SimCLRConfig
from pretrain.monitors import spread
from pretrain.rate import scaled_lr


def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross entropy between two views (eq. 1).

    Args:
        z_a: Projections of the first views, (B, D); need not be normalised.
        z_b: Projections of the second views, (B, D); row i shows the same image as `z_a[i]`.
        temperature: Divides cosine similarities; lower makes hard negatives count more.

    Returns:
        Mean loss over the 2B anchors, a scalar in nats; log(2B - 1) for constant projections.

    Raises:
        ValueError: If the shapes differ, or B < 2 (an anchor needs a negative).
    """
    if z_a.shape != z_b.shape or len(z_a) < 2:
        raise ValueError(f"nt_xent needs two (B >= 2, D) tensors, got {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    z = F.normalize(torch.cat([z_a, z_b]).float(), dim=1)  # (2B, D), in float32: bf16 rounds similarities to 1/128
    logits = z @ z.T / temperature  # (2B, 2B)
    logits.fill_diagonal_(-torch.inf)  # an anchor is not its own negative
    positive = torch.arange(len(z), device=z.device).roll(len(z_a))
    return F.cross_entropy(logits, positive)


class SimCLR(LightningModule):
    """Encoder, projection head and their loss."""

    def __init__(self, start: Start, config: SimCLRConfig, steps: int) -> None:
        super().__init__()
        self.encoder, self.normalise = start.encoder, start.normalise
        self.head = SimCLRProjectionHead(feature_width(start.encoder), config.hidden_dim, config.projection_dim)
        self.config, self.steps = config, steps

    def training_step(self, views: Tensor, batch_idx: int) -> Mapping[str, Tensor]:
        """`views`: (2B, 3, H, W) uint8, the first views and then the second; BatchNorm sees both, as in the paper."""
        features = pooled(self.encoder, self.normalise(views))  # (2B, C)
        z_a, z_b = self.head(features).chunk(2)  # (B, D) each
        return {"loss": nt_xent(z_a, z_b, self.config.temperature), "spread": spread(z_a)}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser, with warm-up and cosine over all steps."""
        config = self.config
        parameters = groups([self.encoder, self.head], config.weight_decay)
        return warmup_and_cosine(optimiser(config.optimiser, parameters, scaled_lr(config)), self.steps, config.warmup)
