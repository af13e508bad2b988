from collections.abc import Callable
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.data.images import skin_colour
from finetune.augmentation.fit import Fit, resized
from finetune.options.augment import FitName, Padding

Picture = NDArray[np.uint8]
FITS, PADDINGS = get_args(FitName), get_args(Padding)
SHAPES = [(450, 600), (600, 450), (256, 256), (200, 600), (601, 200), (97, 131), (48, 64), (33, 20)]
every_fit = pytest.mark.parametrize("name", FITS)
every_awkward_shape = pytest.mark.parametrize("shape", [(450, 600), (601, 200), (33, 20)], ids=str)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[1]}x{shape[0]}")


def ellipse(height: int, width: int, x: float = 0.5, y: float = 0.5, radius: float = 0.2) -> Picture:
    """A mask of an ellipse at (x, y), shares of the sides."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    side = min(height, width)
    inside = ((columns - x * width) / side) ** 2 + 2 * ((rows - y * height) / side) ** 2 < radius**2
    return inside.astype(np.uint8)


def centre(mask: NDArray[np.generic]) -> NDArray[np.float64]:
    """The mean (x, y) of a mask, in pixels from the corner of the picture."""
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()]) + 0.5


def expected_map(name: FitName, height: int, width: int, size: int) -> Callable[[NDArray[np.float64]], NDArray]:
    """Where a point (x, y) of the picture lies in the square, as the papers' arithmetic has it."""
    sides = np.array([width, height])
    if name == "resize":
        return lambda point: point * size / sides
    side = max(sides) if name == "letterbox" else min(sides)
    return lambda point: (point - sides / 2) * size / side + size / 2


@every_fit
@pytest.mark.parametrize("size", [64, 256])
def test_a_lesion_lies_where_the_affine_map_says_to_half_a_pixel(name: FitName, size: int) -> None:
    off = {}
    for height, width in SHAPES:
        mask = ellipse(height, width, x=0.45, y=0.55)
        there = centre(Fit(name, size, "skin").square_mask(mask))
        # A letterbox lies on whole pixels of the square, a crop on whole ones of the picture, and so do masks' edges.
        half = {"resize": 0, "letterbox": 0.5, "crop": size / min(height, width) / 2}[name]
        gap = np.abs(there - expected_map(name, height, width, size)(centre(mask))).max()
        if not gap < half + 0.2:
            off[height, width] = gap
    assert off == {}


@every_fit
@every_awkward_shape
def test_a_lesion_comes_back_to_half_a_pixel_and_whole(name: FitName, shape: tuple[int, int]) -> None:
    mask, fit = ellipse(*shape, x=0.45, y=0.55), Fit(name, 256, "skin")
    back = fit.native(fit.square_mask(mask).astype(np.float32), *shape) > 0.5
    assert back.shape == shape
    assert np.abs(centre(back) - centre(mask)).max() < 0.5
    iou = (back & (mask > 0)).sum() / (back | (mask > 0)).sum()
    assert iou > (0.95 if min(shape) >= 90 else 0.9)  # of thirty pixels across, a rim is a tenth


@every_shape
@pytest.mark.parametrize("name", ["resize", "letterbox"])
def test_a_ramp_comes_back_as_the_ramp_that_it_was(name: FitName, shape: tuple[int, int]) -> None:
    """Bilinear scaling keeps a plane; what is compared lies half a pixel of the square within the picture."""
    height, width = shape
    rows, columns = np.mgrid[:height, :width] + 0.5
    ramp = (0.2 + 0.3 * columns / width + 0.4 * rows / height).astype(np.float32)
    fit = Fit(name, 128, "skin")
    box = fit.boxes(height, width)[1]
    square = np.full((128, 128), 9, np.float32)
    y, x = np.mgrid[: box.height, : box.width] + 0.5
    square[box.slices] = 0.2 + 0.3 * x / box.width + 0.4 * y / box.height
    margin = int(np.ceil(max(height / box.height, width / box.width)))
    inner = (slice(margin, -margin), slice(margin, -margin))
    assert np.abs(fit.native(square, height, width) - ramp)[inner].max() < 3e-4  # a pixel is 2e-3


@every_shape
def test_what_a_letterbox_adds_carries_no_probability(shape: tuple[int, int]) -> None:
    fit = Fit("letterbox", 96, "black")
    square = np.ones((96, 96), np.float32)
    square[fit.boxes(*shape)[1].slices] = 0
    assert fit.native(square, *shape).max() == 0


@every_shape
def test_what_a_crop_does_not_show_has_no_probability_and_the_rest_all(shape: tuple[int, int]) -> None:
    native = Fit("crop", 96, "skin").native(np.ones((96, 96), np.float32), *shape)
    side = min(shape)
    assert native.shape == shape
    assert native.sum() == side * side
    rows, columns = (np.flatnonzero(native.any(axis=axis)) for axis in (1, 0))
    for shown, length in ((rows, shape[0]), (columns, shape[1])):
        assert abs((shown[0] + shown[-1] + 1) - length) <= 1  # in the middle


WIDE = np.array([[1, 0, 0, 1], [0, 0, 1, 0]], np.uint8)
FILLED = {
    "edge": [[1, 0, 0, 1], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 0]],
    "reflect": [[0, 0, 1, 0], [1, 0, 0, 1], [0, 0, 1, 0], [1, 0, 0, 1]],
    "skin": [[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]],
    "black": [[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]],
    "none": [[0, 0, 0, 0], [1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 0, 0]],
}


