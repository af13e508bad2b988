"""Whether another library's model computes an encoder: its every map somewhere among the layers' outputs."""

from collections.abc import Callable, Iterator, Sequence

import timm
import torch
from torch import Tensor, nn

from dermssl.weights.encoder import feature_maps

SIDE = 96  # pixels; small, and large enough for five halvings and the widest stem


@torch.no_grad()
def largest_difference(encoder: nn.Module, model: nn.Module, side: int) -> float:
    """Between the encoder's maps of noise and what layers of `model` give, relative to each map's largest value.

    Every map is held against every output of every layer, as the networks of other libraries are not cut into our
    stages. A map of thousands of numbers does not come about by chance.

    Args:
        encoder: Ours, with its weights; put into eval mode.
        model: Theirs, likewise.
        side: Of the pictures, pixels.

    Returns:
        The largest over the maps; infinite where no layer gives a map of that shape.
    """
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    maps = feature_maps(encoder.eval(), images)
    least = [torch.inf] * len(maps)
    hooks = [layer.register_forward_hook(comparing_hook(maps, least)) for layer in model.modules()]
    try:
        model.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return max(least)


def comparing_hook(maps: Sequence[Tensor], least: list[float]) -> Callable[[nn.Module, object, object], None]:
    """A hook that lowers `least`, one number a map, where a layer's output is nearer to it.

    Compares at once: a ReLU in place may write over the output afterwards.
    """

    def compare(_: nn.Module, __: object, output: object) -> None:
        for index, feature_map in enumerate(maps):
            scale = feature_map.abs().max().item() or 1.0
            gaps = [
                (reading - feature_map).abs().max().item() / scale for reading in readings_of(output, feature_map.shape)
            ]
            least[index] = min([least[index], *gaps])

    return compare


def readings_of(output: object, shape: Sequence[int]) -> Iterator[Tensor]:
    """A layer's output as maps of `shape`, (B, C, H, W), in each way in which it can be read so.

    Channels may come last, as tokens behind a class token, or in several parts; a ReLU may follow as a function.
    """
    for tensor in tensors_in(output):
        readings = [tensor]
        if tensor.ndim == 4:
            readings.append(tensor.permute(0, 3, 1, 2))
        if tensor.ndim == 3 and tensor.shape[1] >= shape[2] * shape[3]:
            patches = tensor[:, -shape[2] * shape[3] :]
            readings.append(patches.transpose(1, 2).reshape(len(patches), -1, *shape[2:]))
        for reading in readings:
            if reading.shape == torch.Size(shape):
                yield reading
                yield reading.relu()


def tensors_in(output: object) -> list[Tensor]:
    """The tensors of an output, and after them all maps of one size as one, along the channels."""
    if isinstance(output, Tensor):
        return [output]
    if not isinstance(output, (list, tuple)):
        return []
    tensors = [tensor for part in output for tensor in tensors_in(part)]
    whole = len({(tensor.ndim, tensor.shape[0], *tensor.shape[2:]) for tensor in tensors}) == 1 < len(tensors)
    return [*tensors, torch.cat(tensors, dim=1)] if whole else tensors


def side_for(encoder: str) -> int:
    """The side of the pictures to prove with: the only one that timm's model takes, if it is bound to one, pixels."""
    settings = timm.get_pretrained_cfg(encoder.removeprefix("tu-")) if encoder.startswith("tu-") else None
    return settings.input_size[-1] if settings is not None and settings.fixed_input_size else SIDE
