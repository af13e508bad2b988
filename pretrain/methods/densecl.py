"""DenseCL: MoCo v2, and the same between the places of two views, each matched with the place that looks most alike.

Wang et al. 2021, Dense contrastive learning for self-supervised visual pre-training, https://arxiv.org/abs/2011.09157.
"""

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import DenseCLProjectionHead
from lightly.models.utils import select_most_similar
from torch import Tensor, nn

from dermssl.parallel import gathered, own_rows
from dermssl.weights.encoder import Start, feature_width
from pretrain.dense_recipes import DenseCLConfig
from pretrain.methods.method import with_autocast_off
from pretrain.methods.moco import KeyQueue, MoCo, info_nce
from pretrain.shared.momentum import slow_copy


@with_autocast_off
@torch.no_grad()
def matched(query_features: Tensor, key_features: Tensor, keys: Tensor) -> Tensor:
    """For each place of a query view, the key of the place in its image's other view that looks most alike (eq. 3).

    In float32, for in bf16 many places are equally alike.

    Args:
        query_features: Encoder features of the query view's places, (B, N, C), compared by their cosine.
        key_features: Encoder features of the key view's places, (B, N, C).
        keys: What the dense head makes of the key view's places, (B, N, D).

    Returns:
        The positives: keys in the order of the places of `query_features`, (B, N, D); one key may serve several places.
    """
    positives: Tensor = select_most_similar(query_features, key_features, keys)
    return positives


def as_places(maps: Tensor) -> Tensor:
    """Maps (B, C, h, w) as rows of places (B, h * w, C)."""
    return maps.flatten(2).mT


class DenseCL(MoCo):
    """MoCo, and beside it a head for places, its slow copy, and a queue of its own."""

    config: DenseCLConfig

    def __init__(self, start: Start, config: DenseCLConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        # Linear layers over rows of places are the paper's 1 x 1 convolutions.
        self.dense_head = DenseCLProjectionHead(feature_width(self.encoder), config.hidden_dim, config.projection_dim)
        self.dense_key_head = slow_copy(self.dense_head)
        self.dense_queue = KeyQueue(config.queue_size, config.projection_dim)

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """MoCo's, and the dense heads."""
        return [*super().pairs(), (self.dense_key_head, self.dense_head)]

    def contrast(self, query_maps: Tensor, key_maps: Tensor, order: Tensor) -> dict[str, Tensor]:
        """MoCo's scalars with the loss between places mixed in (eq. 2)."""
        scalars = super().contrast(query_maps, key_maps, order)
        dense, accuracy = self.place_contrast(as_places(query_maps), as_places(key_maps), order)
        share = self.config.dense_share
        return scalars | {
            "loss": (1 - share) * scalars["loss"] + share * dense,
            "global_loss": scalars["loss"].detach(),
            "dense_loss": dense.detach(),
            "dense_accuracy": accuracy,
        }

    def place_contrast(self, query_features: Tensor, key_features: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Loss and accuracy of the places' queries, from encoder features (B, N, C); queues the images' mean keys."""
        queries = F.normalize(self.dense_head(query_features).float(), dim=2)  # (B, N, D)
        own_features, keys, image_keys = self.dense_keys_of(key_features, order)
        positives = matched(query_features, own_features, keys).flatten(0, 1)  # (B * N, D)
        negatives = self.dense_queue.keys.clone()
        loss, accuracy = info_nce(queries.flatten(0, 1), positives, negatives, self.config.temperature)
        self.dense_queue.push(image_keys)
        return loss, accuracy

    @torch.no_grad()
    def dense_keys_of(self, key_features: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Keys of places, and of images, from shuffled encoder features (B, N, C), in the order of the images.

        Returns:
            Encoder features of the places of this process's images, (B, N, C), and their unit keys, (B, N, D); and for
            the queue a key of each image of all processes, (world * B, D): the unit mean over places of keys that are
            not yet of unit length, as in the reference code.
        """
        keys = self.dense_key_head(key_features).float()  # (B, N, D)
        image_keys = gathered(F.normalize(keys.mean(dim=1), dim=1))[order]
        shuffled = (key_features.float(), F.normalize(keys, dim=2))
        own_features, keys = (own_rows(gathered(rows)[order]) for rows in shuffled)
        return own_features, keys, image_keys
