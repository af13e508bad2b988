"""Lesions that padding invents: how often, counted on the very draws that training takes.

A turned or shifted picture shows what lies beyond its frame. Padding by reflection fills that with the picture's own
mirror image, and so with lesions that nobody has; padding by the edge smears them. The mask follows, so the loss never
complains. What lies beyond is known exactly: the same draw moves a mask of ones, and what is no longer 1 was filled.
"""

import copy
from itertools import islice
from typing import NamedTuple

import albumentations as A
import numpy as np

from dermssl.data.images import Pixels
from dermssl.training.randomness import Draw, Order, let_draw
from finetune.augmentation.augmented_images import AugmentedImages
from finetune.augmentation.borders import beyond, pad_nothing
from finetune.augmentation.fit import Fit

VERBS = {"reflect": "mirrors", "edge": "smears"}


class TracedSquare(NamedTuple):
    """A square as training draws it, and what of it was never photographed."""

    image: Pixels
    """(S, S, 3)."""
    mask: Pixels
    """(S, S), 1 for lesion."""
    filled: Pixels
    """(S, S), 1 for what lies beyond the picture: corners that a turn uncovered, bars that a letterbox added."""

    @property
    def invented(self) -> Pixels:
        """(S, S), 1 for lesion beyond the picture."""
        return self.mask & self.filled

    @property
    def of_lesion(self) -> float:
        """Share of the lesion that is invented, in [0, 1]; 0 where there is no lesion."""
        return int(self.invented.sum()) / max(1, int(self.mask.sum()))


class Tracer:
    """Draws what `pictures` draws and says what of it was filled; as slow as two draws."""

    def __init__(self, pictures: AugmentedImages) -> None:
        self.pictures = pictures
        steps = copy.deepcopy(pictures.pipeline.transforms)
        pad_nothing(steps)
        self.unpadded = A.Compose(steps, additional_targets={"inside": "mask"}, seed=0)

    def __getitem__(self, draw: Draw) -> TracedSquare:
        number, index = draw
        image, mask = self.pictures.squares(index)
        let_draw(self.unpadded, self.pictures.seed, number, index)
        moved = self.unpadded(image=image, mask=mask, inside=self.inside(index))
        return TracedSquare(*self.pictures[draw], beyond(moved["inside"]))

    def still(self, index: int) -> TracedSquare:
        """The square of a picture before augmentation."""
        return TracedSquare(*self.pictures.squares(index), beyond(self.inside(index)))

    def inside(self, index: int) -> Pixels:
        """Where the square before augmentation shows the picture, (S, S) of 0 and 1."""
        fit, (height, width) = self.pictures.fit, self.pictures.masks[index].shape
        return Fit(fit.name, fit.size, "black").square_mask(np.ones((height, width), np.uint8))


class InventedLesions(NamedTuple):
    """How much lesion padding has invented."""

    draws: int
    """Number of draws that were counted over."""
    pictures: float
    """Share of the draws in which any lesion lies beyond the picture."""
    of_lesion: float
    """Share of the lesion that lies beyond the picture, averaged over such draws; 0 where there are none."""
    filled: float
    """Share of a square that was filled, averaged over all draws."""

    def warning(self, padding: str) -> str:
        """One sentence for whoever trains with it; empty where nothing was invented."""
        if not self.pictures:
            return ""
        return (
            f"--padding {padding} {VERBS.get(padding, 'adds')} part of a lesion in {self.pictures:.1%} of the pictures "
            f"that train; of the lesion's area in these, {self.of_lesion:.1%} was never photographed (counted on the "
            f"first {self.draws} pictures drawn); --padding skin adds none"
        )


def count_invented(pictures: AugmentedImages, draws: int = 256) -> InventedLesions:
    """Counts over the first `draws` draws of the training, in their order, passes after the first one included."""
    passes = -(-draws // len(pictures))
    tracer = Tracer(pictures)
    squares = [tracer[draw] for draw in islice(Order(len(pictures), pictures.seed, passes), draws)]
    shares = np.array([traced.of_lesion for traced in squares])
    inventing = shares > 0
    mean = float(shares[inventing].mean()) if inventing.any() else 0.0
    return InventedLesions(
        draws, float(inventing.mean()), mean, float(np.mean([traced.filled.mean() for traced in squares]))
    )
