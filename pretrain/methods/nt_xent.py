"""NT-Xent, the loss of SimCLR, in memory that grows with the batch and not with its square.

Chen et al. 2020, A simple framework for contrastive learning of visual representations, eq. 1,
https://arxiv.org/abs/2002.05709.

A batch of 8192 images has 268 million similarities, and the plain form holds several copies of them. Here a few anchors
at a time are compared with all candidates. As the loss is a scalar, what these similarities add to the gradient is
known at once, up to a factor, and they are forgotten.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from dermssl.parallel import gathered, rank, world
from pretrain.methods.method import with_autocast_off

CHUNK = 16 * 2**20
"""Bytes of the logits that exist at once; 8 to 32 MB are equally fast, and less is slower."""

ONE_DNN = torch._C._has_mkldnn and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@with_autocast_off
def nt_xent(z_a: Tensor, z_b: Tensor, temperature: float) -> Tensor:
    """Normalised-temperature cross entropy between two views (eq. 1).

    Where several processes train, the anchors are this one's and the candidates are everyone's: the mean over processes
    is the loss of the whole batch.

    Args:
        z_a: Projections of the first views, (B, D); need not be normalised.
        z_b: Projections of the second views, (B, D); row i shows the same image as `z_a[i]`.
        temperature: Divides cosine similarities; lower makes hard negatives count more.

    Returns:
        Mean loss over the 2B anchors, a float32 scalar in nats; log(2B - 1) for constant projections. It can be
        differentiated once.

    Raises:
        ValueError: If the shapes differ, or B < 2 over all processes (an anchor needs a negative).
    """
    if z_a.shape != z_b.shape or len(z_a) * world() < 2:
        raise ValueError(f"nt_xent needs two (B >= 2, D) tensors, got {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    anchors = F.normalize(torch.cat([z_a, z_b]).float(), dim=1)  # (2B, D)
    first = rank() * len(anchors)  # place of this process's first row among the candidates
    return _ChunkedSoftmax.apply(anchors, gathered(anchors), first, temperature)  # type: ignore[no-any-return,no-untyped-call]


class _ChunkedSoftmax(torch.autograd.Function):
    """Cross entropy of finding the other view of each anchor among all candidates but the anchor itself."""

    @staticmethod
    def forward(ctx: Any, anchors: Tensor, candidates: Tensor, first: int, temperature: float) -> Tensor:
        """Unit rows (2B, D) and (M, D), where candidate `first + i` is anchor i -> (). Loss and both gradients."""
        positives = (
            torch.arange(len(anchors), device=anchors.device).roll(len(anchors) // 2)[:, None] + first
        )  # (2B, 1)
        to_anchors = torch.empty_like(anchors)
        to_candidates = candidates.new_zeros(candidates.shape[::-1])  # (D, M), the layout that products add up in
        across = candidates.T.contiguous()  # (D, M)
        losses = anchors.new_empty(len(anchors))
        size = max(1, CHUNK // (4 * len(candidates)))
        with full_float32():
            for start in range(0, len(anchors), size):
                rows = slice(start, start + size)
                logits = linear(anchors[rows] / temperature, candidates)  # (size, M)
                logits.diagonal(first + start).fill_(-torch.inf)  # an anchor is not its own negative
                shares = logits.softmax(dim=1)
                # The log of the likeliest share never overflows; that of the positive's does at low temperatures.
                behind = logits.amax(dim=1) - logits.gather(1, positives[rows])[:, 0]
                losses[rows] = behind - shares.amax(dim=1).log()
                surprise = shares.scatter_add_(1, positives[rows], -torch.ones_like(shares[:, :1]))
                to_anchors[rows] = linear(surprise, across)
                to_candidates += linear(anchors[rows].T, surprise.T)
        ctx.scale = 1 / (temperature * len(anchors))
        ctx.save_for_backward(to_anchors, to_candidates.T.contiguous())
        return losses.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """() -> (2B, D) and (M, D)."""
        to_anchors, to_candidates = ctx.saved_tensors
        scale = gradient * ctx.scale
        return to_anchors * scale, to_candidates * scale, None, None


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """The product (n, k) x (m, k) -> (n, m), as `F.linear`.

    Float32 on a CPU by oneDNN: torch takes MKL for it, which leaves half of an AMD core unused (95 of 210 Gflop/s).
    """
    if ONE_DNN and x.device.type == "cpu" and x.dtype == torch.float32:
        return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")  # type: ignore[no-any-return]
    return F.linear(x, weight)


@contextmanager
def full_float32() -> Iterator[None]:
    """Products of float32 with all digits: dermssl.training.device lets a GPU take TF32, which keeps 3 of them."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
