"""What each view is drawn to be, as a function of (seed, epoch, image, view) and of nothing else.

The numbers are drawn here, on the CPU, for whichever engine paints the views: so a run shows the same views on a CPU
and on a GPU, with any number of workers, processes and images in a batch, and a GPU is never asked what was drawn.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pretrain.views.view_presets import Range, ViewPreset

Floats = NDArray[np.float64]
TRIES = (
    10  # crops of the drawn area and ratio that may reach beyond the picture before the largest is taken (torchvision)
)
NUMBERS = 20 + 2 * TRIES  # uniform numbers that each view takes
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
LUMA = np.array([0.299, 0.587, 0.114])  # grey as ITU-R 601 has it
ACROSS = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])  # the cross product with (1, 1, 1), the axis of grey


@dataclass(frozen=True)
class ViewParameters:
    """What was drawn for N views, whatever picture each is of."""

    maps: Floats
    """(N, 2, 3): (x, y, 1) of the view, in [-1, 1] from its left upper to its right lower edge -> the picture's."""
    factors: Floats
    """(N, 4): factors of brightness, contrast and saturation, and the turn of the hue."""
    order: NDArray[np.int64]
    """(N, 4): which of these comes first, second, ...; for those who take them one after the other."""
    grey: NDArray[np.bool_]
    sigma: Floats
    """Standard deviation of the blur, pixels; 0 for no blur."""
    solarised: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.maps)


def mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Steele, Lea and Flood's SplitMix64 (2014): near words give unrelated ones."""
    words = words + GOLDEN
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def uniform_numbers(seed: int, epoch: int, images: NDArray[np.int64], view: int) -> Floats:
    """Uniform numbers in [0, 1) for one view of each image, (N, NUMBERS)."""
    word = np.zeros(1, np.uint64)
    for counter in (seed, epoch, view):
        word = mixed(word ^ np.uint64(counter))
    own = mixed(word ^ images.astype(np.uint64))  # (N,)
    stream = mixed(own[:, None] + GOLDEN * np.arange(NUMBERS, dtype=np.uint64))  # (N, NUMBERS)
    return np.asarray((stream >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def stretched(share: Floats, limits: Range) -> Floats:
    """Numbers in [0, 1) stretched to a range."""
    return limits[0] + share * (limits[1] - limits[0])


def draw_views(
    u: Floats, sizes: Floats, preset: ViewPreset, *, area: Range, padded: bool, solarise: float
) -> ViewParameters:
    """Turns uniform numbers into views.

    Args:
        u: (N, NUMBERS) in [0, 1).
        sizes: Width and height of the picture that each is a view of, (N, 2).
        preset: The recipe.
        area: Share of the picture that a view shows.
        padded: Whether a turned crop may reach beyond the picture; if not, it is cut from the largest upright rectangle
            inside the turned picture.
        solarise: Probability of inverting bright pixels.
    """
    limits = (preset.brightness, preset.contrast, preset.saturation, preset.hue)
    factors = np.stack([stretched(u[:, 6 + i], limits[i]) for i in range(4)], axis=1)
    jittered = (u[:, 5] < preset.jittered)[:, None]
    return ViewParameters(
        maps=maps(u, sizes, preset, area, padded),
        factors=np.where(jittered, factors, [1.0, 1.0, 1.0, 0.0]),
        order=u[:, 10:14].argsort(axis=1),
        grey=u[:, 14] < preset.grey,
        sigma=np.where(u[:, 15] < preset.blurred, stretched(u[:, 16], preset.sigma), 0.0),
        solarised=u[:, 17] < solarise,
    )


def maps(u: Floats, sizes: Floats, preset: ViewPreset, area: Range, padded: bool) -> Floats:
    """From a view's coordinates to its picture's, (N, 2, 3): mirror, crop, turn."""
    turn = np.where(u[:, 3] < preset.turned, np.radians(stretched(u[:, 4], (-preset.turn, preset.turn))), 0.0)
    frame = sizes if padded else inscribed(sizes, turn)
    box = crop(u[:, 20:], frame, preset.ratio, area)  # (N, 2), pixels
    centre = (u[:, 18:20] - 0.5) * (frame - box)
    cos, sin = np.cos(turn), np.sin(turn)
    rotation = np.stack([cos, -sin, sin, cos], axis=1).reshape(-1, 2, 2)
    to_pixels = np.concatenate([box[:, :, None] / 2 * mirrored(u, preset), centre[:, :, None]], axis=2)
    return np.asarray(rotation @ to_pixels * 2 / sizes[:, :, None])


def mirrored(u: Floats, preset: ViewPreset) -> Floats:
    """The symmetry of the square that each view begins with, (N, 2, 2) of 0, 1 and -1."""
    flips = np.where(u[:, :2] < 0.5, -1.0, 1.0)  # left to right, top to bottom
    if not preset.symmetries:
        flips[:, 1] = 1
    upright = flips[:, :, None] * np.eye(2)
    transposed = (u[:, 2] < 0.5)[:, None, None] if preset.symmetries else np.zeros((len(u), 1, 1), bool)
    return np.where(transposed, upright[:, ::-1], upright)


def crop(u: Floats, frame: Floats, ratio: Range, area: Range) -> Floats:
    """Width and height of a crop of the frame, (N, 2), by torchvision's RandomResizedCrop: the first of ten that fits.

    Where none fits it is the largest of an allowed ratio.
    """
    shares = stretched(u[:, :TRIES], area) * frame.prod(axis=1)[:, None]  # (N, TRIES), square pixels
    ratios = np.exp(stretched(u[:, TRIES : 2 * TRIES], (np.log(ratio[0]), np.log(ratio[1]))))
    boxes = np.sqrt(np.stack([shares * ratios, shares / ratios], axis=2))  # (N, TRIES, 2)
    fits = (boxes <= frame[:, None]).all(axis=2)
    first = boxes[np.arange(len(u)), fits.argmax(axis=1)]
    width, height = frame[:, 0], frame[:, 1]
    largest = np.stack([np.minimum(width, height * ratio[1]), np.minimum(height, width / ratio[0])], axis=1)
    return np.where(fits.any(axis=1)[:, None], first, largest)


def inscribed(sizes: Floats, turn: Floats) -> Floats:
    """Width and height of the largest upright rectangle inside a picture that is turned, (N, 2).

    Two of its corners touch the same side of the picture where that is short, else all four touch one each.
    """
    width, height = sizes[:, 0], sizes[:, 1]
    sin, cos = np.abs(np.sin(turn)), np.abs(np.cos(turn))
    short, long = np.minimum(width, height), np.maximum(width, height)
    two = short <= 2 * sin * cos * long * (1 + 1e-9)  # a square at 45 degrees is both, and only this one is finite
    with np.errstate(divide="ignore", invalid="ignore"):
        along, across = short / 2 / sin, short / 2 / cos
        wide = width >= height
        by_two = np.stack([np.where(wide, along, across), np.where(wide, across, along)], axis=1)
        square = cos**2 - sin**2
        by_four = np.stack([(width * cos - height * sin) / square, (height * cos - width * sin) / square], axis=1)
    return np.where(two[:, None], by_two, by_four)


def colour_matrices(views: ViewParameters) -> tuple[Floats, Floats]:
    """All changes of colour as one matrix a view, (N, 3, 3), and the share of its mean grey to add, (N,).

    Brightness, contrast, saturation and hue in this order, then grey. Contrast pulls towards the mean grey of the view,
    which only its painter knows: b (1 - c) of it is to be added to each channel. The hue turns about the grey axis,
    by HSV's angle to a hundredth of a turn; the largest channel moves, which in HSV stays. Nothing is clipped in
    between, so nothing is lost before the end.
    """
    brightness, contrast, saturation, hue = views.factors.T
    to_grey = np.tile(LUMA, (3, 1))  # (3, 3)
    angle = 2 * np.pi * hue[:, None, None]
    turned = np.cos(angle) * np.eye(3) + (1 - np.cos(angle)) / 3 + np.sin(angle) / np.sqrt(3) * ACROSS  # Rodrigues
    saturated = saturation[:, None, None] * np.eye(3) + (1 - saturation)[:, None, None] * to_grey
    whole = turned @ saturated * (brightness * contrast)[:, None, None]
    matrices = np.where(views.grey[:, None, None], to_grey @ whole, whole)
    return np.asarray(matrices), np.asarray(brightness * (1 - contrast))
