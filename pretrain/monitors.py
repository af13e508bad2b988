"""Scalars that tell learning from collapse."""

import torch
import torch.nn.functional as F
from torch import Tensor


@torch.no_grad()
def spread(z: Tensor) -> Tensor:
    """How far projections (B, D) lie apart: 0 where all are one point (collapse), near 1 where they fill the sphere.

    The mean over dimensions of the standard deviation of unit rows, times sqrt(D) (Chen and He 2021, SimSiam, 4.1).
    """
    unit = F.normalize(z.float(), dim=1)
    width: float = z.shape[1] ** 0.5
    return unit.std(dim=0).mean() * width
