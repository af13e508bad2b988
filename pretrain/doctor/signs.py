"""Scalars that tell learning from collapse. None of them asks the device for its values."""

from collections.abc import Iterable

import torch
from torch import Tensor


@torch.no_grad()
def duplicate_share(views: Tensor) -> Tensor:
    """The share of images whose two views, of (2B, ...), are the same pixels."""
    first, second = views.chunk(2)
    return (first == second).flatten(1).all(dim=1).float().mean()


@torch.no_grad()
def constant_share(views: Tensor) -> Tensor:
    """The share of views (N, 3, S, S) that show one colour and nothing else."""
    return (views == views[:, :, :1, :1]).flatten(1).all(dim=1).float().mean()


@torch.no_grad()
def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The length of all gradients together; 0 where there are none."""
    return joint_norm([p.grad for p in parameters if p.grad is not None])


@torch.no_grad()
def joint_norm(tensors: list[Tensor]) -> Tensor:
    """The root of the sum of all squares of all tensors."""
    if not tensors:
        return torch.zeros(())
    whole: Tensor = torch.stack(torch._foreach_norm(tensors)).norm()
    return whole


@torch.no_grad()
def relative_distance(a: list[Tensor], b: list[Tensor]) -> Tensor:
    """How far the tensors `a` lie from `b`, as a share of the length of `b`."""
    return joint_norm(list(torch._foreach_sub(a, b))) / joint_norm(b)
