"""Whether an encoder, a decoder and a size of image go together, found out on shapes alone, before anything trains.

A network runs here on tensors of the meta device, which have a shape and no content: the answer is the library's own
and costs a fraction of a second at any size.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

REFUSALS = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError)
"""What libraries raise where parts or shapes do not go together."""

FAR = 10  # strides, in the search for a size


def run_on_shapes(model: nn.Module, parameters: dict[str, Tensor], size: int) -> Tensor:
    """The output, on the meta device, for an image of size x size pixels; `model` stays as it is."""
    buffers = {name: buffer.to("meta") for name, buffer in model.named_buffers()}
    pixels = torch.zeros(1, 3, size, size, device="meta")
    return cast(Tensor, functional_call(model, parameters | buffers, (pixels,)))


def weightless(model: nn.Module) -> dict[str, Tensor]:
    """The parameters' shapes, on the meta device, by name; a gradient can be asked for each."""
    return {name: p.detach().to("meta").requires_grad_() for name, p in model.named_parameters()}


def objection(model: nn.Module, size: int) -> str:
    """What the library says against an image of size x size pixels; nothing where it gives a mask of that size.

    The network is in eval mode.
    """
    try:
        output = run_on_shapes(model, weightless(model), size)
    except REFUSALS as error:
        return one_line(error)
    height, width = output.shape[2:]
    return "" if height == width == size else f"the mask has {width} x {height} pixels"


def one_line(error: Exception) -> str:
    """What an error of a library says."""
    return " ".join(str(error).split()) or type(error).__name__


def share_used(model: nn.Module, whole: nn.Module, size: int) -> float:
    """Share of the parameters of the `whole` encoder that a gradient from the output of `model` reaches.

    Measured and not read off the depth: some encoders keep stages, or a head, that their decoder never asks for.
    """
    parameters = weightless(model)
    inside = [p for name, p in parameters.items() if name.startswith("encoder.")]
    output = run_on_shapes(model, parameters, size)
    gradients = torch.autograd.grad(output.sum(), inside, allow_unused=True)
    used = sum(p.numel() for p, gradient in zip(inside, gradients, strict=True) if gradient is not None)
    return used / sum(p.numel() for p in whole.parameters())


def all_learn(model: nn.Module, size: int) -> bool:
    """Whether a gradient from the output reaches every parameter of the network that takes one.

    The network is in eval mode.
    """
    parameters = weightless(model)
    taking = [parameters[name] for name, parameter in model.named_parameters() if parameter.requires_grad]
    output = run_on_shapes(model, parameters, size)
    gradients = torch.autograd.grad(output.sum(), taking, allow_unused=True)
    return all(gradient is not None for gradient in gradients)


def stride_of(model: nn.Module) -> int:
    """Pixels of the image to one of the encoder's coarsest map."""
    return int(model.encoder.output_stride)  # type: ignore[arg-type, union-attr]


def takes(model: nn.Module, size: int) -> bool:
    """Whether the network gives a mask of the size of such images, and its maps lie cell on cell.

    smp's Unet enlarges maps to whatever it meets, so that those of an image that does not divide are shifted.
    """
    return size % stride_of(model) == 0 and not objection(model, size)


def neighbours(model: nn.Module, size: int) -> tuple[int | None, int | None]:
    """The next sizes below and above that the network takes; None where there is none within ten strides."""
    stride = stride_of(model)
    middle = size // stride
    below = [stride * cells for cells in range(middle, max(0, middle - FAR), -1)]
    above = [stride * cells for cells in range(middle + 1, middle + 1 + FAR)]
    sizes = [next((side for side in sides if side != size and takes(model, side)), None) for sides in (below, above)]
    return sizes[0], sizes[1]