@pytest.mark.parametrize("padding", PADDINGS)
def test_a_letterbox_fills_a_mask_as_its_padding_says(padding: Padding) -> None:
    assert Fit("letterbox", 4, padding).square_mask(WIDE).tolist() == FILLED[padding]
    assert Fit("letterbox", 4, padding).square_mask(WIDE.T).tolist() == np.transpose(FILLED[padding]).tolist()


@pytest.mark.parametrize("padding", ["edge", "reflect"])
def test_a_letterbox_fills_a_picture_as_it_fills_its_mask(padding: Padding) -> None:
    fit = Fit("letterbox", 4, padding)
    picture = np.repeat(WIDE[..., None] * np.uint8(200), 3, axis=-1)
    assert np.array_equal(fit.square(picture)[..., 0] // 200, fit.square_mask(WIDE))


@pytest.mark.parametrize(("padding", "colour"), [("black", 0), ("skin", 180), ("none", 180)])
def test_a_letterbox_is_filled_with_black_or_with_the_colour_of_the_rim(padding: Padding, colour: int) -> None:
    picture = np.full((40, 80, 3), 180, np.uint8)
    picture[10:30, 20:60] = 60
    square = Fit("letterbox", 80, padding).square(picture)
    assert np.array_equal(square[20:60], picture)
    assert set(np.unique(square[:20])) == set(np.unique(square[60:])) == {colour}
    assert skin_colour(picture) == (180, 180, 180)


def test_a_crop_shows_the_middle_to_the_pixel() -> None:
    picture = np.arange(4 * 8, dtype=np.uint8).reshape(4, 8)
    mask = np.zeros((4, 8), np.uint8)
    mask[1, 2] = 1
    three = np.repeat(picture[..., None], 3, axis=-1)
    assert np.array_equal(Fit("crop", 4, "skin").square(three)[..., 0], picture[:, 2:6])
    assert Fit("crop", 4, "skin").square_mask(mask).tolist() == [[0] * 4, [1, 0, 0, 0], [0] * 4, [0] * 4]


# Paddings fill a letterbox alone.
@pytest.mark.parametrize(
    ("name", "padding"), [("resize", "skin"), ("crop", "skin"), *(("letterbox", padding) for padding in PADDINGS)]
)
def test_squares_are_uint8_and_masks_hold_0_and_1(name: FitName, padding: Padding) -> None:
    rng, fit, squares = np.random.default_rng(0), Fit(name, 64, padding), {}
    for shape in SHAPES:
        picture = fit.square(rng.integers(0, 256, (*shape, 3), dtype=np.uint8))
        mask = fit.square_mask(ellipse(*shape))
        squares[shape] = picture.shape, picture.dtype, mask.shape, mask.dtype, set(np.unique(mask))
    expected = (64, 64, 3), np.uint8, (64, 64), np.uint8, {0, 1}
    assert {shape: square for shape, square in squares.items() if square != expected} == {}


@every_fit
def test_a_square_of_the_networks_size_is_left_as_it_is_both_ways(name: FitName) -> None:
    rng = np.random.default_rng(0)
    picture, probability = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), rng.random((32, 32), np.float32)
    fit = Fit(name, 32, "black")
    assert np.array_equal(fit.square(picture), picture)
    assert np.array_equal(fit.native(probability, 32, 32), probability)


@every_fit
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
def test_a_line_of_pixels_goes_there_and_back(name: FitName, shape: tuple[int, int]) -> None:
    fit = Fit(name, 32, "reflect")
    assert fit.square(np.full((*shape, 3), 7, np.uint8)).shape == (32, 32, 3)
    assert fit.native(fit.square_mask(np.ones(shape, np.uint8)).astype(np.float32), *shape).max() == 1


def weights(before: int, after: int) -> NDArray[np.float64]:
    """Row i: what output pixel i takes of each input pixel; overlap of areas if it shrinks, else between centres."""
    matrix = np.zeros((after, before))
    for i in range(after):
        for j in range(before):
            if after <= before:
                matrix[i, j] = max(0, min((i + 1) * before / after, j + 1) - max(i * before / after, j))
            else:
                where = np.clip((i + 0.5) * before / after - 0.5, 0, before - 1)
                matrix[i, j] = max(0, 1 - abs(where - j))
    return matrix / matrix.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("before", [(12, 20), (7, 9), (30, 6)])
@pytest.mark.parametrize("after", [(8, 8), (15, 11), (7, 30)])
def test_what_shrinks_is_averaged_and_what_grows_is_bilinear_each_axis_on_its_own(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    picture = np.random.default_rng(0).random(before).astype(np.float32)
    expected = weights(before[0], after[0]) @ picture @ weights(before[1], after[1]).T
    assert np.abs(resized(picture, *after) - expected).max() < 1e-5


def test_a_half_covered_pixel_is_lesion_or_not_and_never_between() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :33] = 1
    small = Fit("resize", 32, "skin").square_mask(mask)
    assert set(np.unique(small)) == {0, 1}
    assert small[0].sum() in (16, 17)


def test_a_thin_hair_is_averaged_and_not_missed() -> None:
    picture = np.full((256, 256, 3), 200, np.uint8)
    cv2.line(picture, (0, 101), (255, 101), (0, 0, 0), 1)
    assert Fit("resize", 32, "skin").square(picture)[12].max() == 175  # a line of eight
