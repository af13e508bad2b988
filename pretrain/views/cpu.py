"""The views as the CPU paints them: OpenCV, one after the other, straight from the pixel cache."""

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels, skin_colour
from dermssl.data.pixel_cache import PixelCache
from pretrain.views.draws import LUMA, Floats, ViewParameters, colour_matrices

BORDERS = {
    "none": cv2.BORDER_REPLICATE,  # nothing beyond is shown but half a pixel
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "skin": cv2.BORDER_CONSTANT,
    "black": cv2.BORDER_CONSTANT,
}
NO_COLOUR = np.tile(LUMA, (3, 1))
LEVELS = np.arange(256, dtype=np.float64)


class CpuPainter:
    """Paints views of the pictures of a cache.

    Args:
        pixels: The pictures.
        padding: What lies beyond a picture.
        colour: `matrix`, or `sequential`.
    """

    def __init__(self, pixels: PixelCache, padding: str, colour: str) -> None:
        self.pixels, self.padding, self.colour = pixels, padding, colour

    def paint(self, views: ViewParameters, images: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
        """Views of `images`, (N,), as (N, size, size, 3)."""
        painted = np.empty((len(views), size, size, 3), np.uint8)
        matrices, shares = colour_matrices(views)
        for place, image in enumerate(images):
            cut = self.cut(np.asarray(self.pixels[int(image)]), views.maps[place], size)
            if self.colour == "matrix":
                offset = np.full((3, 1), shares[place] * mean_grey(cut))
                cut = cv2.transform(cut, np.hstack([matrices[place], offset])).astype(np.uint8, copy=False)
            else:
                cut = one_by_one(cut, views, place)
            painted[place] = blurred_and_solarised(cut, float(views.sigma[place]), bool(views.solarised[place]))
        return painted

    def cut(self, picture: Pixels, to_picture: Floats, size: int) -> Pixels:
        """The part of a picture that a view shows, (size, size, 3)."""
        colour = skin_colour(picture) if self.padding == "skin" else (0, 0, 0)
        where = in_pixels(to_picture, picture.shape[1], picture.shape[0], size)
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cut = cv2.warpAffine(
            picture, where, (size, size), flags=how, borderMode=BORDERS[self.padding], borderValue=colour
        )
        return cut.astype(np.uint8, copy=False)


def in_pixels(to_picture: Floats, width: int, height: int, size: int) -> Floats:
    """The same map between the centres of pixels, counted from 0."""
    scale = np.array([width, height]) / 2
    matrix = to_picture[:, :2] * scale[:, None] * 2 / size
    corner = to_picture[:, :2] @ np.full(2, 1 / size - 1) + to_picture[:, 2]  # the first pixel's centre
    offset = (corner + 1) * scale - 0.5
    return np.hstack([matrix, offset[:, None]])


def mean_grey(picture: Pixels) -> float:
    """The mean over pixels of their grey."""
    return float(LUMA @ cv2.mean(picture)[:3])


def one_by_one(picture: Pixels, views: ViewParameters, place: int) -> Pixels:
    """The changes of colour in their drawn order, each rounded and clipped, as torchvision's ColorJitter does."""
    factors = views.factors[place].tolist()
    if factors != [1, 1, 1, 0]:
        for kind in views.order[place]:
            picture = CHANGES[kind](picture, factors[kind])
    if views.grey[place]:
        picture = cv2.transform(picture, NO_COLOUR).astype(np.uint8, copy=False)
    return picture


def by_table(picture: Pixels, levels: Floats) -> Pixels:
    """Every channel's values replaced by those that a table gives for them, (256,)."""
    return cv2.LUT(picture, levels.round().clip(0, 255).astype(np.uint8)).astype(np.uint8, copy=False)


def scale_brightness(picture: Pixels, factor: float) -> Pixels:
    """Towards black below 1."""
    return by_table(picture, LEVELS * factor)


def scale_contrast(picture: Pixels, factor: float) -> Pixels:
    """Towards the mean grey of the view below 1."""
    mean = round(mean_grey(picture))
    return by_table(picture, mean + (LEVELS - mean) * factor)


def scale_saturation(picture: Pixels, factor: float) -> Pixels:
    """Towards each pixel's grey below 1."""
    matrix = factor * np.eye(3) + (1 - factor) * NO_COLOUR
    return cv2.transform(picture, matrix).astype(np.uint8, copy=False)


def turn_hue(picture: Pixels, turns: float) -> Pixels:
    """Turned on the colour circle of HSV, in 256 steps as PIL has them."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL)
    hsv[..., 0] += np.uint8(round(256 * turns) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL).astype(np.uint8, copy=False)


CHANGES = (scale_brightness, scale_contrast, scale_saturation, turn_hue)  # as `ViewParameters.factors` has them


def blurred_and_solarised(picture: Pixels, sigma: float, solarised: bool) -> Pixels:
    """Blurred and solarised where that was drawn."""
    if sigma:
        width = 2 * int(np.ceil(3 * sigma)) + 1
        blurred = cv2.GaussianBlur(picture, (width, width), sigma, borderType=cv2.BORDER_REFLECT_101)
        picture = blurred.astype(np.uint8, copy=False)
    if solarised:
        picture = np.where(picture < 128, picture, 255 - picture)
    return picture
