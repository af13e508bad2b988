"""What is drawn for a view, before anything is painted."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import ks_1samp, ks_2samp
from torchvision.transforms import RandomResizedCrop

from pretrain.views.draws import (
    GOLDEN,
    LUMA,
    NUMBERS,
    TRIES,
    ViewParameters,
    colour_matrices,
    crop,
    draw_views,
    inscribed,
    mixed,
    stretched,
    uniform_numbers,
)  # fmt: skip
from pretrain.views.view_presets import DERMOSCOPY, GEOMETRY, IMAGENET, VIEW_PRESETS, ViewPreset

Floats = NDArray[np.float64]
RARE = 1e-4  # the chance of a fair draw to fail a test of its distribution; the draws are fixed, so it never varies
MANY = 4000
WIDTH, HEIGHT = 341, 256


def draws(preset: ViewPreset, count: int = MANY, padded: bool = False, solarise: float = 0.0) -> ViewParameters:
    """The first views of `count` pictures of one size."""
    u = uniform_numbers(0, 0, np.arange(count), 0)
    sizes = np.tile([float(WIDTH), float(HEIGHT)], (count, 1))
    return draw_views(u, sizes, preset, area=preset.area, padded=padded, solarise=solarise)


# The numbers


@pytest.mark.parametrize(
    ("seed", "published"),
    [
        (0, [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]),
        (1234567, [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]),
    ],
)
def test_the_mixing_function_gives_the_published_sequence_of_splitmix64(seed: int, published: list[int]) -> None:
    with np.errstate(over="ignore"):
        states = np.uint64(seed) + GOLDEN * np.arange(len(published), dtype=np.uint64)
    assert mixed(states).tolist() == published


def test_a_view_s_numbers_are_such_a_sequence() -> None:
    """Each image's numbers are the outputs that follow one state, in their 53 upper bits."""
    word = 0
    for counter in (7, 3, 1, 5):  # seed, epoch, view, image
        word = next_output(word ^ counter)
    expected = [(next_output(word + int(GOLDEN) * place) >> 11) / 2**53 for place in range(NUMBERS)]
    assert uniform_numbers(7, 3, np.array([5]), 1)[0].tolist() == expected


def next_output(state: int) -> int:
    """SplitMix64 in plain integers."""
    z = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def test_numbers_are_uniform_in_every_slot() -> None:
    u = uniform_numbers(0, 0, np.arange(MANY), 0)
    assert u.min() >= 0
    assert u.max() < 1
    assert min(ks_1samp(u[:, slot], lambda x: x).pvalue for slot in range(NUMBERS)) > RARE / NUMBERS


def test_slots_are_independent() -> None:
    found = np.corrcoef(uniform_numbers(0, 0, np.arange(MANY), 0).T) - np.eye(NUMBERS)
    assert np.abs(found).max() < 5 / MANY**0.5  # five standard deviations


@pytest.mark.parametrize(
    ("other", "shift"),
    [((1, 0, 0), 0), ((0, 1, 0), 0), ((0, 0, 1), 0), ((0, 0, 0), 1), ((1, 1, 0), 0), ((2**40, 0, 0), 0)],
    ids=["seed", "epoch", "view", "image", "seed and epoch", "large seed"],
)
def test_neighbours_in_any_counter_are_independent(other: tuple[int, int, int], shift: int) -> None:
    seed, epoch, view = other
    here, there = uniform_numbers(0, 0, np.arange(MANY), 0), uniform_numbers(seed, epoch, np.arange(MANY) + shift, view)
    found = [np.corrcoef(here[:, slot], there[:, slot])[0, 1] for slot in range(NUMBERS)]
    assert np.abs(found).max() < 5 / MANY**0.5


def test_counters_are_not_confused_with_each_other() -> None:
    """A hash that only adds its counters up gives seed 1, epoch 0 the views of seed 0, epoch 1."""
    small = [
        (seed, epoch, image, view) for seed in range(4) for epoch in range(4) for image in range(4) for view in (0, 1)
    ]
    rows = [uniform_numbers(seed, epoch, np.array([image]), view)[0, 0] for seed, epoch, image, view in small]
    assert len(set(rows)) == len(small)


