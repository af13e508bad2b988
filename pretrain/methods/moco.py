"""MoCo v2: a query matches its key among a queue of earlier keys, which a slow copy of the encoder made.

He et al. 2020, Momentum contrast for unsupervised visual representation learning, https://arxiv.org/abs/1911.05722;
Chen et al. 2020, Improved baselines with momentum contrastive learning, https://arxiv.org/abs/2003.04297.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import MoCoProjectionHead
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.features.representation import spread
from dermssl.parallel import gathered, own_rows, world
from dermssl.weights.encoder import Start, feature_maps, feature_width
from pretrain.methods.method import Method, with_autocast_off
from pretrain.recipes import MoCoConfig
from pretrain.shared.momentum import follow, slow_copy
from pretrain.views.batch import Batch


class KeyQueue(nn.Module):
    """The last `size` keys, oldest overwritten first (He et al. 2020, section 3.1).

    Persistent buffers, so that a checkpoint carries them; lightly's memory bank is lost on resume. Equal on all
    processes as long as all push the same keys.
    """

    keys: Tensor  # (size, dim), unit rows
    pushed: Tensor  # keys written since the beginning

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    @property
    def oldest(self) -> Tensor:
        """Index of the key to overwrite next."""
        return self.pushed % len(self.keys)

    def age(self, batch: int) -> Tensor:
        """Steps since the oldest key was written, where each step writes `batch` keys; 0 before the first."""
        written = self.pushed.clamp(max=len(self.keys))
        return (written / batch).ceil()

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Writes keys (B, dim), B <= size, over the oldest ones, around the end where they meet it."""
        if len(keys) > len(self.keys):
            raise ValueError(f"a queue of {len(self.keys)} cannot hold {len(keys)} keys at once")
        slots = (self.pushed + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys[slots] = keys.to(self.keys.dtype)
        self.pushed.add_(len(keys))


@with_autocast_off
def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Cross entropy of finding each query's own key among the negatives (He et al. 2020, eq. 1), and the share found.

    Args:
        queries: Unit rows, (B, D).
        keys: Unit rows, (B, D); row i shows the same image as `queries[i]`.
        negatives: Unit rows, (K, D).
        temperature: Divides cosine similarities.

    Returns:
        Mean loss over the queries, a scalar in nats, log(K + 1) where all similarities are equal; and the share of
        queries to which their own key is more similar than any negative, 0 where all similarities are equal.
    """
    positive = (queries * keys).sum(dim=1, keepdim=True)  # (B, 1)
    negative = queries @ negatives.T  # (B, K)
    logits = torch.cat([positive, negative], dim=1) / temperature  # (B, 1 + K)
    loss = F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))
    return loss, (positive.detach() > negative.detach().amax(dim=1, keepdim=True)).float().mean()


class MoCo(Method):
    """Query encoder, its slow copy for the keys, and the queue between them."""

    synced: ClassVar[bool] = False  # groups that BatchNorm sees apart are what keeps it from giving the key away
    queues_keys: ClassVar[bool] = True

    def __init__(self, start: Start, config: MoCoConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        if config.norm_groups % world():
            raise UserError(
                f"--norm_groups {config.norm_groups}: cannot be shared out among {world()} processes; "
                f"take a multiple of {world()} that divides --batch_size {config.batch_size}"
            )
        self.head = MoCoProjectionHead(feature_width(self.encoder), config.hidden_dim, config.projection_dim)
        # Both are copied: a key head with weights of its own would compare two spaces that never met.
        self.key_encoder, self.key_head = slow_copy(self.encoder), slow_copy(self.head)
        self.queue = KeyQueue(config.queue_size, config.projection_dim)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The first views are queries, the second ones keys."""
        query_views, key_views = batch.views.chunk(2)
        query_maps = self.in_groups(self.encoder, self.normalise(query_views))  # (B, C, h, w)
        key_maps, order = self.shuffled_key_maps(key_views)
        return self.contrast(query_maps, key_maps, order)

    def contrast(self, query_maps: Tensor, key_maps: Tensor, order: Tensor) -> dict[str, Tensor]:
        """Scalars of a batch from its query maps (B, C, h, w) and what `shuffled_key_maps` returns; queues the keys."""
        queries = F.normalize(self.head(query_maps.mean(dim=(2, 3))).float(), dim=1)  # (B, D)
        keys = self.keys_of(key_maps, order)  # (world * B, D)
        loss, accuracy = info_nce(queries, own_rows(keys), self.queue.keys.clone(), self.config.temperature)
        scalars = {
            "loss": loss,
            "spread": spread(queries),
            "accuracy": accuracy,
            "queue_age": self.queue.age(len(keys)),
        }
        self.queue.push(keys)
        return scalars

    @torch.no_grad()
    def shuffled_key_maps(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Feature maps (B, C, h, w) of the slow encoder for the images of `shuffled_key_images`, and their order."""
        images, order = self.shuffled_key_images(views)
        return self.in_groups(self.key_encoder, images), order

    @torch.no_grad()
    def shuffled_key_images(self, views: Tensor) -> tuple[Tensor, Tensor]:
        """Moves the slow copies, and takes a share of all processes' shuffled images.

        The images change places over all processes, so that a key's companions in BatchNorm are not its query's.

        Args:
            views: This process's second views, (B, 3, S, S) uint8, which cost a fourth of normalised ones to send.

        Returns:
            As many images, normalised, which may be others'; and the order (world * B,) that puts gathered rows back:
            row i of `gathered(rows)[order]` belongs to image i of the whole batch.
        """
        for slow, fast in self.pairs():
            follow(slow, fast, self.config.momentum)
        everyone = gathered(views)  # (world * B, 3, S, S)
        shuffled = torch.randperm(len(everyone), device=views.device)  # the same on all processes
        return self.normalise(everyone[own_rows(shuffled)]), shuffled.argsort()

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        """Each slow copy and what it follows."""
        return [(self.key_encoder, self.encoder), (self.key_head, self.head)]

    @torch.no_grad()
    def keys_of(self, key_maps: Tensor, order: Tensor) -> Tensor:
        """Unit keys (world * B, D) of all processes' images, in their order, from what `shuffled_key_maps` returns."""
        return gathered(F.normalize(self.key_head(key_maps.mean(dim=(2, 3))).float(), dim=1))[order]

    def queries_and_keys(self, views: Tensor) -> Tensor:
        """What a step compares for the images of this process; the key encoder moves as in a step."""
        query_maps = self.in_groups(self.encoder, self.normalise(views[0]))
        queries = F.normalize(self.head(query_maps.mean(dim=(2, 3))), dim=1)
        return torch.stack([queries, own_rows(self.keys_of(*self.shuffled_key_maps(views[1])))])

    def in_groups(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Last feature maps (B, C, h, w) of the images, a part of the batch at a time."""
        return torch.cat([feature_maps(encoder, part)[-1] for part in self.groups_of(images)])

    def groups_of(self, images: Tensor) -> tuple[Tensor, ...]:
        """The parts of the batch that BatchNorm sees apart.

        Its statistics would otherwise tell which batch a key is from, and so which key is the query's own (He et al.
        2020, section 3.3). The paper has a part per GPU; here all processes together have `norm_groups`.
        """
        return images.chunk(self.config.norm_groups // world())
