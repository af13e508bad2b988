"""MoCo v3: a query of one view matches the slow copy's key of the other among the keys of the batch, without a queue.

Chen, Xie and He 2021, An empirical study of training self-supervised vision transformers,
https://arxiv.org/abs/2104.02057.
"""

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import ProjectionHead
from torch import Tensor, nn

from dermssl.features.representation import spread
from dermssl.parallel import gathered, rank
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.method import Method, with_autocast_off
from pretrain.recipes import MoCoV3Config
from pretrain.shared.momentum import follow, momentum_schedule, slow_copy
from pretrain.views.batch import Batch


@with_autocast_off
def contrastive_loss(queries: Tensor, keys: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross entropy of finding each query's own key among the keys of the batch (algorithm 1), and the share found.

    The batch is that of all processes: `keys` are gathered here, while the queries are this process's own.

    Args:
        queries: Predictions of one view, (B, D); need not be normalised.
        keys: The slow copy's projections of the other view, (B, D); row i shows the same image as `queries[i]`.
        temperature: Divides cosine similarities.

    Returns:
        Twice the temperature times the mean loss over the queries, a scalar in nats, so that the size of gradients
        hardly hangs on the temperature; log of the keys times that factor where all similarities are equal. And the
        share of queries to which their own key is the most similar one.
    """
    candidates = gathered(F.normalize(keys, dim=1))  # (world * B, D)
    logits = F.normalize(queries, dim=1) @ candidates.T / temperature  # (B, world * B)
    own = torch.arange(len(queries), device=queries.device) + rank() * len(queries)
    accuracy = (logits.argmax(dim=1) == own).float().mean()
    return 2 * temperature * F.cross_entropy(logits, own), accuracy


def two_layer_projector(width: int, hidden: int, out: int) -> nn.Module:
    """Two layers with BatchNorm after both, the last without affine: what the paper's code gives a ResNet."""
    last = (hidden, out, nn.BatchNorm1d(out, affine=False), None)
    head: nn.Module = ProjectionHead([(width, hidden, nn.BatchNorm1d(hidden), nn.ReLU()), last])
    return head


def predictor(hidden: int, out: int) -> nn.Module:
    """Two layers with BatchNorm after the first, as in the paper's code for a ResNet."""
    head: nn.Module = ProjectionHead(
        [(out, hidden, nn.BatchNorm1d(hidden), nn.ReLU()), (hidden, out, None, None, False)]
    )
    return head


class MoCoV3(Method):
    """Encoder, projector and predictor for queries, and a slow copy of the first two for keys."""

    def __init__(self, start: Start, config: MoCoV3Config, steps: int) -> None:
        super().__init__(start, config, steps)
        self.projector = two_layer_projector(feature_width(self.encoder), config.hidden_dim, config.projection_dim)
        self.predictor = predictor(config.hidden_dim, config.projection_dim)
        self.key_encoder, self.key_projector = slow_copy(self.encoder), slow_copy(self.projector)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Views pass apart, so that BatchNorm sees one at a time, as in the paper's code."""
        views = self.normalise(batch.views).chunk(2)
        q_a, q_b = (self.predictor(self.projector(pooled(self.encoder, view))) for view in views)  # (B, D) each
        key_a, key_b = self.keys_of(*views)
        loss_a, accuracy_a = contrastive_loss(q_a, key_b, self.config.temperature)
        loss_b, accuracy_b = contrastive_loss(q_b, key_a, self.config.temperature)
        return {"loss": loss_a + loss_b, "spread": spread(q_a), "accuracy": (accuracy_a + accuracy_b) / 2}

    @torch.no_grad()
    def keys_of(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The slow copy's projections (B, D) of both views, after it has moved, as in the paper's code."""
        momentum = momentum_schedule(self.config.momentum, self.global_step, self.steps)
        follow(self.key_encoder, self.encoder, momentum)
        follow(self.key_projector, self.projector, momentum)
        key_a, key_b = (self.key_projector(pooled(self.key_encoder, view)) for view in (first, second))
        return key_a, key_b
