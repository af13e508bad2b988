"""Views are told apart by a picture whose colours are coordinates: red is x, green is y."""

from collections import Counter
from collections.abc import Callable, Iterator

import albumentations as A
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermssl.cache import PixelCache
from dermssl.randomness import order_of
from pretrain.views import PRESETS, Views, collate, view_loader

Picture = NDArray[np.uint8]
Keep = Callable[[list[Picture]], PixelCache]
SIZE, WIDTH, HEIGHT = 64, 200, 150
GEOMETRY = {"dermoscopy": 3, "imagenet": 2}  # the steps of a preset that move pixels


@pytest.fixture
def pixels(keep: Keep) -> PixelCache:
    rng = np.random.default_rng(0)
    return keep([rng.integers(0, 256, (40 + 4 * i, 60, 3), dtype=np.uint8) for i in range(8)])


@pytest.fixture
def views(pixels: PixelCache) -> Views:
    return Views(pixels, "dermoscopy", 32, seed=5)


@pytest.fixture(scope="module")
def maps(keep: Keep) -> dict[str, list[NDArray[np.float64]]]:
    """By preset, the affine map of 200 views: three rows that take view pixels (x, y, 1) to picture pixels."""
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    coordinates = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    found = {}
    for preset, steps in GEOMETRY.items():
        drawer = Views(keep([coordinates]), preset, SIZE, seed=0)
        drawer.pipeline.transforms = drawer.pipeline.transforms[:steps]
        found[preset] = [affine_map(drawer.view(0, 0, view)) for view in range(200)]
    return found


def affine_map(view: Picture) -> NDArray[np.float64]:
    """Least squares of the coordinates that a view shows over its own; (3, 2), or a failure where they do not fit."""
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    own = np.stack([x.ravel(), y.ravel(), np.ones(SIZE**2)], axis=1)
    shown = view[..., :2].reshape(-1, 2).astype(float)
    found = np.linalg.lstsq(own, shown, rcond=None)[0]
    worst = np.abs(own @ found - shown).max()
    assert worst < 3, f"the view is no turned and stretched part of its picture: {worst:.0f} pixels off"
    return found


def drawn(loader: Iterator[torch.Tensor], order: NDArray[np.int64]) -> dict[tuple[int, int], bytes]:
    """The bytes of each view of an epoch, by image and view."""
    found = {}
    at = 0
    for batch in loader:
        for view, half in enumerate(batch.chunk(2)):
            found |= {(int(order[at + i]), view): picture.numpy().tobytes() for i, picture in enumerate(half)}
        at += len(batch) // 2
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_a_view_is_a_function_of_seed_epoch_image_and_view(preset: str, pixels: PixelCache) -> None:
    one, other = Views(pixels, preset, 32, seed=5), Views(pixels, preset, 32, seed=5)
    assert np.array_equal(one[3, 2], other[3, 2])
    other[0, 7], other[9, 1]  # whatever was drawn before
    assert np.array_equal(one[3, 2], other[3, 2])


def test_another_seed_epoch_image_or_view_is_another_picture(keep: Keep) -> None:
    same = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    five, six = (Views(keep([same, same]), "dermoscopy", 32, seed) for seed in (5, 6))
    shown = [five.view(0, 0, 0), five.view(0, 0, 1), five.view(1, 0, 0), five.view(0, 1, 0), six.view(0, 0, 0)]
    assert len({view.tobytes() for view in shown}) == 5


def test_an_item_is_its_two_views(views: Views) -> None:
    pair = views[0, 3]
    assert (pair.shape, pair.dtype) == ((2, 32, 32, 3), np.uint8)
    assert np.array_equal(pair[1], views.view(0, 3, 1))


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(("batch_size", "workers"), [(2, 0), (8, 0), (4, 2)])
def test_an_epoch_shows_the_same_views_whatever_the_batches_and_workers(
    views: Views, batch_size: int, workers: int
) -> None:
    loader = view_loader(views, batch_size, workers)
    loader.batch_sampler.sampler.set_epoch(3)
    found = drawn(loader, order_of(8, seed=5, epoch=3))
    expected = {(image, view): np.moveaxis(views.view(3, image, view), -1, 0) for image in range(8) for view in (0, 1)}
    assert found.keys() == expected.keys()
    assert all(found[key] == np.ascontiguousarray(expected[key]).tobytes() for key in expected)


def test_images_that_fill_no_batch_wait_for_another_order(views: Views) -> None:
    loader = view_loader(views, 3, 0)
    sampler, shown = loader.batch_sampler.sampler, []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        shown.append({index for batch in loader.batch_sampler for _, index in batch})
    assert {len(epoch) for epoch in shown} == {6}
    assert len({frozenset(epoch) for epoch in shown}) > 1
    assert set.union(*shown) == set(range(8))


def test_a_batch_has_the_first_views_first_and_channels_last_without_a_copy() -> None:
    pairs = [np.full((2, 4, 5, 3), 10 * i, np.uint8) for i in range(3)]
    for pair in pairs:
        pair[1] += 1
        pair[..., 2] += 100
    batch = collate(pairs)
    assert batch.shape == (6, 3, 4, 5)
    assert batch[:, 0, 0, 0].tolist() == [0, 10, 20, 1, 11, 21]
    assert batch[:, 2, 0, 0].tolist() == [100, 110, 120, 101, 111, 121]
    assert batch.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(48, 48), (40, 90), (90, 40)])
