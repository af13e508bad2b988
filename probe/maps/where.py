"""Where an encoder looks: the three main directions of its feature map as the colours of a picture."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from dermssl.data.images import Pixels
from dermssl.data.pixel_cache import PixelCache
from dermssl.features.frozen import FrozenEncoder, square

FINE = 12  # positions a side: the last stage of so many is late enough to mean something and still shows an outline
FRINGE = 0.01  # share of the positions at either end of a direction that is drawn as the end


def maps_of(frozen_encoder: FrozenEncoder, images: PixelCache, rows: Sequence[int]) -> list[Pixels]:
    """A picture (h, w, 3) for each of these images, of the feature map's size.

    The directions are the first principal components of all positions of all these images together, so that a colour
    means the same in each of them; between encoders colours cannot be compared, only what is told apart.
    """
    return coloured([fine_enough(stages)[0].cpu() for stages in frozen_encoder.stages(images, rows)])


def fine_enough(stages: Sequence[Tensor]) -> Tensor:
    """The last of an image's maps, (1, C, h, w) each, with twelve positions a side, else the finest."""
    return next((stage for stage in reversed(stages) if min(stage.shape[2:]) >= FINE), stages[0])


def coloured(maps: Sequence[Tensor]) -> list[Pixels]:
    """Feature maps (C, h, w) of several images as pictures (h, w, 3), by their first three components together."""
    positions = torch.cat([stage.flatten(1).T for stage in maps]).double()  # (sum of h w, C)
    centred = positions - positions.mean(dim=0)
    scores = centred @ directions(centred)
    low, high = (torch.quantile(scores, share, dim=0) for share in (FRINGE, 1 - FRINGE))
    level = torch.where(high > low, (scores - low) / (high - low).clamp(min=1e-12), 0.5).clamp(0, 1)
    sizes = [stage.shape[1] * stage.shape[2] for stage in maps]
    parts = zip(torch.split(level, sizes), maps, strict=True)
    return [(255 * part.reshape(*stage.shape[1:], 3)).round().numpy().astype(np.uint8) for part, stage in parts]


def directions(centred: Tensor) -> Tensor:
    """The first three principal directions of rows (N, C) about their mean, (C, 3), zeros where there are fewer.

    A direction has no sign of its own: here its largest number is positive, so that a map is the same every time.
    """
    _, vectors = torch.linalg.eigh(centred.T @ centred)  # rising
    main = vectors.flip(1)[:, :3]
    main = main * main.gather(0, main.abs().argmax(dim=0, keepdim=True)).sign()
    return torch.nn.functional.pad(main, (0, 3 - main.shape[1]))


def where_figure(pictures: Sequence[Pixels], names: Sequence[str], maps: Mapping[str, Sequence[Pixels]]) -> Figure:
    """Two images a line: the picture, then each encoder's map of it."""
    width, lines = 1 + len(maps), -(-len(pictures) // 2)
    figure = Figure(figsize=(1.5 * 2 * width + 0.4, 1.6 * lines + 0.4), layout="constrained")
    grid = figure.subplots(lines, 2 * width, squeeze=False)
    for axes in grid.ravel():
        axes.set(xticks=[], yticks=[])
        axes.set_frame_on(False)
    for place, (picture, name) in enumerate(zip(pictures, names, strict=True)):
        line = grid[place // 2, width * (place % 2) :]
        columns: list[NDArray[np.uint8]] = [
            picture,
            *(enlarged(colours[place], len(picture)) for colours in maps.values()),
        ]
        for axes, column, title in zip(line, columns, ["picture", *maps], strict=False):
            axes.imshow(column)
            axes.set_title(title if place < 2 else "", fontsize=8)
        line[0].set_ylabel(name, fontsize=6)
    return figure


def shown_pictures(images: PixelCache, rows: Sequence[int], side: int) -> list[Pixels]:
    """The pictures of these rows as the encoder sees them."""
    return [square(images[row], side) for row in rows]


def enlarged(small: Pixels, side: int) -> Pixels:
    """A map at the picture's size, each position as it is: smoothed it would promise more than there is."""
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
