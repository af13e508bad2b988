"""MoCo v2: a query matches its key among a queue of earlier keys, which a slow copy of the encoder made.

He et al. 2020, Momentum contrast for unsupervised visual representation learning, https://arxiv.org/abs/1911.05722;
Chen et al. 2020, Improved baselines with momentum contrastive learning, https://arxiv.org/abs/2003.04297.
"""

import copy
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import MoCoProjectionHead
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from dermssl.encoder import Start, feature_width, pooled
from dermssl.optimise import groups, optimiser, warmup_and_cosine
from pretrain.config import MoCoConfig
from pretrain.monitors import spread
from pretrain.rate import scaled_lr


class KeyQueue(nn.Module):
    """The last `size` keys, oldest overwritten first (He et al. 2020, section 3.1).

    Persistent buffers, so that a checkpoint carries them; lightly's memory bank is lost on resume.
    """

    keys: Tensor  # (size, dim), unit rows
    oldest: Tensor  # index of the key to overwrite next

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, dim), dim=1))
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Writes keys (B, dim), B <= size, over the oldest ones, around the end where they meet it."""
        if len(keys) > len(self.keys):
            raise ValueError(f"a queue of {len(self.keys)} cannot hold {len(keys)} keys at once")
        slots = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.keys)
        self.keys[slots] = keys.to(self.keys.dtype)
        self.oldest.copy_((self.oldest + len(keys)) % len(self.keys))


def info_nce(queries: Tensor, keys: Tensor, negatives: Tensor, temperature: float) -> Tensor:
    """Cross entropy of finding each query's own key among the negatives (He et al. 2020, eq. 1).

    Args:
        queries: Unit rows, (B, D).
        keys: Unit rows, (B, D); row i shows the same image as `queries[i]`.
        negatives: Unit rows, (K, D).
        temperature: Divides cosine similarities.

    Returns:
        Mean loss over the queries, a scalar in nats; log(K + 1) where all similarities are equal.
    """
    queries, keys, negatives = queries.float(), keys.float(), negatives.float()
    own = (queries * keys).sum(dim=1, keepdim=True)  # (B, 1)
    logits = torch.cat([own, queries @ negatives.T], dim=1) / temperature  # (B, 1 + K)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long, device=logits.device))


@torch.no_grad()
def follow(slow: nn.Module, fast: nn.Module, momentum: float) -> None:
    """Moves the parameters of `slow` towards those of `fast` (He et al. 2020, eq. 2); buffers stay its own."""
    for old, new in zip(slow.parameters(), fast.parameters(), strict=True):
        old.lerp_(new.detach(), 1 - momentum)


class MoCo(LightningModule):
    """Query encoder, its slow copy for the keys, and the queue between them."""

    def __init__(self, start: Start, config: MoCoConfig, steps: int) -> None:
        super().__init__()
        self.encoder, self.normalise = start.encoder, start.normalise
        self.head = MoCoProjectionHead(feature_width(self.encoder), config.hidden_dim, config.projection_dim)
        # Both are copied: a key head with weights of its own would compare two spaces that never met.
        self.key_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.key_head = copy.deepcopy(self.head).requires_grad_(False)
        self.queue = KeyQueue(config.queue_size, config.projection_dim)
        self.config, self.steps = config, steps

    def training_step(self, views: Tensor, batch_idx: int) -> Mapping[str, Tensor]:
        """`views`: (2B, 3, H, W) uint8; the first B ask and the second B answer."""
        asking, answering = self.normalise(views).chunk(2)
        queries = F.normalize(self.head(self.in_groups(self.encoder, asking)).float(), dim=1)  # (B, D)
        keys = self.keys_of(answering)  # (B, D)
        loss = info_nce(queries, keys, self.queue.keys.clone(), self.config.temperature)
        self.queue.push(keys)
        return {"loss": loss, "spread": spread(queries)}

    @torch.no_grad()
    def keys_of(self, images: Tensor) -> Tensor:
        """Keys of a batch, its images shuffled between the groups that BatchNorm sees apart, and put back."""
        follow(self.key_encoder, self.encoder, self.config.momentum)
        follow(self.key_head, self.head, self.config.momentum)
        shuffled = torch.randperm(len(images), device=images.device)
        keys = self.key_head(self.in_groups(self.key_encoder, images[shuffled]))
        return F.normalize(keys.float(), dim=1)[shuffled.argsort()]

    def in_groups(self, encoder: nn.Module, images: Tensor) -> Tensor:
        """Pooled features (B, C) of the images, a part of the batch at a time.

        BatchNorm's statistics would otherwise tell which batch a key is from, and so which key is the query's own (He
        et al. 2020, section 3.3). The paper has a part per GPU; parts inside one process do the same.
        """
        parts = images.chunk(self.config.norm_groups)
        return torch.cat([pooled(encoder, part) for part in parts])

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser, with warm-up and cosine over all steps."""
        config = self.config
        parameters = groups([self.encoder, self.head], config.weight_decay)
        return warmup_and_cosine(optimiser(config.optimiser, parameters, scaled_lr(config)), self.steps, config.warmup)
