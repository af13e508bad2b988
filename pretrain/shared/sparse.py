"""Sparse convolution by masking: every layer of an encoder sees visible places alone, and is zero everywhere else.

Submanifold sparse convolution (Graham and van der Maaten 2017, https://arxiv.org/abs/1706.01307) computes visible
places only, from visible places only. A plain convolution of a map that is zero elsewhere gives the same numbers there;
what it gives elsewhere is set to zero again. Layers that pool over a map get its visible places without the rest.
"""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from timm.layers.squeeze_excite import SEModule
from timm.models._efficientnet_blocks import SqueezeExcite
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from dermssl.errors import UserError
from dermssl.weights.encoder import feature_maps

REACHING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)  # a place sees its neighbours
POOLING = (_BatchNorm, SqueezeExcite, SEModule)  # where a place lies does not matter, and all of them are pooled


class VisiblePatches:
    """Which patches of N pictures are visible, V of each, in maps of every resolution.

    Args:
        patches: Numbers of the visible patches, (N, V), row by row in [0, grid * grid), none twice.
        grid: Patches along a side.
    """

    def __init__(self, patches: Tensor, grid: int) -> None:
        self.patches, self.grid = patches, grid
        marks = torch.zeros(len(patches), grid * grid, dtype=torch.bool, device=patches.device)
        self.shown = marks.scatter(1, patches, True)  # (N, grid * grid)
        self.marks_at: dict[int, Tensor] = {}
        self.places_at: dict[int, Tensor] = {}

    def scale(self, side: int) -> int:
        """Places along the side of a patch, in maps of this side.

        Raises:
            ValueError: If patches do not end where places do.
        """
        if side % self.grid:
            raise ValueError(f"in a map {side} wide no {self.grid} patches a side can be told apart")
        return side // self.grid

    def marks(self, side: int) -> Tensor:
        """Whether a place is visible, in maps of this side: (N, 1, side, side)."""
        if side not in self.marks_at:
            scale, grid = self.scale(side), self.grid
            patches = self.shown.view(-1, 1, grid, 1, grid, 1).expand(-1, -1, -1, scale, -1, scale)
            self.marks_at[side] = patches.reshape(-1, 1, side, side)
        return self.marks_at[side]

    def places(self, side: int) -> Tensor:
        """Numbers of the visible places among all N * side * side, patch by patch: (N * V * scale * scale,)."""
        if side not in self.places_at:
            scale, grid = self.scale(side), self.grid
            every = torch.arange(len(self.patches) * side * side, device=self.patches.device)
            by_patch = every.view(-1, grid, scale, grid, scale).transpose(2, 3).reshape(-1, grid * grid, scale * scale)
            chosen = self.patches.unsqueeze(2).expand(-1, -1, scale * scale)
            self.places_at[side] = by_patch.gather(1, chosen).flatten()
        return self.places_at[side]

    def masked(self, maps: Tensor) -> Tensor:
        """Maps (N, C, S, S) with zeros where nothing is visible."""
        return maps * self.marks(maps.shape[2]).to(maps.dtype)  # a product takes half of the time of masked_fill

    def gathered(self, maps: Tensor) -> Tensor:
        """The visible places of maps (N, C, S, S), one below the other, as maps (N, C, V * scale * scale, 1)."""
        rows = maps.permute(0, 2, 3, 1).flatten(0, 2)  # (N * S * S, C), no copy in channels last
        seen = rows.index_select(0, self.places(maps.shape[2]))
        return seen.view(len(maps), -1, maps.shape[1]).mT.unsqueeze(3)

    def scattered(self, seen: Tensor, background: Tensor | None = None) -> Tensor:
        """Puts what was gathered, (N, C, V * scale * scale, 1), back to where it was: maps (N, C, S, S).

        Args:
            seen: The visible places.
            background: What the other places hold, (C,); zeros where it is not given.
        """
        count, width, length, _ = seen.shape
        side = self.grid * math.isqrt(length // self.patches.shape[1])
        rows = seen.squeeze(3).mT.flatten(0, 1)  # (N * V * scale * scale, C)
        elsewhere = rows.new_zeros(width) if background is None else background.to(rows.dtype)
        whole = elsewhere.expand(count * side * side, -1).index_copy(0, self.places(side), rows)
        return whole.view(count, side, side, width).permute(0, 3, 1, 2)


@contextmanager
def sparse(encoder: nn.Module, visible: VisiblePatches) -> Iterator[None]:
    """Lets an encoder compute, inside the block, as if its pictures were their visible patches and nothing else.

    By hooks: names, tensors and classes of its modules stay as they are, and behind the block it is what it was.
    """
    with ExitStack() as hooks:
        for layer in maskable_layers(encoder):
            if isinstance(layer, POOLING):
                hooks.callback(layer.register_forward_pre_hook(lambda _, maps: visible.gathered(*maps)).remove)
                hooks.callback(layer.register_forward_hook(lambda _, __, seen: visible.scattered(seen)).remove)
            else:
                hooks.callback(layer.register_forward_hook(lambda _, __, maps: visible.masked(maps)).remove)
        yield


def maskable_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a network at which something must be done to mask it; what else there is keeps zeros.

    Raises:
        ValueError: If a layer with weights is of another kind than these.
    """
    if isinstance(module, REACHING + POOLING):
        yield module
        return
    if next(module.parameters(recurse=False), None) is not None:
        raise ValueError(f"it has a {type(module).__name__}")
    for part in module.children():
        yield from maskable_layers(part)


def maskable_widths(encoder: nn.Module, name: str) -> list[int]:
    """Channels of the maps of an encoder, finest first, each half as wide and high as the one before.

    Raises:
        UserError: If the encoder, which is called `name`, cannot be masked such that nothing hidden is seen and nothing
            but visible places is pooled.
    """
    try:
        return tried_widths(encoder)
    except ValueError as error:
        raise UserError(
            f"--encoder {name}: --method spark masks convolutions, BatchNorm and squeeze-and-excitation, but {error}; "
            "take tu-tf_efficientnet_lite0 or a ResNet, or another --method"
        ) from error


@torch.no_grad()
def tried_widths(encoder: nn.Module) -> list[int]:
    """The same, tried on a picture of 2 x 2 patches, two of them visible; in evaluation mode, so that nothing moves.

    Raises:
        ValueError: If a map does not fall into patches, or what enters a convolution is not zero where it is hidden.
    """
    side, training = 2 * int(encoder.output_stride), encoder.training  # type: ignore[arg-type]
    picture = next(encoder.parameters()).new_ones(1, 3, side, side)
    visible = VisiblePatches(torch.tensor([[0, 3]], device=picture.device), grid=2)

    def refuse_what_is_not_zero(layer: nn.Module, maps: tuple[Tensor, ...]) -> None:
        if (visible.masked(maps[0]) != maps[0]).any():
            raise ValueError(f"something before a {type(layer).__name__} does not keep zeros")

    encoder.eval()
    with sparse(encoder, visible), ExitStack() as hooks:
        for layer in filter(lambda layer: isinstance(layer, REACHING), maskable_layers(encoder)):
            hooks.callback(layer.register_forward_pre_hook(refuse_what_is_not_zero).remove)
        maps = feature_maps(encoder, visible.masked(picture))
    encoder.train(training)
    if [side // stage.shape[2] for stage in maps[::-1]] != [side // 2 >> level for level in range(len(maps))]:
        raise ValueError("its maps do not halve from stage to stage")
    return [stage.shape[1] for stage in maps]