def test_an_image_s_numbers_do_not_depend_on_its_neighbours_in_the_batch() -> None:
    whole = uniform_numbers(3, 2, np.array([9, 4, 7]), 1)
    assert np.array_equal(whole[1:2], uniform_numbers(3, 2, np.array([4]), 1))


# Where a view lies


@pytest.mark.parametrize("size", [(341, 256), (256, 341), (256, 256), (600, 100)])
@pytest.mark.parametrize("area", [(0.08, 1.0), (0.35, 1.0), (0.05, 0.4)])
def test_a_crop_is_one_of_torchvision_s_random_resized_crop(size: tuple[int, int], area: tuple[float, float]) -> None:
    torch.manual_seed(0)
    picture = torch.empty(1, size[1], size[0])
    theirs = np.array([RandomResizedCrop.get_params(picture, list(area), [3 / 4, 4 / 3])[:1:-1] for _ in range(1000)])
    u = uniform_numbers(0, 0, np.arange(MANY), 0)[:, 20:]
    ours = crop(u, np.tile(np.array(size, float), (MANY, 1)), (3 / 4, 4 / 3), area)
    blunted = ours.round()  # theirs are whole pixels
    assert ks_2samp(blunted.prod(axis=1), theirs.prod(axis=1)).pvalue > RARE
    assert ks_2samp(blunted[:, 0] / blunted[:, 1], theirs[:, 0] / theirs[:, 1]).pvalue > RARE


def test_a_crop_lies_anywhere_in_its_picture_as_torchvision_s_does() -> None:
    torch.manual_seed(0)
    picture = torch.empty(1, HEIGHT, WIDTH)
    params = np.array([RandomResizedCrop.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(1000)])
    theirs = (params[:, 1] + params[:, 3] / 2) / WIDTH
    ours = (draws(IMAGENET).maps[:, 0, 2] + 1) / 2
    assert ks_2samp(ours, theirs).pvalue > RARE


def test_a_picture_that_no_crop_fits_gives_the_largest_of_an_allowed_ratio() -> None:
    u = np.full((1, 2 * TRIES), 0.999)
    [[width, height]] = crop(u, np.array([[600.0, 100.0]]), (3 / 4, 4 / 3), (0.35, 1.0))
    assert (width, height) == pytest.approx((400 / 3, 100))


def fits_inside(widths: Floats, heights: Floats, size: tuple[int, int], turn: float) -> NDArray[np.bool_]:
    """Which upright rectangles with the same centre lie in a picture that is turned."""
    corners = np.array([[widths, heights], [widths, -heights]]) / 2  # two of the four, the others lie opposite
    turned = np.einsum("ij,kjn->kin", [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]], corners)
    return (np.abs(turned) <= np.array(size)[:, None] / 2 + 1e-6).all(axis=(0, 1))


def largest_by_search(size: tuple[int, int], turn: float) -> float:
    """The area of the largest such rectangle: for each width, the height that just fits is found by halving."""
    widths = np.linspace(1, np.hypot(*size), 600)
    low, high = np.zeros(600), np.full(600, np.hypot(*size))
    for _ in range(30):
        middle = (low + high) / 2
        fits = fits_inside(widths, middle, size, turn)
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return float((widths * low).max())


@pytest.mark.parametrize("size", [(40, 30), (30, 40), (30, 30), (90, 20)])
@pytest.mark.parametrize("degrees", [-45, -20, 7, 30, 44.999])
def test_the_inscribed_rectangle_is_the_largest_one(size: tuple[int, int], degrees: float) -> None:
    turn = np.radians(degrees)
    [[width, height]] = inscribed(np.array([size], float), np.array([turn]))
    assert fits_inside(np.array([width]), np.array([height]), size, turn).all()
    assert width * height == pytest.approx(largest_by_search(size, turn), rel=0.01)


@pytest.mark.parametrize("size", [(40, 30), (30, 30)])
def test_a_picture_that_is_not_turned_is_its_own_inscribed_rectangle(size: tuple[int, int]) -> None:
    assert inscribed(np.array([size], float), np.zeros(1))[0] == pytest.approx(size)


def test_a_square_at_45_degrees_has_a_finite_rectangle() -> None:
    assert inscribed(np.array([[30.0, 30.0]]), np.radians([45.0]))[0] == pytest.approx([30 / 2**0.5] * 2)


