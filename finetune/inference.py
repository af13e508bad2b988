"""Masks at native size from a trained network."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dermssl.encoder import Normalise
from dermssl.images import Pixels
from finetune.augment import resized

Mask = NDArray[np.bool_]


@torch.inference_mode()
def probabilities(model: nn.Module, normalise: Normalise, squares: Sequence[Pixels]) -> NDArray[np.float32]:
    """Probability of lesion, (B, S, S), for squares of S pixels; the model is put into eval mode, all of it."""
    model.eval()
    device = next(model.parameters()).device
    pixels = torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).to(device)
    logits = model(normalise.to(device)(pixels)).float()
    found: NDArray[np.float32] = logits.sigmoid()[:, 0].cpu().numpy()
    return found


def at_native_size(probability: NDArray[np.float32], height: int, width: int, threshold: float) -> Mask:
    """Probabilities (S, S) enlarged bilinearly to (height, width), and only then cut at the threshold."""
    native: Mask = cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR) > threshold
    return native


@dataclass(frozen=True)
class Predictor:
    """A network with all it takes to go from pictures to masks."""

    model: nn.Module
    normalise: Normalise
    image_size: int
    threshold: float
    batch_size: int

    def masks(self, picture: Callable[[int], Pixels], sizes: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Mask]]:
        """Index and mask of every picture, a batch at a time.

        Args:
            picture: Gives picture i, (H, W, 3), at any size.
            sizes: Native (height, width) of each.
        """
        for first in range(0, len(sizes), self.batch_size):
            batch = range(first, min(first + self.batch_size, len(sizes)))
            found = probabilities(self.model, self.normalise, [resized(picture(i), self.image_size) for i in batch])
            for index, probability in zip(batch, found, strict=True):
                yield index, at_native_size(probability, *sizes[index], self.threshold)
