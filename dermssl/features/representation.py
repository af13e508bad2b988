"""How features lie: spread, rank, alignment of two views, evenness. None asks the device for its values."""

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


@torch.no_grad()
def rankme(features: Tensor) -> Tensor:
    """How many dimensions features (N, D) really fill, in [1, min(N, D)], 0 where all are zero.

    The exponential of the entropy of the singular values' shares (Garrido et al. 2023,
    https://arxiv.org/abs/2210.02885, eq. 1): 1 for points on a line through zero, D for a ball.
    """
    values = torch.linalg.svdvals(features.float())
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    rank: Tensor = torch.special.entr(shares).sum().exp()
    return torch.where(values.sum() > 0, rank, 0.0)


@torch.no_grad()
def alignment(a: Tensor, b: Tensor) -> Tensor:
    """The mean squared distance of two views' unit features (N, D), in [0, 4]; 0 where each pair is one point.

    Wang and Isola 2020, https://arxiv.org/abs/2005.10242, eq. 6 with alpha = 2.
    """
    return (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square().sum(dim=1).mean()


@torch.no_grad()
def uniformity(z: Tensor) -> Tensor:
    """How evenly unit features (N, D), N >= 2, cover the sphere: 0 where all are one point, near -4 where they fill it.

    The logarithm of the mean over pairs of exp(-2 |x - y|^2) (Wang and Isola 2020, eq. 7 with t = 2).
    """
    unit = F.normalize(z.float(), dim=1)
    i, j = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
    squared = 2 - 2 * (unit @ unit.T)[i, j]  # |x - y|^2 of unit rows
    return torch.logsumexp(-2 * squared, dim=0) - torch.log(torch.tensor(float(len(squared)), device=z.device))
