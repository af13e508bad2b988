"""Both engines paint the same views; the GPU's runs on a CPU as well, and so it is held against OpenCV here."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms import functional as torchvision

from dermssl.data.images import skin_colour
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import PixelCache, cached_images
from dermssl.synthetic.dataset import draw_image
from pretrain.views import colour
from pretrain.views import cpu as cpu_views
from pretrain.views.cpu import CpuPainter
from pretrain.views.draws import ViewParameters, draw_views, uniform_numbers
from pretrain.views.gpu import GpuPainter, blur, gaussians, within
from pretrain.views.view_presets import VIEW_PRESETS

Picture = NDArray[np.uint8]
Keep = Callable[[list[Picture]], PixelCache]
Painter = CpuPainter | GpuPainter
CPU = torch.device("cpu")
PADDINGS = ("none", "skin", "black", "reflect", "edge")
SIZE = 48
TURNED = np.array([[0.9, -0.7, 0.5], [0.7, 0.9, 0.3]])  # shows two corners of what lies beyond
both_engines = pytest.mark.parametrize("engine", [CpuPainter, lambda *of: GpuPainter(*of, CPU)], ids=["cpu", "gpu"])


@pytest.fixture(scope="module")
def lesions(keep: Keep) -> PixelCache:
    """Drawn lesions of three shapes."""
    return keep([draw_image(0, index, 96).image[: 96 - 10 * index, : 60 + 12 * index] for index in range(3)])


@pytest.fixture(scope="module")
def noise(keep: Keep) -> PixelCache:
    """The hardest pictures to agree on: no pixel says anything of the next one."""
    rng = np.random.default_rng(0)
    return keep([rng.integers(0, 256, (50 + 7 * index, 70, 3), dtype=np.uint8) for index in range(3)])


def drawn(pixels: PixelCache, images: NDArray[np.int64], preset: str, padding: str) -> ViewParameters:
    """A view of each image with everything in it that a preset has, solarisation too."""
    sizes = pixels.shapes[images, 1::-1].astype(float)
    u = np.concatenate([uniform_numbers(0, epoch, images[epoch : epoch + 1], 0) for epoch in range(len(images))])
    recipe = VIEW_PRESETS[preset]
    return draw_views(u, sizes, recipe, area=recipe.area, padded=padding != "none", solarise=0.3)


def plain(count: int = 1, maps: NDArray[np.float64] | None = None, **changed: NDArray[np.generic]) -> ViewParameters:
    """Views of whole pictures, or of parts of them, without any other change than those named."""
    fields = {
        "maps": np.broadcast_to(np.eye(2, 3) if maps is None else maps, (count, 2, 3)).copy(),
        "factors": np.tile([1.0, 1.0, 1.0, 0.0], (count, 1)),
        "order": np.tile(np.arange(4), (count, 1)),
        "grey": np.zeros(count, bool),
        "sigma": np.zeros(count),
        "solarised": np.zeros(count, bool),
    }
    return ViewParameters(**(fields | changed))  # type: ignore[arg-type]


def painted(painter: Painter, views: ViewParameters, images: NDArray[np.int64], size: int = SIZE) -> Picture:
    """What a painter gives, (N, size, size, 3)."""
    found = painter.paint(views, images, size)
    return found.permute(0, 2, 3, 1).numpy() if isinstance(found, Tensor) else found


def gap(one: Picture, other: Picture) -> NDArray[np.float64]:
    """The mean distance of each view's pixels, grey levels, (N,)."""
    return np.abs(one.astype(float) - other).mean(axis=(1, 2, 3))


# The two engines


# Least to most: `matrix` rounds alike but for cv2's kernels of 8 bits. One by one the hue is turned on PIL's 256 steps
# by OpenCV and exactly by torch, and what follows may stretch that step; 180 steps would not pass.
@pytest.mark.parametrize(("colour", "mean", "most"), [("matrix", 0.1, 0.4), ("sequential", 0.5, 2.0)])
@pytest.mark.parametrize(
    ("pictures", "preset", "padding"),
    [
        *(("noise", "dermoscopy", padding) for padding in PADDINGS),
        *(("noise", preset, "reflect") for preset in VIEW_PRESETS if preset != "dermoscopy"),
        *(("lesions", preset, "skin") for preset in VIEW_PRESETS),
    ],
)
def test_the_engines_paint_the_same_views(
    colour: str, mean: float, most: float, pictures: str, preset: str, padding: str, request: pytest.FixtureRequest
) -> None:
    pixels: PixelCache = request.getfixturevalue(pictures)
    images = np.arange(24) % 3
    views = drawn(pixels, images, preset, padding)
    cpu = painted(CpuPainter(pixels, padding, colour), views, images)
    gpu = painted(GpuPainter(pixels, padding, colour, CPU), views, images)
    assert gap(cpu, gpu).mean() < mean
    assert gap(cpu, gpu).max() < most


