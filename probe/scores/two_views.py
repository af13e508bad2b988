"""Two views of a picture that show the same lesion: what a useful encoder sees no difference in."""

from dataclasses import dataclass

import cv2
import numpy as np

from dermssl.data.images import Pixels
from dermssl.data.pixel_cache import PixelCache
from dermssl.features.frozen import square

LEAST_SHARE = 0.6  # least share of the picture's area, so that the lesion is seldom cut away
LIGHT = 0.2  # most that brightness and contrast change; hue and saturation stay: a lesion's colour is a sign


@dataclass(frozen=True)
class TwoViews:
    """The first views of all pictures and then their second ones, as squares; each is drawn from the seed alone.

    A view is one of the eight symmetries of a crop, with other light. The recipe is fixed, so that encoders are asked
    the same question whatever they were pretrained with.

    Args:
        images: Pictures of any size.
        side: Side of the squares, pixels.
        seed: Seed of the draws.
    """

    images: PixelCache
    side: int
    seed: int

    def __len__(self) -> int:
        return 2 * len(self.images)

    def __getitem__(self, place: int) -> Pixels:
        which, index = divmod(place, len(self.images))
        rng = np.random.default_rng([self.seed, index, which])
        return lit(random_symmetry(cropped(self.images[index], self.side, rng), rng), rng)


def cropped(picture: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """A part of the picture with its aspect, of 60 to 100 % of its area, as a square."""
    scale = rng.uniform(LEAST_SHARE, 1) ** 0.5
    height, width = (max(1, round(scale * extent)) for extent in picture.shape[:2])
    top, left = (int(rng.integers(free + 1)) for free in (picture.shape[0] - height, picture.shape[1] - width))
    return square(picture[top : top + height, left : left + width], side)


def random_symmetry(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """One of the eight symmetries of the square."""
    quarters, mirrored = int(rng.integers(4)), int(rng.integers(2))
    symmetric = np.rot90(picture[:, ::-1] if mirrored else picture, quarters)
    return np.ascontiguousarray(symmetric)


def lit(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture with its contrast and its brightness times 0.8 to 1.2."""
    contrast, brightness = rng.uniform(1 - LIGHT, 1 + LIGHT, 2)
    mean = float(picture.mean())
    changed = cv2.addWeighted(picture, contrast, picture, 0.0, mean * (brightness - contrast))
    return changed.astype(np.uint8, copy=False)
