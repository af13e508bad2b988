"""SimCLR: two views of an image agree, and disagree with everything else in the batch.

Chen et al. 2020, A simple framework for contrastive learning of visual representations,
https://arxiv.org/abs/2002.05709.
"""

from collections.abc import Sequence

import torch
from lightly.models.modules.heads import SimCLRProjectionHead
from torch import Tensor

from dermssl.errors import UserError
from dermssl.features.representation import spread
from dermssl.parallel import world
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.method import Method
from pretrain.methods.nt_xent import nt_xent
from pretrain.recipes import SimCLRConfig
from pretrain.shared.gradient_cache import cached_loss
from pretrain.views.batch import Batch


class SimCLR(Method):
    """Encoder, projection head and their loss.

    Raises:
        UserError: If a micro-batch cannot be shared by the processes, each with an equal part of its images.
    """

    def __init__(self, start: Start, config: SimCLRConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        if config.micro_batch % world():
            raise UserError(
                f"--micro_batch {config.micro_batch}: cannot be shared equally by {world()} processes; "
                f"give a multiple of {world()}"
            )
        self.head = SimCLRProjectionHead(feature_width(start.encoder), config.hidden_dim, config.projection_dim)
        self.config = config

    def forward(self, views: Tensor) -> Tensor:
        """Projections of views: uint8 (N, 3, S, S) -> (N, D)."""
        return self.head(pooled(self.encoder, self.normalise(views)))  # type: ignore[no-any-return]

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """BatchNorm sees both views at once, as in the paper."""
        if not self.config.micro_batch:
            projections = [self(batch.views)]  # (2B, D)
            return {"loss": self.loss(projections), "spread": spread(first_and_second(projections)[0])}
        parts = micro_batches(batch.views, self.config.micro_batch // world())
        loss, projections = cached_loss(self, parts, self.loss)
        return {"loss": loss, "spread": spread(first_and_second(projections)[0])}

    def loss(self, projections: Sequence[Tensor]) -> Tensor:
        """NT-Xent of the projections of all micro-batches."""
        return nt_xent(*first_and_second(projections), self.config.temperature)


def micro_batches(views: Tensor, images: int) -> list[Tensor]:
    """Parts of (2B, 3, S, S) with both views of at most `images` of the B images, (2 * images, 3, S, S).

    A part takes every n-th image: processes that hold B / world images each then have the same images in their
    parts together as one process has, and with them the same BatchNorm.
    """
    firsts, seconds = views.chunk(2)  # (B, 3, S, S) each
    count = -(-len(firsts) // images)
    return [torch.cat([firsts[part::count], seconds[part::count]]) for part in range(count)]


def first_and_second(projections: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The first views' and the second views' rows, (B, D) each, of parts that hold both."""
    firsts, seconds = zip(*(part.chunk(2) for part in projections), strict=True)
    return torch.cat(firsts), torch.cat(seconds)
