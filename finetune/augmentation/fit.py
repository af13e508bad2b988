"""How a picture of any size becomes the network's square, and what the network finds there becomes the picture's."""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels, skin_colour
from finetune.options.augment import FitName, Padding

T = TypeVar("T", np.uint8, np.float32)

BORDERS = {
    "skin": cv2.BORDER_CONSTANT,
    "black": cv2.BORDER_CONSTANT,
    "reflect": cv2.BORDER_REFLECT_101,
    "edge": cv2.BORDER_REPLICATE,
}


class Box(NamedTuple):
    """A part of a picture, in whole pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the part."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclass(frozen=True)
class Fit:
    """A rule by which pictures of any size become squares, and back.

    `resize` squeezes the whole picture into the square and gives its aspect up. `letterbox` keeps the aspect and fills
    what the picture leaves of the square. `crop` keeps the aspect and shows the middle square of the picture alone.
    Each scales about pixel centres: what lies at x + 1/2 of W in the picture lies at the same share of its part of the
    square. Shrinking averages areas and enlarging is bilinear, each axis on its own.
    """

    name: FitName
    size: int
    """Side of the square, pixels."""
    padding: Padding
    """What `letterbox` fills with: skin (the median colour of the picture's rim), black, reflect or edge; none is skin."""  # noqa: E501

    def boxes(self, height: int, width: int) -> tuple[Box, Box]:
        """The part of a picture (height, width) that is shown, and the part of the square that shows it."""
        whole, square = Box(0, 0, height, width), Box(0, 0, self.size, self.size)
        match self.name:
            case "resize":
                return whole, square
            case "letterbox":
                scale = self.size / max(height, width)
                return whole, centred_box(max(1, round(height * scale)), max(1, round(width * scale)), square)
            case "crop":
                side = min(height, width)
                return centred_box(side, side, whole), square

    def square(self, pixels: Pixels) -> Pixels:
        """The picture (H, W, 3) as (S, S, 3), both uint8."""
        visible, box = self.boxes(*pixels.shape[:2])
        part = resized(pixels[visible.slices], box.height, box.width)
        colour = (0, 0, 0) if self.padding == "black" or self.name != "letterbox" else skin_colour(part)
        return self.padded(part, box, colour)

    def square_mask(self, mask: Pixels) -> Pixels:
        """The mask (H, W) of 0 and 1 as (S, S), uint8 as well; a half-covered pixel is lesion.

        What `letterbox` fills is no lesion under skin and black; reflect and edge treat the mask as the picture.
        """
        visible, box = self.boxes(*mask.shape)
        covered = resized(mask[visible.slices] * np.uint8(255), box.height, box.width)
        return self.padded((covered > 127).astype(np.uint8), box, (0,))

    def native(self, probability: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
        """Probabilities (S, S) at the picture's own size (height, width).

        What `letterbox` filled is cut off first, and what `crop` did not show has probability 0.
        """
        visible, box = self.boxes(height, width)
        part = resized(probability[box.slices], visible.height, visible.width)
        if (visible.height, visible.width) == (height, width):
            return part
        native = np.zeros((height, width), np.float32)
        native[visible.slices] = part
        return native

    def padded(self, part: Pixels, box: Box, colour: tuple[int, ...]) -> Pixels:
        """The square with `part` in its `box`, the rest as the padding says."""
        if part.shape[:2] == (self.size, self.size):
            return part
        below, right = self.size - box.top - box.height, self.size - box.left - box.width
        border = BORDERS.get(self.padding, cv2.BORDER_CONSTANT)
        filled = cv2.copyMakeBorder(part, box.top, below, box.left, right, border, value=colour)
        return filled.astype(np.uint8, copy=False)


def centred_box(height: int, width: int, of: Box) -> Box:
    """The part (height, width) in the middle of a picture; half a pixel nearer to the top left where it must be."""
    return Box((of.height - height) // 2, (of.width - width) // 2, height, width)


def resized(picture: NDArray[T], height: int, width: int) -> NDArray[T]:
    """The picture (H, W) or (H, W, 3) as (height, width): areas averaged along what shrinks, bilinear along what grows.

    In two steps, because OpenCV averages no areas as soon as one of the two axes grows.
    """
    least = (min(width, picture.shape[1]), min(height, picture.shape[0]))
    for size, how in ((least, cv2.INTER_AREA), ((width, height), cv2.INTER_LINEAR)):
        if size != (picture.shape[1], picture.shape[0]):
            picture = cv2.resize(picture, size, interpolation=how)  # type: ignore[assignment]
    return picture