def test_views_of_one_colour_have_one_colour(shape: tuple[int, int], keep: Keep) -> None:
    skin = np.empty((*shape, 3), np.uint8)
    skin[:] = (205, 160, 140)
    views = Views(keep([skin]), "dermoscopy", 32, seed=0)
    for view in range(60):
        assert len(np.unique(views.view(0, 0, view).reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_a_view_is_a_part_of_its_picture_and_nothing_else(
    maps: dict[str, list[NDArray[np.float64]]], preset: str
) -> None:
    corners = np.array([(0, 0, 1), (SIZE - 1, 0, 1), (0, SIZE - 1, 1), (SIZE - 1, SIZE - 1, 1)])
    shown = np.stack([corners @ found for found in maps[preset]])
    assert shown.min() > -2
    assert (shown.max(axis=(0, 1)) < (WIDTH + 1, HEIGHT + 1)).all()


def area(found: NDArray[np.float64]) -> float:
    """Share of the picture that a view shows."""
    return float(abs(np.linalg.det(found[:2])) * SIZE**2 / (WIDTH * HEIGHT))


def declared_area(low: float) -> float:
    """Mean area of a uniform draw from [low, 1] with ratios from 3/4 to 4/3, where the crop fits into the picture."""
    rng = np.random.default_rng(0)
    areas, ratios = rng.uniform(low, 1, 20_000), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), 20_000))
    pixels = areas * WIDTH * HEIGHT
    return float(areas[(pixels * ratios <= WIDTH**2) & (pixels / ratios <= HEIGHT**2)].mean())


def angle(found: NDArray[np.float64]) -> float:
    """Degrees that the view's rows are turned from the nearest side of the picture, in [-45, 45]."""
    x, y = found[0]
    return float((np.degrees(np.arctan2(y, x)) + 45) % 90 - 45)


def test_dermoscopy_views_are_turned_half_of_the_time_and_by_any_angle(
    maps: dict[str, list[NDArray[np.float64]]],
) -> None:
    angles = np.array([angle(found) for found in maps["dermoscopy"]])
    turned = angles[np.abs(angles) > 0.7]
    assert len(turned) / len(angles) == pytest.approx(0.5, abs=0.12)
    assert turned.std() == pytest.approx(90 / 12**0.5, rel=0.2)  # of a uniform draw from [-45, 45]
    assert turned.mean() == pytest.approx(0, abs=8)


def test_dermoscopy_views_show_a_third_of_the_picture_and_more(maps: dict[str, list[NDArray[np.float64]]]) -> None:
    areas = np.array([area(found) for found in maps["dermoscopy"] if abs(angle(found)) < 0.7])
    assert areas.min() > 0.33
    assert areas.max() < 1.03
    assert areas.mean() == pytest.approx(declared_area(0.35), abs=0.04)


def test_dermoscopy_views_have_no_up_and_no_handedness(maps: dict[str, list[NDArray[np.float64]]]) -> None:
    quarters = [round(np.degrees(np.arctan2(*found[0][::-1])) / 90) % 4 for found in maps["dermoscopy"]]
    assert min(np.bincount(quarters, minlength=4)) > 30
    mirrored = np.mean([np.linalg.det(found[:2]) < 0 for found in maps["dermoscopy"]])
    assert mirrored == pytest.approx(0.5, abs=0.12)


def test_imagenet_views_are_upright_and_may_be_tiny(maps: dict[str, list[NDArray[np.float64]]]) -> None:
    areas = np.array([area(found) for found in maps["imagenet"]])
    assert max(abs(angle(found)) for found in maps["imagenet"]) < 1.5
    assert min(found[1, 1] for found in maps["imagenet"]) > 0  # never upside down
    assert 0.07 < areas.min() < 0.15
    assert areas.mean() == pytest.approx(declared_area(0.08), abs=0.04)


def test_dermoscopy_moves_colour_less_than_imagenet(keep: Keep) -> None:
    skin = np.empty((48, 48, 3), np.uint8)
    skin[:] = (205, 160, 140)

    def spread_of_redness(preset: str) -> float:
        views = Views(keep([skin]), preset, 32, seed=0)
        shown = np.array([views.view(0, 0, view)[0, 0] for view in range(100)], float)
        coloured = shown[shown.std(axis=1) > 1]  # grey ones aside
        return float((coloured[:, 0] / coloured.sum(axis=1)).std())

    assert 0.003 < spread_of_redness("dermoscopy") < 0.6 * spread_of_redness("imagenet")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_says_what_albumentations_understands(preset: str, pixels: PixelCache) -> None:
    Views(pixels, preset, 32, seed=0)[0, 0]  # warnings are errors, and an unknown argument is a warning


def test_transforms_draw_apart(keep: Keep) -> None:
    """Albumentations' own seeding lets all transforms draw the same numbers: both flips or none."""
    views = Views(keep([np.arange(12, dtype=np.uint8).reshape(2, 2, 3)]), "dermoscopy", 32, seed=0)
    views.pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    shown = Counter(views.view(0, 0, view).tobytes() for view in range(200))
    assert len(shown) == 4
    assert min(shown.values()) > 30
