"""Batches of one shape, so that what a network says of a picture hangs on the picture and the network alone.

On a CPU the kernels are chosen by the shape of a batch, and others round otherwise: a picture's logits in a batch of 3
and in one of 16 differ in their last bits, and at the threshold a pixel flips. In batches of one shape they do not, on
whichever place of the batch a picture stands (`python -m benchmarks.equal_batches` looks, and measures the cost).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

PIXELS = 16 * 96**2  # of a batch: enough that a core is near its best, few enough to fill up at little cost
MOST = 16  # squares: the batch that people take, so that a small side fills up no more than that


def squares_at_once(side: int) -> int:
    """Squares that go through a network together on a CPU: 16 up to 96 px, 8 at 128, 2 at 224, 1 from 272 on.

    A power of two, as batch sizes mostly are: then it divides them, and nothing is filled up but the last batch.
    """
    fitting = max(1, min(MOST, PIXELS // side**2))
    return 1 << fitting.bit_length() - 1


def equal_batches(squares: Tensor) -> Iterator[tuple[Tensor, int]]:
    """The squares in batches of one shape, the last filled up with its own last square, and how many of each count.

    Args:
        squares: (N, C, S, S) with N >= 1. Off the CPU they come back as one batch of N: kernels of a GPU are quick in
            large batches alone, and there the promise is a tolerance (probabilities within 1e-3, docs/finetuning.md).
    """
    rows = squares_at_once(squares.shape[-1]) if squares.device.type == "cpu" else len(squares)
    for batch in torch.split(squares, rows):
        lacking = rows - len(batch)
        yield torch.cat([batch, batch[-1:].expand(lacking, -1, -1, -1)]) if lacking else batch, len(batch)