def corners(maps: Floats) -> Floats:
    """Where the corners of views lie in their pictures, (N, 4, 2) in [-1, 1]."""
    own = np.array([(-1, -1, 1), (1, -1, 1), (-1, 1, 1), (1, 1, 1)], float)
    return own @ maps.transpose(0, 2, 1)


@pytest.mark.parametrize("preset", VIEW_PRESETS)
def test_without_padding_no_view_leaves_its_picture(preset: str) -> None:
    assert np.abs(corners(draws(VIEW_PRESETS[preset], padded=False).maps)).max() <= 1 + 1e-9


def test_with_padding_only_turned_views_leave_their_picture() -> None:
    leaves = np.abs(corners(draws(DERMOSCOPY, padded=True).maps)).max(axis=(1, 2)) > 1 + 1e-9
    turned = np.abs(angles(draws(DERMOSCOPY, padded=True).maps)) > 1e-6
    assert 0.2 < leaves.mean() < 0.5
    assert not leaves[~turned].any()


def test_padding_shows_larger_parts_and_changes_nothing_else_of_a_draw() -> None:
    padded, inside = draws(DERMOSCOPY, padded=True), draws(DERMOSCOPY, padded=False)
    assert np.array_equal(padded.factors, inside.factors)
    assert angles(padded.maps) == pytest.approx(angles(inside.maps))
    upright = np.abs(angles(padded.maps)) < 1e-6
    assert np.array_equal(padded.maps[upright], inside.maps[upright])
    assert areas(padded.maps)[~upright].mean() > 1.3 * areas(inside.maps)[~upright].mean()


def linear(maps: Floats) -> Floats:
    """From view to picture in pixels of the picture, (N, 2, 2)."""
    return maps[:, :, :2] * np.array([WIDTH, HEIGHT])[:, None]


def areas(maps: Floats) -> Floats:
    """Share of the picture that each view shows."""
    return np.abs(np.linalg.det(maps[:, :, :2]))


def angles(maps: Floats) -> Floats:
    """Degrees that a view's rows are turned from the nearest side of the picture, in [-45, 45]."""
    along = linear(maps)[:, :, 0]
    return (np.degrees(np.arctan2(along[:, 1], along[:, 0])) + 45) % 90 - 45


@pytest.mark.parametrize("preset", VIEW_PRESETS)
@pytest.mark.parametrize("padded", [True, False])
def test_a_view_is_no_slanted_part_of_its_picture(preset: str, padded: bool) -> None:
    along, across = np.moveaxis(linear(draws(VIEW_PRESETS[preset], padded=padded).maps), 2, 0)
    assert (along * across).sum(axis=1) == pytest.approx(0, abs=1e-6)


def test_dermoscopy_views_are_turned_half_of_the_time_and_by_any_angle() -> None:
    found = angles(draws(DERMOSCOPY).maps)
    turned = found[np.abs(found) > 1e-6]
    assert len(turned) / MANY == pytest.approx(0.5, abs=0.03)
    assert ks_1samp(turned / 90 + 0.5, lambda x: x).pvalue > RARE


@pytest.mark.parametrize("preset", [DERMOSCOPY, GEOMETRY], ids=["dermoscopy", "geometry"])
def test_views_of_lesions_have_no_up_and_no_handedness(preset: ViewPreset) -> None:
    """Each of the eight symmetries of the square is as likely."""
    maps = linear(draws(preset).maps)
    quarter = np.round(np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0])) / 90).astype(int) % 4
    mirrored = np.linalg.det(maps) < 0
    assert np.bincount(2 * quarter + mirrored, minlength=8) / MANY == pytest.approx(1 / 8, abs=0.02)


def test_imagenet_views_are_upright_and_half_of_them_mirrored() -> None:
    maps = linear(draws(IMAGENET).maps)
    assert (maps[:, [0, 1], [1, 0]] == 0).all()
    assert (maps[:, 1, 1] > 0).all()
    assert (maps[:, 0, 0] < 0).mean() == pytest.approx(0.5, abs=0.03)


def test_dermoscopy_has_no_tiny_crops_and_imagenet_has() -> None:
    maps = draws(DERMOSCOPY, padded=True).maps
    assert areas(maps).min() >= 0.35 - 1e-9
    assert 0.08 - 1e-9 <= areas(draws(IMAGENET).maps).min() < 0.09


