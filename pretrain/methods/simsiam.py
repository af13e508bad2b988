"""SimSiam: one view predicts the other's projection, through which no gradient flows; no negatives, no slow copy.

Chen and He 2021, Exploring simple siamese representation learning, https://arxiv.org/abs/2011.10566.
"""

import torch.nn.functional as F
from lightly.models.modules.heads import SimSiamPredictionHead, SimSiamProjectionHead
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from dermssl.features.representation import spread
from dermssl.training.optimise import groups, optimiser, warmup_and_cosine
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.method import Method, scaled_lr, with_autocast_off
from pretrain.recipes import SimSiamConfig
from pretrain.views.batch import Batch


@with_autocast_off
def negative_cosine(predictions: Tensor, projections: Tensor) -> Tensor:
    """The negative cosine similarity of predictions to projections that stand still (eq. 1 and 3).

    Args:
        predictions: What one view's projection is predicted to be from the other's, (B, D); need not be normalised.
        projections: Projections of the view that is predicted, (B, D); no gradient flows into them, or all collapses.

    Returns:
        The mean over images, a scalar in [-1, 1].
    """
    return -F.cosine_similarity(predictions, projections.detach(), dim=1).mean()


class SimSiam(Method):
    """Encoder with projector, and the predictor."""

    def __init__(self, start: Start, config: SimSiamConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        width, out = feature_width(self.encoder), config.projection_dim
        self.projector = SimSiamProjectionHead(width, out, out)  # BatchNorm on its output as well, without affine
        self.predictor = SimSiamPredictionHead(out, config.prediction_dim, out)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Views pass apart, so that BatchNorm sees one at a time, as in the paper's code."""
        views = self.normalise(batch.views).chunk(2)
        z_a, z_b = (self.projector(pooled(self.encoder, view)) for view in views)  # (B, D) each
        loss = (negative_cosine(self.predictor(z_a), z_b) + negative_cosine(self.predictor(z_b), z_a)) / 2
        return {"loss": loss, "spread": spread(z_a)}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser, with the predictor's parameters in groups of their own."""
        recipe = self.recipe
        learned = groups([self.encoder, self.projector], recipe.weight_decay)
        predicting = [group | {"keeps_rate": True} for group in groups([self.predictor], recipe.weight_decay)]
        stepper = optimiser(recipe.optimiser, learned + predicting, scaled_lr(recipe))
        return warmup_and_cosine(stepper, self.steps, recipe.warmup)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Puts the predictor's learning rate back to its peak, at which it keeps up with the latest projections.

        Neither warm-up nor decay is for it (section 4.2, and the paper's code).
        """
        for group in optimizer.param_groups:
            if group.get("keeps_rate"):
                group["lr"] = group["initial_lr"]