def test_views_of_different_images_are_further_apart_than_the_engines(lesions: PixelCache) -> None:
    """What the test above would say if the engines mixed up their images."""
    images = np.arange(24) % 3
    views = drawn(lesions, images, "dermoscopy", "skin")
    gpu = GpuPainter(lesions, "skin", "matrix", CPU)
    whole = ViewParameters(*(np.roll(part, 1, axis=0) for part in vars(views).values()))
    assert gap(painted(gpu, views, images), painted(gpu, whole, images)).mean() > 10


@pytest.mark.parametrize("padding", PADDINGS)
def test_pixels_that_are_brought_give_the_views_of_resident_ones(lesions: PixelCache, padding: str) -> None:
    images = np.array([2, 0, 1, 0, 2, 2])
    views = drawn(lesions, images, "dermoscopy", padding)
    painter = GpuPainter(lesions, padding, "matrix", CPU)
    resident = painted(painter, views, images)
    painter.resident = None
    assert np.array_equal(painted(painter, views, images), resident)


def test_a_picture_of_several_views_is_brought_once(lesions: PixelCache) -> None:
    flat, starts = GpuPainter(lesions, "none", "matrix", CPU).bring(np.array([2, 0, 2, 0]))
    assert len(flat) == lesions[0].size + lesions[2].size
    assert starts.tolist() == [lesions[0].size, 0, lesions[0].size, 0]