def test_geometry_views_are_upright_or_on_their_side_and_show_two_thirds_or_more() -> None:
    maps = draws(GEOMETRY, padded=True).maps
    assert np.abs(angles(maps)).max() < 1e-6
    assert 0.67 - 1e-9 <= areas(maps).min() < 0.7


def test_geometry_leaves_every_pixel_its_colour() -> None:
    drawn = draws(GEOMETRY)
    matrices, shares = colour_matrices(drawn)
    assert np.array_equal(matrices, np.tile(np.eye(3), (MANY, 1, 1)))
    assert [part.any() for part in (shares, drawn.grey, drawn.sigma)] == [False] * 3


def test_dermoscopy_changes_less_than_imagenet_in_every_respect() -> None:
    mild, strong = draws(DERMOSCOPY), draws(IMAGENET)
    assert (mild.factors.std(axis=0) < strong.factors.std(axis=0)).all()
    assert (mild.grey.mean(), mild.sigma.mean()) < (strong.grey.mean(), strong.sigma.mean())


# What happens to its pixels


@pytest.mark.parametrize("preset", VIEW_PRESETS)
def test_colour_blur_and_solarisation_come_as_often_as_the_preset_says(preset: str) -> None:
    recipe, drawn = VIEW_PRESETS[preset], draws(VIEW_PRESETS[preset], solarise=0.2)
    jittered = (drawn.factors != [1, 1, 1, 0]).any(axis=1)
    assert jittered.mean() == pytest.approx(recipe.jittered, abs=0.03)
    assert drawn.grey.mean() == pytest.approx(recipe.grey, abs=0.03)
    assert (drawn.sigma > 0).mean() == pytest.approx(recipe.blurred, abs=0.03)
    assert drawn.solarised.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("preset", [name for name, recipe in VIEW_PRESETS.items() if recipe.jittered])
def test_factors_and_sigmas_are_uniform_over_their_ranges(preset: str) -> None:
    recipe, drawn = VIEW_PRESETS[preset], draws(VIEW_PRESETS[preset])
    jittered = drawn.factors[(drawn.factors != [1, 1, 1, 0]).any(axis=1)]
    ranges = (recipe.brightness, recipe.contrast, recipe.saturation, recipe.hue)
    pairs = [*zip(jittered.T, ranges, strict=True), (drawn.sigma[drawn.sigma > 0], recipe.sigma)]
    assert min(ks_1samp((x - low) / (high - low), lambda u: u).pvalue for x, (low, high) in pairs) > RARE


def test_every_order_of_the_four_changes_is_as_likely() -> None:
    orders, counts = np.unique(draws(IMAGENET).order, axis=0, return_counts=True)
    assert len(orders) == 24
    assert counts / MANY == pytest.approx(1 / 24, abs=0.015)


@pytest.mark.parametrize("preset", VIEW_PRESETS)
def test_what_is_drawn_together_is_independent(preset: str) -> None:
    """Albumentations' own seeding let all transforms draw the same numbers: what is turned is then always dark, say."""
    drawn = draws(VIEW_PRESETS[preset], padded=True, solarise=0.2)
    jittered = (drawn.factors != [1, 1, 1, 0]).any(axis=1)
    columns = [
        areas(drawn.maps), np.linalg.det(drawn.maps[:, :, :2]) < 0, *drawn.maps[:, :, 2].T,
        angles(drawn.maps), jittered, *drawn.factors.T, drawn.grey, drawn.sigma, drawn.solarised, *drawn.order[:, :2].T,
    ]  # fmt: skip
    varied = np.array([column for column in columns if np.ptp(np.float64(column))], float)
    found = np.corrcoef(varied) - np.eye(len(varied))
    found[-1, -2] = found[-2, -1] = 0  # what comes first does not come second
    assert np.abs(found).max() < 5 / MANY**0.5


def test_a_range_is_filled_from_end_to_end() -> None:
    assert stretched(np.array([0.0, 0.25, 1.0]), (0.35, 1.0)) == pytest.approx([0.35, 0.5125, 1.0])


def one(factors: tuple[float, float, float, float], grey: bool = False) -> ViewParameters:
    """A view of these changes of colour and of nothing else."""
    return ViewParameters(
        maps=np.eye(2, 3)[None], factors=np.array([factors]), order=np.arange(4)[None], grey=np.array([grey]),
        sigma=np.zeros(1), solarised=np.zeros(1, bool),
    )  # fmt: skip


