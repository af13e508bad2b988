"""BYOL: one view predicts what a slow copy of the network makes of the other; there are no negatives.

Grill et al. 2020, Bootstrap your own latent: a new approach to self-supervised learning,
https://arxiv.org/abs/2006.07733.
"""

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import BYOLPredictionHead, BYOLProjectionHead
from torch import Tensor

from dermssl.features.representation import spread
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.method import Method, with_autocast_off
from pretrain.recipes import BYOLConfig
from pretrain.shared.momentum import follow, momentum_schedule, slow_copy
from pretrain.views.batch import Batch


@with_autocast_off
def normalised_mse(predictions: Tensor, targets: Tensor) -> Tensor:
    """Mean squared error between predictions and targets of unit length (eq. 2).

    Args:
        predictions: What the online network predicts of an image's other view, (B, D); need not be normalised.
        targets: What the target network makes of that view, (B, D); row i shows the same image.

    Returns:
        The mean over images of |p - t|^2 = 2 - 2 cos(p, t), a scalar in [0, 4].
    """
    return 2 - 2 * F.cosine_similarity(predictions, targets, dim=1).mean()


class BYOL(Method):
    """Online network of encoder, projector and predictor, and the target network, a slow copy of the first two."""

    def __init__(self, start: Start, config: BYOLConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        width, hidden, out = feature_width(self.encoder), config.hidden_dim, config.projection_dim
        self.projector = BYOLProjectionHead(width, hidden, out)
        self.predictor = BYOLPredictionHead(out, hidden, out)
        # The paper's code draws the target anew and saw no difference; here the encoder mostly has weights already.
        self.target_encoder, self.target_projector = slow_copy(self.encoder), slow_copy(self.projector)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Views pass apart, so that BatchNorm sees one at a time, as in the paper's code."""
        views = self.normalise(batch.views).chunk(2)
        z_a, z_b = (self.projector(pooled(self.encoder, view)) for view in views)  # (B, D) each
        target_a, target_b = self.targets_of(*views)
        loss = normalised_mse(self.predictor(z_a), target_b) + normalised_mse(self.predictor(z_b), target_a)
        return {"loss": loss, "spread": spread(z_a)}

    @torch.no_grad()
    def targets_of(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The target network's projections (B, D) of both views, after it has moved.

        It follows here what the last step did to the online network, which the paper's code does right after that step.
        """
        momentum = momentum_schedule(self.config.momentum, self.global_step, self.steps)
        follow(self.target_encoder, self.encoder, momentum)
        follow(self.target_projector, self.projector, momentum)
        target_a, target_b = (self.target_projector(pooled(self.target_encoder, view)) for view in (first, second))
        return target_a, target_b