def test_a_cache_on_the_disk_is_copied_without_a_warning(
    draw_photographs: Callable[..., Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A memory map cannot be written to, and torch warns of sharing one; else once in a program, here always."""
    request.addfinalizer(lambda: torch.set_warn_always(False))
    torch.set_warn_always(True)
    pixels = cached_images(read_manifest(draw_photographs(tmp_path / "data", count=3)), 40)
    assert not pixels.pixels.flags.writeable
    views, images = plain(3), np.arange(3)
    shown = painted(GpuPainter(pixels, "skin", "matrix", CPU), views, images)
    assert gap(shown, painted(CpuPainter(pixels, "skin", "matrix"), views, images)).max() < 0.1


def test_rows_taken_from_a_cache_are_those_that_are_shown(lesions: PixelCache) -> None:
    taken = lesions.take([2, 0])
    shown = painted(GpuPainter(taken, "none", "matrix", CPU), plain(2), np.array([0, 1]))
    whole = painted(GpuPainter(lesions, "none", "matrix", CPU), plain(2), np.array([2, 0]))
    assert np.array_equal(shown, whole)


@both_engines
@pytest.mark.parametrize("colour", ["matrix", "sequential"])
def test_a_view_is_the_same_alone_and_in_a_batch(
    engine: Callable[..., Painter], colour: str, lesions: PixelCache
) -> None:
    images = np.arange(12) % 3
    views = drawn(lesions, images, "imagenet", "none")
    painter = engine(lesions, "none", colour)
    whole = painted(painter, views, images)
    for place in range(12):
        alone = ViewParameters(*(part[place : place + 1] for part in vars(views).values()))
        assert np.abs(painted(painter, alone, images[place : place + 1])[0].astype(int) - whole[place]).max() <= 1


# Where the pixels come from


@both_engines
@pytest.mark.parametrize("padding", PADDINGS)
def test_the_whole_picture_at_its_own_size_is_the_picture(
    engine: Callable[..., Painter], padding: str, keep: Keep
) -> None:
    square = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    assert np.array_equal(painted(engine(keep([square]), padding, "matrix"), plain(), np.array([0]))[0], square)


@both_engines
def test_a_map_of_half_the_picture_shows_that_half(engine: Callable[..., Painter], keep: Keep) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (2 * SIZE, 2 * SIZE, 3), dtype=np.uint8)
    right_lower = np.array([[0.5, 0, 0.5], [0, 0.5, 0.5]])
    shown = painted(engine(keep([picture]), "none", "matrix"), plain(maps=right_lower), np.array([0]))[0]
    assert np.array_equal(shown, picture[SIZE:, SIZE:])


@both_engines
def test_a_map_that_mirrors_and_turns_does_so_to_the_pixel(engine: Callable[..., Painter], keep: Keep) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    painter = engine(keep([picture]), "none", "matrix")
    for matrix, expected in (
        ([[-1, 0], [0, 1]], picture[:, ::-1]),
        ([[1, 0], [0, -1]], picture[::-1]),
        ([[0, 1], [1, 0]], picture.transpose(1, 0, 2)),
        ([[0, -1], [1, 0]], np.rot90(picture)),
    ):
        maps = np.hstack([np.array(matrix, float), np.zeros((2, 1))])
        [shown] = painted(painter, plain(maps=maps), np.array([0]))
        assert np.array_equal(shown, expected)


def beyond() -> NDArray[np.bool_]:
    """Which pixels of a view by TURNED lie at least a pixel of the picture beyond it."""
    x, y = there()
    return (np.abs(x) > 1 + 2 / SIZE) | (np.abs(y) > 1 + 2 / SIZE)


def there() -> NDArray[np.float64]:
    """Where the pixels of a view by TURNED lie, (2, SIZE, SIZE), in [-1, 1] where they are within their picture."""
    steps = (np.arange(SIZE) * 2 + 1) / SIZE - 1
    x, y = np.meshgrid(steps, steps)
    return np.einsum("ij,jkl->ikl", TURNED, np.stack([x, y, np.ones_like(x)]))


@pytest.fixture(scope="module")
def framed(keep: Keep) -> PixelCache:
    """Blue inside, skin around it, and a red stripe between them."""
    picture = np.empty((SIZE, SIZE, 3), np.uint8)
    picture[:] = (205, 160, 140)
    picture[4:-4, 4:-4] = (250, 30, 30)
    picture[8:-8, 8:-8] = (30, 30, 220)
    return keep([picture])


@both_engines
@pytest.mark.parametrize(("padding", "colour"), [("skin", (205, 160, 140)), ("black", (0, 0, 0))])
def test_beyond_the_picture_lies_the_colour_that_the_padding_says(
    engine: Callable[..., Painter], padding: str, colour: tuple[int, int, int], framed: PixelCache
) -> None:
    [shown] = painted(engine(framed, padding, "matrix"), plain(maps=TURNED), np.array([0]))
    assert skin_colour(framed[0]) == (205, 160, 140)
    assert beyond().mean() > 0.1
    assert (np.abs(shown[beyond()].astype(int) - colour) <= 1).all()


@both_engines
def test_edge_repeats_the_rim_and_reflect_mirrors_what_lies_within(
    engine: Callable[..., Painter], framed: PixelCache
) -> None:
    edge, mirror = (
        painted(engine(framed, padding, "matrix"), plain(maps=TURNED), np.array([0]))[0]
        for padding in ("edge", "reflect")
    )
    assert (np.abs(edge[beyond()].astype(int) - (205, 160, 140)) <= 1).all()
    assert (mirror[beyond()][:, 2] > 200).any(), "no mirrored blue"


@both_engines
@pytest.mark.parametrize("padding", ["reflect", "edge"])
def test_what_lies_beyond_is_as_the_old_slow_way_has_it(
    engine: Callable[..., Painter], padding: str, noise: PixelCache
) -> None:
    """The picture is first enlarged by numpy's own padding, and then nothing of the view lies beyond it."""
    picture = noise[0]
    height, width = picture.shape[:2]
    wide = np.pad(picture, ((height - 1,) * 2, (width - 1,) * 2, (0, 0)), mode=padding)
    scale = np.array([width / wide.shape[1], height / wide.shape[0]])
    into_wide = CpuPainter(noise, "none", "matrix").cut(wide, TURNED * scale[:, None], SIZE)
    [shown] = painted(engine(noise, padding, "matrix"), plain(maps=TURNED), np.array([0]))
    assert np.abs(shown.astype(float) - into_wide).mean() < 0.05


def test_reflection_goes_back_and_forth_without_repeating_the_rim() -> None:
    places = torch.arange(-5, 9)
    pixel, inside = within(torch.stack([places, places], dim=1), torch.tensor([4, 4]), "reflect")
    assert pixel[:, 0].tolist() == [1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert inside.tolist() == [0 <= place < 4 for place in places]


@both_engines
@pytest.mark.parametrize("preset", VIEW_PRESETS)
def test_without_padding_no_border_is_invented(engine: Callable[..., Painter], preset: str, keep: Keep) -> None:
    """A picture with a red rim of a pixel around green: in no view is red wider than that rim is."""
    picture = np.full((60, 80, 3), (0, 200, 0), np.uint8)
    picture[[0, -1]] = picture[:, [0, -1]] = (200, 0, 0)
    pixels, images = keep([picture]), np.zeros(60, np.int64)
    views = drawn(pixels, images, preset, "none")
    shown = painted(engine(pixels, "none", "matrix"), plain(60, maps=views.maps), images)
    x, y = np.meshgrid(*[(np.arange(SIZE) * 2 + 1) / SIZE - 1] * 2)
    place = np.einsum("nij,jkl->nikl", views.maps, np.stack([x, y, np.ones_like(x)]))
    depth = (1 - np.abs(place)) / 2 * np.array([80, 60])[:, None, None]  # pixels from the nearest side
    assert (shown[depth.min(axis=1) > 2] == (0, 200, 0)).all()
    assert depth.min() > -1e-6


# Colour


@both_engines
@pytest.mark.parametrize("colour", ["matrix", "sequential"])
def test_a_grey_view_is_grey_and_the_others_are_not(
    engine: Callable[..., Painter], colour: str, lesions: PixelCache
) -> None:
    """Of the others, one that is so bright that it is white all over has no colour either."""
    images = np.arange(24) % 3
    views = drawn(lesions, images, "imagenet", "none")
    shown = painted(engine(lesions, "none", colour), views, images)
    coloured = np.ptp(shown, axis=3).max(axis=(1, 2)) > 0
    assert 0 < views.grey.sum() < 24
    white = shown.min(axis=(1, 2, 3)) == 255
    assert np.array_equal(coloured, ~views.grey & ~white)


@both_engines
@pytest.mark.parametrize("colour", ["matrix", "sequential"])
def test_a_view_without_changes_has_its_picture_s_colours(
    engine: Callable[..., Painter], colour: str, noise: PixelCache
) -> None:
    cut = CpuPainter(noise, "none", colour).cut(noise[1], np.eye(2, 3), SIZE)
    [shown] = painted(engine(noise, "none", colour), plain(), np.array([1]))
    assert np.abs(shown.astype(int) - cut).max() <= 1


@pytest.mark.parametrize(
    ("kind", "factor"), [(0, 0.4), (0, 1.7), (1, 0.3), (1, 1.8), (2, 0.2), (2, 1.8), (3, 0.2), (3, -0.13)]
)
def test_each_change_of_colour_is_torchvision_s(kind: int, factor: float, noise: PixelCache) -> None:
    change = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")[kind]
    expected = getattr(torchvision, change)(torch.from_numpy(noise[0].copy()).permute(2, 0, 1), factor)
    theirs = expected.permute(1, 2, 0).numpy().astype(float)
    mine = (colour.adjust_brightness, colour.adjust_contrast, colour.adjust_saturation, colour.adjust_hue)[kind]
    gpu = mine(torch.from_numpy(noise[0].copy())[None].float(), torch.full((1, 1, 1, 1), factor))[0].clamp(0, 255)
    assert np.abs(gpu.numpy() - theirs).max() < 2  # torchvision cuts off where we round, its grey as well
    cpu = cpu_views.CHANGES[kind](noise[0], factor).astype(float)
    assert np.abs(cpu - theirs).mean() < (1 if kind < 3 else 2)  # the hue of OpenCV has 256 steps


@both_engines
def test_the_drawn_order_is_the_order_of_the_changes(engine: Callable[..., Painter], keep: Keep) -> None:
    """Twice as bright clips 200 to 255; half the contrast after that is not half the contrast before it."""
    half = np.full((SIZE, SIZE, 3), 20, np.uint8)
    half[: SIZE // 2] = 200
    factors = np.array([[2.0, 0.5, 1.0, 0.0]] * 2)
    views = plain(2, factors=factors, order=np.array([[0, 1, 2, 3], [1, 0, 2, 3]]))
    shown = painted(engine(keep([half]), "none", "sequential"), views, np.zeros(2, np.int64))
    bright_first = round(148 + (255 - 148) * 0.5)  # the mean of 255 and 40 is 147.5
    contrast_first = min(255, 2 * round(110 + (200 - 110) * 0.5))
    assert shown[0, 0, 0, 0] == pytest.approx(bright_first, abs=1)
    assert shown[1, 0, 0, 0] == pytest.approx(contrast_first, abs=1)


def test_colour_that_leaves_the_range_is_clipped_once_by_the_matrix_and_every_time_one_by_one(keep: Keep) -> None:
    bright = np.full((SIZE, SIZE, 3), 200, np.uint8)
    views = plain(factors=np.array([[1.8, 1.0, 1.0, 0.0]]))
    for way in ("matrix", "sequential"):
        assert (painted(CpuPainter(keep([bright]), "none", way), views, np.array([0])) == 255).all()


# Blur and solarisation


def blurred_by_opencv(picture: Picture, sigma: float) -> NDArray[np.float64]:
    """In floating point, with the width that both engines take."""
    width = 2 * int(np.ceil(3 * sigma)) + 1
    return cv2.GaussianBlur(picture.astype(np.float64), (width, width), sigma, borderType=cv2.BORDER_REFLECT_101)


@both_engines
@pytest.mark.parametrize("sigma", [0.1, 0.3, 0.7, 1.3, 2.0])
def test_a_blur_is_that_of_opencv(engine: Callable[..., Painter], sigma: float, keep: Keep) -> None:
    square = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    [shown] = painted(engine(keep([square]), "none", "matrix"), plain(sigma=np.array([sigma])), np.array([0]))
    assert np.abs(shown - blurred_by_opencv(square, sigma)).max() < 2.1  # its kernels of bytes have 8 bits
    assert np.abs(shown - blurred_by_opencv(square, sigma)).mean() < 0.6


@both_engines
def test_only_the_chosen_views_are_blurred_and_each_by_its_own_sigma(
    engine: Callable[..., Painter], noise: PixelCache
) -> None:
    painter, images = engine(noise, "none", "matrix"), np.zeros(5, np.int64)
    sharp = painted(painter, plain(5), images)
    sigma = np.array([0, 1.9, 0, 0.5, 1.2])
    shown = painted(painter, plain(5, sigma=sigma), images)
    assert np.array_equal(shown[sigma == 0], sharp[sigma == 0])
    for place in (1, 3, 4):
        assert gap(shown[place : place + 1], blurred_by_opencv(sharp[place], sigma[place])[None])[0] < 0.6


def test_a_batch_without_blur_is_not_touched() -> None:
    images = torch.rand(2, 3, 8, 8)
    assert blur(images, np.zeros(2)) is images


def test_kernels_sum_to_one_and_end_where_opencv_s_do() -> None:
    sigma = np.array([0.1, 0.5, 2.0])
    kernels = gaussians(sigma, radius=6)
    assert kernels.sum(axis=1) == pytest.approx(1)
    assert (kernels > 0).sum(axis=1).tolist() == [3, 5, 13]
    assert kernels[2] == pytest.approx(cv2.getGaussianKernel(13, 2.0).ravel())


@both_engines
def test_solarisation_inverts_the_bright_pixels_of_the_chosen_views(
    engine: Callable[..., Painter], noise: PixelCache
) -> None:
    painter, images = engine(noise, "none", "matrix"), np.zeros(3, np.int64)
    before = painted(painter, plain(3), images)
    after = painted(painter, plain(3, solarised=np.array([False, True, False])), images)
    assert np.array_equal(after[[0, 2]], before[[0, 2]])
    assert np.array_equal(after[1], np.where(before[1] < 128, before[1], 255 - before[1]))
    assert after[1].max() < 128


@both_engines
def test_blur_comes_before_solarisation_as_in_byol(engine: Callable[..., Painter], noise: PixelCache) -> None:
    painter, images = engine(noise, "none", "matrix"), np.zeros(2, np.int64)
    [soft, both] = painted(painter, plain(2, sigma=np.full(2, 1.5), solarised=np.array([False, True])), images)
    assert np.array_equal(both, np.where(soft < 128, soft, 255 - soft))
