"""Distillation of features: an encoder learns to give the feature map that a frozen teacher gives of the same view.

Romero et al. 2015, FitNets: hints for thin deep nets, https://arxiv.org/abs/1412.6550, section 2.2: a regressor on the
student's map, here a 1 x 1 convolution, is held against the teacher's map. Ranzinger et al. 2024, AM-RADIO,
https://arxiv.org/abs/2312.06709: features are held against each other by their cosine, of the places and of the whole,
for teachers differ in the lengths of their features. No labels are asked for, as in LightlyTrain's distillation.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dermssl.errors import UserError, in_one_line
from dermssl.features.representation import spread
from dermssl.weights.encoder import Start, feature_maps, feature_width
from pretrain.dense_recipes import DistillConfig
from pretrain.methods.method import Method, with_autocast_off
from pretrain.shared.teacher import Teacher, teacher_from
from pretrain.views.batch import Batch

ALIKE = 0.01  # share of an embedding's length; answers that differ by far less than that are one answer


def on_finer_grid(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two maps (N, C, h, w) on the finer of their grids, to which the coarser is interpolated.

    The other way round, what a teacher tells places of a coarse student's cell apart by would be averaged away.
    """
    finer = max(a.shape[2:], b.shape[2:])
    resized = (
        m if m.shape[2:] == finer else F.interpolate(m, size=finer, mode="bilinear", align_corners=False)
        for m in (a, b)
    )
    first, second = resized
    return first, second


@with_autocast_off
def cosine_distances(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """One less the cosine of what student and teacher say: the mean over places, and of the means over places.

    Args:
        student: The regressor's map, (N, C, h, w).
        teacher: The teacher's map, (N, C, h', w').

    Returns:
        Two scalars in [0, 2]; both 0 where all places point the same way.
    """
    places = F.cosine_similarity(*on_finer_grid(student, teacher), dim=1)  # (N, max(h, h'), max(w, w'))
    whole = F.cosine_similarity(student.mean(dim=(2, 3)), teacher.mean(dim=(2, 3)), dim=1)  # (N,)
    return 1 - places.mean(), 1 - whole.mean()


@with_autocast_off
def spread_around_mean(z: Tensor) -> Tensor:
    """How far embeddings (N, D) lie apart around their mean, near 1 where they differ and 0 where they are one answer.

    Networks without a head that centres answer every picture with much the same vector, and well so: the mean is left
    out, and what differs is held against a hundredth of the embeddings' length.
    """
    length = z.norm(dim=1).mean()
    return spread(torch.cat([z - z.mean(dim=0), (ALIKE * length).expand(len(z), 1)], dim=1))


class Distill(Method):
    """Encoder, a regressor to the teacher's width, and the teacher, which is no part of a checkpoint."""

    teacher: Teacher

    def __init__(self, start: Start, config: DistillConfig, steps: int) -> None:
        super().__init__(start, config, steps)
        # No submodule: a checkpoint would carry its weights, and Lightning would set it to train.
        object.__setattr__(self, "teacher", Teacher(start.teacher or teacher_from(config.teacher), config.teacher_size))
        width = answer_of(self.teacher, config).shape[1]
        self.regressor = nn.Conv2d(feature_width(self.encoder), width, 1)
        self.config = config

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Both views are samples of their own: teacher and student see the same pixels."""
        student = self.regressor(feature_maps(self.encoder, self.normalise(batch.views))[-1])  # (2B, C, h, w)
        places, whole = cosine_distances(student, self.teacher(batch.views))
        share = self.config.pooled_share
        return {
            "loss": (1 - share) * places + share * whole,
            "spread": spread_around_mean(student.detach().mean(dim=(2, 3))),
            "place_distance": places.detach(),
            "pooled_distance": whole.detach(),
        }

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Takes the teacher along to another device, type or layout."""
        self.teacher._apply(fn)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def answer_of(teacher: Teacher, config: DistillConfig) -> Tensor:
    """The teacher's map (1, C, h, w) of a black view of the size that the training has.

    Raises:
        UserError: If it takes no view of that size.
    """
    try:
        return teacher(torch.zeros(1, 3, config.image_size, config.image_size, dtype=torch.uint8))  # type: ignore[no-any-return]
    except (RuntimeError, AssertionError, ValueError) as error:
        side = config.teacher_size or config.image_size
        raise UserError(
            f"--teacher {config.teacher}: takes no view of {side} pixels ({in_one_line(str(error))}); give "
            "--teacher_size, a multiple of the side of its patches"
        ) from error
