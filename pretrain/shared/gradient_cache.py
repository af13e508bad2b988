"""Gradient caching: the gradient of a loss over a whole batch, in the memory of a part of it.

Gao et al. 2021, Scaling deep contrastive learning batch size under memory limited setup,
https://arxiv.org/abs/2101.06983, section 3.2.

A contrastive loss needs all embeddings at once, but an embedding's gradient is all that its image's part of the network
has to know of the others. So the parts are embedded without a graph, the loss gives each embedding its gradient, and
the parts are embedded once more, each with a graph, to hand it on to the parameters.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Loss = Callable[[Sequence[Tensor]], Tensor]


def cached_loss(network: nn.Module, parts: Sequence[Tensor], loss: Loss) -> tuple[Tensor, list[Tensor]]:
    """The loss of all parts together, whose `backward` gives the parameters of `network` the whole batch's gradients.

    Both passes over the network happen here, under the caller's autocast, and `backward` hands out what they found: it
    reaches every parameter once, as DDP wants it. Gradients wait in memory as large as the parameters.

    BatchNorm normalises each part by its own statistics. So what this equals is a whole batch whose BatchNorm sees the
    same parts, and for a network without BatchNorm the whole batch as it is. The second pass repeats the first: it
    draws the same random numbers (dropout, DropPath) and moves the running statistics from where the first began, so
    that they move once.

    Args:
        network: Embeds a part, (n, ...) -> (n, D).
        parts: What is embedded at once, one or more; each has a forward and a backward pass of its own.
        loss: A scalar of all embeddings, part for part.

    Returns:
        The loss, a scalar, and the embeddings, (n, D) for each part, without gradients.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    device = parts[0].device
    # Each pass makes its own half-precision weights: none made without a graph may serve the pass that needs one.
    with torch.autocast(device.type, enabled=torch.is_autocast_enabled(device.type), cache_enabled=False):
        rewind = bookmark(network, device)
        with torch.no_grad():
            embeddings = [network(part) for part in parts]
        value, embedding_gradients = with_gradients(loss, embeddings)
        rewind()
        gradients = gradients_of(network, parts, embedding_gradients, trained)
    return _KnownGradients.apply(value, gradients, *trained), embeddings  # type: ignore[no-untyped-call]


def with_gradients(loss: Loss, embeddings: Sequence[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The loss, and its gradient with respect to each embedding: the cache."""
    leaves = [embedding.detach().requires_grad_() for embedding in embeddings]
    with torch.enable_grad():
        value = loss(leaves)
    return value.detach(), torch.autograd.grad(value, leaves)


def gradients_of(
    network: nn.Module, parts: Sequence[Tensor], embedding_gradients: Sequence[Tensor], trained: Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradients of the trained parameters, summed over the parts; None where a parameter has no say."""
    total: list[Tensor | None] = [None] * len(trained)
    for part, gradient in zip(parts, embedding_gradients, strict=True):
        with torch.enable_grad():
            embedding = network(part)
        added = torch.autograd.grad(embedding, trained, gradient, allow_unused=True)
        total = [b if a is None else a if b is None else a.add_(b) for a, b in zip(total, added, strict=True)]
    return total


def bookmark(network: nn.Module, device: torch.device) -> Callable[[], None]:
    """Remembers buffers and random state as they are; what it returns puts them back."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    state = torch.get_rng_state()
    module = None if device.type == "cpu" else torch.get_device_module(device)
    device_state = None if module is None else module.get_rng_state(device)

    @torch.no_grad()
    def rewind() -> None:
        for buffer, value in buffers:
            buffer.copy_(value)
        torch.set_rng_state(state)
        if module is not None:
            module.set_rng_state(device_state, device)

    return rewind


class _KnownGradients(torch.autograd.Function):
    """A loss whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, gradients: list[Tensor | None], *_: Tensor) -> Tensor:
        """Gives the loss back, now with a graph that ends in the parameters."""
        ctx.gradients = gradients
        return loss.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients, times what the loss is multiplied by."""
        return None, None, *(None if gradient is None else gradient * scale for gradient in ctx.gradients)
