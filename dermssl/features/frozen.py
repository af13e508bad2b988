"""What a frozen encoder sees: pooled features for every picture, feature maps for those that ask."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermssl.data.images import Pixels
from dermssl.features.equal_batches import equal_batches
from dermssl.training.device import channels_last
from dermssl.weights.encoder import Start, feature_maps, pooled

Features = NDArray[np.float32]  # (N, C)


class Pictures(Protocol):
    """Pictures of any size by number, such as a `dermssl.data.pixel_cache.PixelCache`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Pixels: ...


class FrozenEncoder:
    """An encoder that only looks: running statistics, no dropout, no gradients.

    Args:
        start: The encoder with its weights, and the normalisation that belongs to them.
        image_size: Side of the square that pictures are brought to, pixels.
        batch_size: Pictures that are read at once, and on a GPU go through at once.
        device: Where.
    """

    def __init__(self, start: Start, image_size: int, batch_size: int, device: torch.device) -> None:
        self.encoder = channels_last(start.encoder.to(device)).eval()
        self.normalise = start.normalise.to(device)
        self.image_size, self.batch_size, self.device = image_size, batch_size, device

    def features(self, images: Pictures) -> Features:
        """The last stage averaged over its positions, a row a picture, in the order of `images`."""
        with torch.inference_mode():
            rows = [
                pooled(self.encoder, batch)[:count].float().cpu()
                for batch, count in self.batches(images, range(len(images)))
            ]
        return torch.cat(rows).numpy()

    def stage_features(self, images: Pictures) -> list[Features]:
        """Every stage averaged over its positions, finest first, (N, C) each."""
        with torch.inference_mode():
            rows = [
                [stage[:count].mean(dim=(2, 3)).float().cpu() for stage in feature_maps(self.encoder, batch)]
                for batch, count in self.batches(images, range(len(images)))
            ]
        return [torch.cat(stage).numpy() for stage in zip(*rows, strict=True)]

    def stages(self, images: Pictures, indices: Sequence[int]) -> Iterator[list[Tensor]]:
        """The feature maps of each of these pictures in turn, one (1, C, h, w) a stage, finest first."""
        for batch, count in self.batches(images, indices):
            with torch.inference_mode():
                maps = [stage.float() for stage in feature_maps(self.encoder, batch)]
            for position in range(count):
                yield [stage[position : position + 1] for stage in maps]

    def batches(self, images: Pictures, indices: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
        """These pictures as squares, normalised, in batches (B, 3, S, S) of one shape, and how many of each count."""
        for first in range(0, len(indices), self.batch_size):
            squares = [square(images[index], self.image_size) for index in indices[first : first + self.batch_size]]
            pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)  # (B, 3, S, S)
            for batch, count in equal_batches(pixels.to(self.device)):
                yield self.normalise(batch), count


def square(picture: Pixels, side: int) -> Pixels:
    """The whole picture squeezed or stretched to a square, so that no part of a lesion is cut away."""
    shrinks = min(picture.shape[:2]) >= side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (side, side), interpolation=how).astype(np.uint8, copy=False)
