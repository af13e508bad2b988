"""SwAV: from every crop of an image it is predicted which prototypes another view of it was assigned to.

Caron et al. 2020, Unsupervised learning of visual features by contrasting cluster assignments,
https://arxiv.org/abs/2006.09882. "The reference code" is the authors', facebookresearch/swav.
"""

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import SwaVProjectionHead
from torch import Tensor, nn

from dermssl.features.representation import spread
from dermssl.parallel import gathered, own_rows
from dermssl.weights.encoder import Normalise, Start, feature_width, pooled
from pretrain.methods.method import Method, with_autocast_off
from pretrain.methods.moco import KeyQueue
from pretrain.recipes import SwAVConfig
from pretrain.views.batch import Batch


def crop_features(encoder: nn.Module, normalise: Normalise, batch: Batch) -> Tensor:
    """Pooled features of all crops, ((2 + L) * B, C), the two views first and then the small crops.

    Crops of one size pass the encoder together, so that its BatchNorm sees them apart from those of the other size, as
    in the reference code.
    """
    sizes = [batch.views, batch.local] if len(batch.local) else [batch.views]
    return torch.cat([pooled(encoder, normalise(crops)) for crops in sizes])


@with_autocast_off
def similarities(rows: Tensor, prototypes: Tensor) -> Tensor:
    """Dot products (N, K) of rows (N, D) with prototypes (K, D); cosines where both are of unit length."""
    return F.linear(rows, prototypes)


@torch.no_grad()
@with_autocast_off
def sinkhorn(scores: Tensor, epsilon: float, steps: int) -> Tensor:
    """Assigns images to prototypes by their scores, all prototypes to about equally many (section 3.1, eq. 5).

    Rows and columns are normalised in turn. Each of the two is a softmax of logarithms, which subtracts the largest
    first: no score is too high or too low for it, however small epsilon is.

    Args:
        scores: Similarities of N images with K prototypes, (N, K).
        epsilon: Smoothness, above 0: at 0 every image would have one prototype, and far above the scores all of them.
        steps: Rounds of prototypes and then images, at least 1.

    Returns:
        Shares (N, K) without gradient; a row sums to 1, and a column nearly to N / K.
    """
    log_q = scores / epsilon
    for _ in range(steps):
        log_q = log_q.log_softmax(dim=0)  # every prototype takes as much
        log_q = log_q.log_softmax(dim=1)  # every image gives as much
    return log_q.exp()


@with_autocast_off
def swapped_prediction(targets: Tensor, logits: Tensor) -> Tensor:
    """Cross entropy between the target of a view and the prediction of another crop, over all such pairs (eq. 2, 6).

    Args:
        targets: Distributions over the prototypes, (2, B, K), of the two views of each image.
        logits: Logits of all crops, (2 + L, B, K), divided by the temperature; the two views come first.

    Returns:
        Mean over the 2 + 2L pairs and the images, a scalar in nats; log(K) where the logits are all equal.

    Raises:
        ValueError: If there are not two targets, or the shapes do not fit.
    """
    if len(targets) != 2 or len(logits) < 2 or targets.shape[1:] != logits.shape[1:]:
        raise ValueError(
            f"swapped_prediction needs (2, B, K) targets and (2 + L, B, K) logits, "
            f"got {tuple(targets.shape)} and {tuple(logits.shape)}"
        )
    log_p = logits.log_softmax(dim=2)  # (2 + L, B, K)
    of_views = (targets.flip(0) * log_p[:2]).sum()  # a view predicts the other one's target,
    of_local = (targets.sum(dim=0) * log_p[2:]).sum()  # a small crop those of both
    return -(of_views + of_local) / (2 * (len(logits) - 1) * logits.shape[1])


class SwAV(Method):
    """Encoder, projection head, prototypes, and the queues that help to assign a small batch."""

    def __init__(self, start: Start, config: SwAVConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        self.config = config
        width = config.projection_dim
        self.head = SwaVProjectionHead(feature_width(self.encoder), config.hidden_dim, width)
        # lightly's prototypes have a bias, which the paper's have not.
        self.prototypes = nn.Linear(width, config.prototypes, bias=False)
        self.queues = nn.ModuleList(KeyQueue(config.queue_size, width) for _ in range(2 if config.queue_size else 0))
        for buffer in self.queues.buffers():
            buffer.zero_()  # a row of zeros was never written

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The head's BatchNorm sees the crops of both sizes at once, as in the reference code."""
        self.shorten_prototypes()
        images = len(batch.views) // 2
        embeddings = self.head(crop_features(self.encoder, self.normalise, batch))
        z = F.normalize(embeddings.float(), dim=1)  # ((2 + L) * B, D)
        logits = similarities(z, self.prototypes.weight) / self.config.temperature
        targets = torch.stack([self.assigned(view, z[view * images :][:images]) for view in range(2)])  # (2, B, K)
        loss = swapped_prediction(targets, logits.view(-1, images, self.config.prototypes))
        return {"loss": loss, "spread": spread(z[:images])}

    @torch.no_grad()
    def shorten_prototypes(self) -> None:
        """Brings the prototypes back to unit length, which the last step of the optimiser took from them."""
        self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))

    @torch.no_grad()
    def assigned(self, view: int, z: Tensor) -> Tensor:
        """Shares (B, K) of the prototypes in this process's images, by the embeddings z (B, D) of one of their views.

        They are assigned along with the images of all other processes, and with those in the queue once it is full.
        """
        everyone = gathered(z)  # (world * B, D)
        shares = self.shares(everyone)
        if self.queues and self.current_epoch >= self.config.queue_from:
            queue = self.queues[view]
            assert isinstance(queue, KeyQueue)
            longer = self.shares(torch.cat([everyone, queue.keys]))[: len(everyone)]
            # Chosen where the tensors are: to ask in Python whether the queue is full would wait for the GPU.
            shares = torch.where(queue.keys[-1].any(), longer, shares)
            queue.push(everyone)
        return own_rows(shares)

    def shares(self, z: Tensor) -> Tensor:
        """Sinkhorn's assignment (N, K) of embeddings (N, D)."""
        return sinkhorn(similarities(z, self.prototypes.weight), self.config.epsilon, self.config.sinkhorn_steps)

    def on_after_backward(self) -> None:
        """Leaves the prototypes as they were drawn in the first epochs, without decay and momentum too."""
        if self.current_epoch < self.config.frozen_epochs:
            self.prototypes.weight.grad = None
