"""DINO: from every crop of an image a student predicts what its own slow copy, the teacher, says of another view.

Caron et al. 2021, Emerging properties in self-supervised vision transformers, https://arxiv.org/abs/2104.14294.
"The reference code" is the authors', facebookresearch/dino. The pairs of crops and the mean over them are SwAV's.
"""

import torch
import torch.nn.functional as F
from lightly.models.modules.heads import ProjectionHead
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dermssl.features.representation import spread
from dermssl.parallel import summed, world
from dermssl.weights.encoder import Start, feature_width, pooled
from pretrain.methods.method import Method, with_autocast_off
from pretrain.methods.swav import crop_features, similarities, swapped_prediction
from pretrain.recipes import DINOConfig
from pretrain.shared.momentum import follow, momentum_schedule, slow_copy
from pretrain.views.batch import Batch


@with_autocast_off
def sharpened(logits: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """What the teacher says: its logits (..., K), centred and sharpened, as distributions over K (section 3.1).

    Centring alone would lead to the uniform distribution and sharpening alone to a single prototype; each keeps the
    other from its collapse.
    """
    return ((logits - centre) / temperature).softmax(dim=-1)


def entropy(distributions: Tensor) -> Tensor:
    """Mean entropy of distributions (..., K), a scalar in nats: log(K) where all are uniform, 0 where none doubts."""
    doubt: Tensor = torch.special.entr(distributions).sum(dim=-1)
    return doubt.mean()


@torch.no_grad()
def clip_each(gradients: list[Tensor], longest: float) -> None:
    """Shortens every gradient on its own to the norm `longest` where it exceeds that, in place.

    As the reference code does, whereas torch's clipping asks for the norm of all gradients together.
    """
    norms = torch.stack(torch._foreach_norm(gradients))
    shares = (longest / (norms + 1e-6)).clamp(max=1)
    torch._foreach_mul_(gradients, list(shares.unbind()))


class DINOHead(nn.Module):
    """An MLP of three layers onto the unit sphere, and the cosines with prototypes that stand there (section 3.1).

    lightly's own has torch's old weight norm, which warns that it is deprecated and cannot be copied for a teacher.
    A weight norm that is fixed at 1 is a linear layer whose rows are normalised when they are used.
    """

    def __init__(self, width: int, config: DINOConfig, *, norm: bool) -> None:
        super().__init__()
        hidden = config.hidden_dim
        blocks = [(inputs, hidden, nn.BatchNorm1d(hidden) if norm else None, nn.GELU()) for inputs in (width, hidden)]
        self.mlp = ProjectionHead([*blocks, (hidden, config.bottleneck_dim, None, None)])
        for layer in self.mlp.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)  # as in the reference code
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        self.prototypes = nn.Linear(config.bottleneck_dim, config.prototypes, bias=False)

    def unit(self, features: Tensor) -> Tensor:
        """Features (N, C) to unit vectors (N, D)."""
        return F.normalize(self.mlp(features).float(), dim=1)

    def logits(self, unit: Tensor) -> Tensor:
        """Unit vectors (N, D) to logits (N, K) in [-1, 1]."""
        return similarities(unit, F.normalize(self.prototypes.weight, dim=1))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C) to logits (N, K)."""
        return self.logits(self.unit(features))


class DINO(Method):
    """Student, teacher, and the centre of the teacher's logits."""

    centre: Tensor  # (K,), moving average over the images of all processes

    def __init__(self, start: Start, config: DINOConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        self.config = config
        # An encoder without BatchNorm, like a transformer, gets a head without it (section 3.1).
        norm = any(isinstance(layer, _BatchNorm) for layer in self.encoder.modules())
        self.head = DINOHead(feature_width(self.encoder), config, norm=norm)
        self.teacher, self.teacher_head = slow_copy(self.encoder), slow_copy(self.head)
        self.register_buffer("centre", torch.zeros(config.prototypes))

    @property
    def learned(self) -> nn.Module:
        """The teacher's encoder, which is better than the student's all along (section 5.1)."""
        return self.teacher

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The student sees all crops and the teacher the two views; heads see the crops of both sizes at once."""
        images = len(batch.views) // 2
        targets = self.targets(batch.views).view(2, images, -1)  # (2, B, K)
        z = self.head.unit(crop_features(self.encoder, self.normalise, batch))  # ((2 + L) * B, D)
        logits = self.head.logits(z) / self.config.student_temperature
        loss = swapped_prediction(targets, logits.view(-1, images, self.config.prototypes))
        return {"loss": loss, "teacher_entropy": entropy(targets), "spread": spread(z[:images])}

    @torch.no_grad()
    def targets(self, views: Tensor) -> Tensor:
        """What the teacher, brought up to date, says of the views: (2B, 3, S, S) to distributions (2B, K)."""
        momentum = momentum_schedule(self.config.momentum, self.global_step, self.steps)
        follow(self.teacher, self.encoder, momentum)
        follow(self.teacher_head, self.head, momentum)
        logits = self.teacher_head(pooled(self.teacher, self.normalise(views)))
        targets = sharpened(logits, self.centre, self.config.teacher_temperature)
        self.recentre(logits)
        return targets

    @torch.no_grad()
    def recentre(self, logits: Tensor) -> None:
        """Moves the centre towards the mean of the teacher's logits (N, K) in all processes (eq. 4)."""
        mean = summed(logits.sum(dim=0)) / (len(logits) * world())
        self.centre.lerp_(mean, 1 - self.config.centre_momentum)

    def on_after_backward(self) -> None:
        """Shortens what is too long, and leaves the prototypes as they were drawn in the first epochs."""
        if self.current_epoch < self.config.frozen_epochs:
            self.head.prototypes.weight.grad = None  # None and not 0: neither decay nor momentum moves them
        if self.config.clip:
            clip_each([p.grad for p in self.parameters() if p.grad is not None], self.config.clip)