def coloured(pixels: Floats, drawn: ViewParameters) -> Floats:
    """Pixels (P, 3) after the matrix of a view that they make up."""
    [matrix], [share] = colour_matrices(drawn)
    return pixels @ matrix.T + share * (pixels @ LUMA).mean()


def coloured_one_by_one(pixels: Floats, drawn: ViewParameters) -> Floats:
    """The same as torchvision's documentation has it: four blends one after the other, nothing clipped; no hue."""
    [[brightness, contrast, saturation, hue]] = drawn.factors
    assert hue == 0
    pixels = brightness * pixels
    pixels = contrast * pixels + (1 - contrast) * np.mean([np.dot(LUMA, pixel) for pixel in pixels])
    pixels = np.array([saturation * pixel + (1 - saturation) * np.dot(LUMA, pixel) for pixel in pixels])
    return np.array([[np.dot(LUMA, pixel)] * 3 for pixel in pixels]) if drawn.grey[0] else pixels


@pytest.mark.parametrize("factors", [(1.3, 1, 1, 0), (1, 0.6, 1, 0), (1, 1, 1.8, 0), (0.7, 1.4, 0.5, 0)])
@pytest.mark.parametrize("grey", [False, True])
def test_the_colour_matrix_does_what_its_changes_do_one_by_one(
    factors: tuple[float, float, float, float], grey: bool
) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 3))
    drawn = one(factors, grey)
    assert coloured(pixels, drawn) == pytest.approx(coloured_one_by_one(pixels, drawn))


def test_a_view_without_changes_keeps_its_colours() -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 3))
    assert coloured(pixels, one((1, 1, 1, 0))) == pytest.approx(pixels)


@pytest.mark.parametrize("turn", [-0.2, -0.02, 0.02, 0.2])
def test_a_turn_of_the_hue_keeps_every_grey_and_the_sum_of_channels(turn: float) -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 3))
    turned = coloured(pixels, one((1, 1, 1, turn)))
    assert turned.sum(axis=1) == pytest.approx(pixels.sum(axis=1))
    assert coloured(np.full((1, 3), 90.0), one((1, 1, 1, turn))) == pytest.approx(90)


def test_turns_of_the_hue_add_up_to_the_whole_circle() -> None:
    pixels = np.random.default_rng(0).uniform(0, 255, (20, 3))
    for _ in range(5):
        pixels_before, pixels = pixels, coloured(pixels, one((1, 1, 1, 0.2)))
        assert np.abs(pixels - pixels_before).max() > 20
    assert pixels == pytest.approx(np.random.default_rng(0).uniform(0, 255, (20, 3)))


@pytest.mark.parametrize("turn", [-0.2, -0.02, 0.02, 0.2])
@pytest.mark.parametrize("colour", [(205, 160, 140), (150, 90, 70), (90, 60, 110)])
def test_a_turn_of_the_hue_is_one_on_the_circle_of_hsv(turn: float, colour: tuple[int, int, int]) -> None:
    """To the 1.1 degrees by which HSV's hexagon and a circle differ at either end."""

    def hue(pixel: Floats) -> float:
        return float(cv2.cvtColor(np.float32([[pixel]]) / 255, cv2.COLOR_RGB2HSV)[0, 0, 0]) / 360

    turned = coloured(np.array([colour], float), one((1, 1, 1, turn)))[0]
    assert (hue(turned) - hue(np.array(colour)) + 0.5) % 1 - 0.5 == pytest.approx(turn, abs=2.2 / 360)


def test_a_third_of_a_turn_swaps_the_channels() -> None:
    assert coloured(np.array([[10.0, 20.0, 30.0]]), one((1, 1, 1, 1 / 3)))[0] == pytest.approx([30, 10, 20])


def test_a_batch_of_matrices_is_that_of_each_view() -> None:
    drawn = draws(IMAGENET, count=20)
    matrices, shares = colour_matrices(drawn)
    for place in range(20):
        alone = ViewParameters(*(part[place : place + 1] for part in vars(drawn).values()))
        assert colour_matrices(alone)[0][0] == pytest.approx(matrices[place])
        assert colour_matrices(alone)[1][0] == pytest.approx(shares[place])
