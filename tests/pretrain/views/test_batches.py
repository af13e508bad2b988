"""Batches of views: told apart by a picture whose colours are coordinates, red being x and green y."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dermssl.data.pixel_cache import PixelCache
from dermssl.training.randomness import order_of
from pretrain.config import PretrainConfig
from pretrain.recipes import MultiCropConfig
from pretrain.views import batches as module
from pretrain.views.batch import Batch
from pretrain.views.batches import StepImages, StepSampler, Views, view_loader
from pretrain.views.gpu import GpuPainter
from pretrain.views.view_presets import VIEW_PRESETS

Picture = NDArray[np.uint8]
Keep = Callable[[list[Picture]], PixelCache]
CPU = torch.device("cpu")
PADDINGS = ("none", "skin", "black", "reflect", "edge")
WIDTH, HEIGHT = 200, 150
SIZE = 64


def options(**changed: object) -> PretrainConfig:
    """Small views of the seed 5."""
    return PretrainConfig(**({"image_size": 32, "seed": 5, "batch_size": 4} | changed))  # type: ignore[arg-type]


def with_crops(**changed: object) -> MultiCropConfig:
    """The same with three small crops."""
    own = {"image_size": 48, "local_size": 32, "local_crops": 3, "seed": 5, "batch_size": 4}
    return MultiCropConfig(**(own | changed))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pixels(keep: Keep) -> PixelCache:
    rng = np.random.default_rng(0)
    return keep([rng.integers(0, 256, (40 + 4 * i, 60, 3), dtype=np.uint8) for i in range(12)])


@pytest.fixture(scope="module")
def coordinates(keep: Keep) -> PixelCache:
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    return keep([np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)])


def on_the_gpu_s_engine(views: Views) -> Views:
    """The same views, painted by the GPU's engine on the CPU."""
    config = views.config
    views.painter = GpuPainter(views.pixels, config.padding, config.colour, CPU)
    return views


def without_colour(views: Views, monkeypatch: pytest.MonkeyPatch) -> Views:
    """The same views, only cut."""
    real = module.draw_views

    def only_maps(*given: object, **named: object) -> object:
        drawn = real(*given, **named)  # type: ignore[arg-type]
        drawn.factors[:] = (1, 1, 1, 0)
        drawn.grey[:], drawn.sigma[:], drawn.solarised[:] = False, 0, False
        return drawn

    monkeypatch.setattr(module, "draw_views", only_maps)
    return views


def pieces(batch: Batch, turn: StepImages) -> dict[tuple[int, int, int], bytes]:
    """Every view's bytes, by epoch, image and view; small crops are views from the third on."""
    found = {}
    count = len(turn.images)
    for part, first in ((batch.views, 0), (batch.local, 2)):
        for place, view in enumerate(part):
            image = int(turn.images[place % count])
            found[turn.epoch, image, first + place // count] = view.contiguous().numpy().tobytes()
    return found


def shown(views: Views, config: PretrainConfig, epoch: int, skipped: int = 0) -> dict[tuple[int, int, int], bytes]:
    """What a loader shows in an epoch."""
    loader = view_loader(views, config, skipped)
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    found: dict[tuple[int, int, int], bytes] = {}
    for batch in loader:
        found |= pieces(batch, StepImages(epoch, batch.images.numpy()))
    return found


# A batch


def test_a_batch_is_two_views_of_each_image_and_says_of_which(pixels: PixelCache) -> None:
    batch = Views(pixels, options(), CPU)[StepImages(0, np.array([3, 7, 1]))]
    assert (batch.views.shape, batch.views.dtype) == ((6, 3, 32, 32), torch.uint8)
    assert (batch.maps.shape, batch.maps.dtype) == ((6, 2, 3), torch.float32)
    assert batch.images.tolist() == [3, 7, 1]
    assert batch.local.shape[0] == 0


@pytest.mark.parametrize("engine", [lambda views: views, on_the_gpu_s_engine], ids=["cpu", "gpu"])
def test_views_lie_channels_last_in_memory(engine: Callable[[Views], Views], pixels: PixelCache) -> None:
    batch = engine(Views(pixels, with_crops(), CPU))[StepImages(0, np.array([3, 7]))]
    assert batch.views.is_contiguous(memory_format=torch.channels_last)
    assert batch.local.is_contiguous(memory_format=torch.channels_last)


def test_the_first_views_of_all_images_come_first(keep: Keep) -> None:
    """Of three pictures of one colour each, whose order shows in the batch."""
    grey = keep([np.full((40, 40, 3), 60 * i + 60, np.uint8) for i in range(3)])
    batch = Views(grey, with_crops(), CPU)[StepImages(0, np.array([2, 0, 1]))]
    order = [int(np.median(batch.local[place])) for place in range(9)]
    assert batch.views.shape[0] == 6
    assert [np.argsort(order[first : first + 3]).tolist() for first in (0, 3, 6)] == [[1, 2, 0]] * 3


def test_multi_crop_adds_small_crops_of_every_image(pixels: PixelCache) -> None:
    batch = Views(pixels, with_crops(), CPU)[StepImages(0, np.array([3, 7]))]
    assert batch.views.shape == (4, 3, 48, 48)
    assert batch.local.shape == (6, 3, 32, 32)
    assert batch.maps.shape == (10, 2, 3)


@pytest.mark.parametrize("preset", VIEW_PRESETS)
def test_small_crops_show_less_than_views(preset: str, pixels: PixelCache) -> None:
    views = Views(pixels, with_crops(views=preset, padding="skin"), CPU)
    maps = torch.cat([views[StepImages(epoch, np.arange(12))].maps[24:] for epoch in range(6)])
    areas = maps[:, :, :2].det().abs()
    low, high = VIEW_PRESETS[preset].local_area
    assert low - 1e-6 <= areas.min()
    assert areas.max() <= high + 1e-6
    assert areas.mean() == pytest.approx((low + high) / 2, abs=0.03)


def test_no_small_crops_are_none(pixels: PixelCache) -> None:
    batch = Views(pixels, with_crops(local_crops=0), CPU)[StepImages(0, np.array([3, 7]))]
    assert batch.local.numel() == 0
    assert len(batch.maps) == 4


def test_only_second_views_are_solarised(pixels: PixelCache) -> None:
    whole, without = (
        Views(pixels, with_crops(solarise=share), CPU)[StepImages(0, np.arange(12))] for share in (1.0, 0.0)
    )
    assert torch.equal(whole.views[:12], without.views[:12])
    assert torch.equal(whole.local, without.local)
    assert whole.views[12:].max() < 128
    assert torch.equal(whole.views[12:], without.views[12:].minimum(255 - without.views[12:]))


def test_adding_small_crops_or_solarisation_changes_nothing_of_the_views(pixels: PixelCache) -> None:
    turn = StepImages(2, np.arange(4))
    plain, more = Views(pixels, options(image_size=48), CPU), Views(pixels, with_crops(), CPU)
    assert torch.equal(plain[turn].views, more[turn].views)


# Determinism


@pytest.mark.parametrize("preset", VIEW_PRESETS)
@pytest.mark.parametrize("engine", [lambda views: views, on_the_gpu_s_engine], ids=["cpu", "gpu"])
def test_a_view_is_a_function_of_seed_epoch_image_and_view(
    preset: str, engine: Callable[[Views], Views], pixels: PixelCache
) -> None:
    one, other = (engine(Views(pixels, with_crops(views=preset), CPU)) for _ in range(2))
    turn = StepImages(3, np.array([2, 5]))
    other[StepImages(0, np.array([7]))], other[StepImages(9, np.array([1, 2]))]  # whatever was drawn before
    assert pieces(one[turn], turn) == pieces(other[turn], turn)


@pytest.mark.parametrize("engine", [lambda views: views, on_the_gpu_s_engine], ids=["cpu", "gpu"])
def test_another_seed_epoch_image_or_view_is_another_picture(engine: Callable[[Views], Views], keep: Keep) -> None:
    same = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    five, six = (engine(Views(keep([same, same]), with_crops(seed=seed), CPU)) for seed in (5, 6))
    both = np.arange(2)
    batches = [(five, StepImages(0, both)), (five, StepImages(1, both)), (six, StepImages(0, both))]
    found = [view for views, turn in batches for view in pieces(views[turn], turn).values()]
    assert len(found) == 3 * 2 * 5
    assert len(set(found)) == len(found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
@pytest.mark.parametrize(("batch_size", "workers"), [(2, 0), (6, 0), (12, 0), (3, 2)])
def test_an_epoch_shows_the_same_views_whatever_the_batches_and_workers(
    pixels: PixelCache, batch_size: int, workers: int
) -> None:
    config = with_crops(batch_size=batch_size, workers=workers)
    found = shown(Views(pixels, config, CPU), config, epoch=3)
    alone = Views(pixels, with_crops(), CPU)
    expected: dict[tuple[int, int, int], bytes] = {}
    for image in range(12):
        turn = StepImages(3, np.array([image]))
        expected |= pieces(alone[turn], turn)
    assert len(expected) == 12 * 5
    assert found == expected


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_that_stay_show_another_epoch_s_views_in_another_epoch(pixels: PixelCache) -> None:
    config = options(workers=1)
    views = Views(pixels, config, CPU)
    loader = view_loader(views, config)
    for epoch in (0, 1):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            turn = StepImages(epoch, batch.images.numpy())
            assert pieces(batch, turn) == pieces(views[turn], turn)


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_an_epoch_s_views_among_them(
    pixels: PixelCache, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its contiguous part of every step, and all of them have what one process has."""
    config = options()
    views = Views(pixels, config, CPU)
    whole = shown(views, config, epoch=2)
    steps = [turn.images for turn in turns(config, 2)]
    monkeypatch.setattr(module, "world", lambda: processes)
    found, parts = {}, []
    for number in range(processes):
        monkeypatch.setattr(module, "rank", lambda number=number: number)
        parts.append([turn.images for turn in turns(config, 2)])
        found |= shown(views, config, epoch=2)
    assert found == whole
    assert all(np.array_equal(np.concatenate(part), step) for *part, step in zip(*parts, steps, strict=True))


def turns(config: PretrainConfig, epoch: int, skipped: int = 0) -> StepSampler:
    """An epoch of twelve images."""
    found = StepSampler(12, config.batch_size, config.seed, skipped)
    found.set_epoch(epoch)
    return found


def test_a_resumed_epoch_goes_on_with_the_steps_that_are_left(pixels: PixelCache) -> None:
    config = options()
    views = Views(pixels, config, CPU)
    whole, rest = shown(views, config, epoch=2), shown(views, config, epoch=2, skipped=1)
    done = order_of(12, config.seed, 2)[:4]
    assert rest == {key: view for key, view in whole.items() if key[1] not in done}


def test_only_the_first_epoch_after_a_resume_is_shorter(pixels: PixelCache) -> None:
    found = turns(options(), epoch=2, skipped=2)
    assert len(list(found)) == 1
    found.set_epoch(3)
    assert [turn.epoch for turn in found] == [3, 3, 3]


def test_each_epoch_has_its_own_order() -> None:
    orders = [tuple(np.concatenate([turn.images for turn in turns(options(), epoch)])) for epoch in range(5)]
    assert len(set(orders)) == 5
    assert all(sorted(order) == list(range(12)) for order in orders)


def test_images_that_fill_no_batch_wait_for_another_order() -> None:
    shown = [{image for turn in turns(options(batch_size=5), epoch) for image in turn.images} for epoch in range(6)]
    assert {len(epoch) for epoch in shown} == {10}
    assert len({frozenset(epoch) for epoch in shown}) > 1
    assert set.union(*shown) == set(range(12))
    assert len(StepSampler(12, 5, seed=0)) == 2


# Maps


def shown_places(view: Tensor) -> NDArray[np.float64]:
    """The places in [-1, 1] that a view of the coordinates shows, (2, S, S); a pixel's colour is that of its centre."""
    x, y = view[:2].numpy().astype(float)
    return np.stack([(x + 0.5) * 2 / WIDTH - 1, (y + 0.5) * 2 / HEIGHT - 1])


def promised_places(maps: Tensor, size: int) -> NDArray[np.float64]:
    """The same, as a batch's maps say it."""
    steps = (np.arange(size) * 2 + 1) / size - 1
    x, y = np.meshgrid(steps, steps)
    return np.einsum("ij,jkl->ikl", maps.numpy().astype(float), np.stack([x, y, np.ones_like(x)]))


@pytest.mark.parametrize("preset", VIEW_PRESETS)
@pytest.mark.parametrize("engine", [lambda views: views, on_the_gpu_s_engine], ids=["cpu", "gpu"])
@pytest.mark.parametrize("padding", ["none", "edge"])
def test_maps_say_where_the_pixels_of_a_view_are_from(
    preset: str,
    engine: Callable[[Views], Views],
    padding: str,
    coordinates: PixelCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To the pixel, for views and small crops; what lies beyond an edge has that edge's coordinates."""
    views = engine(Views(coordinates, with_crops(views=preset, padding=padding, image_size=SIZE), CPU))
    without_colour(views, monkeypatch)
    pixel = np.array([2 / WIDTH, 2 / HEIGHT])[:, None, None]
    for epoch in range(15):
        batch = views[StepImages(epoch, np.array([0]))]
        for view, maps in zip([*batch.views, *batch.local], batch.maps, strict=True):
            promised = promised_places(maps, view.shape[-1])
            rim = 1 - pixel / 2  # the outermost centres
            assert (np.abs(shown_places(view) - promised.clip(-rim, rim)) <= 0.6 * pixel).all()
            assert padding == "edge" or np.abs(promised).max() <= 1


def test_maps_of_two_views_lead_from_one_to_the_other(coordinates: PixelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a dense method does with them: a place of the first view, found again in the second one."""
    views = without_colour(Views(coordinates, options(image_size=SIZE), CPU), monkeypatch)
    met = 0
    for epoch in range(10):
        batch = views[StepImages(epoch, np.array([0]))]
        first, second = (np.vstack([maps.numpy(), [0, 0, 1]]).astype(float) for maps in batch.maps)
        there = np.linalg.inv(second) @ first @ (0.1, -0.2, 1)
        if np.abs(there[:2]).max() < 0.95:
            met += 1
            places = [shown_places(view) for view in batch.views]
            here = [places[0][:, *nearest(0.1, -0.2)], places[1][:, *nearest(*there[:2])]]
            assert here[0] == pytest.approx(here[1], abs=0.06)  # two view pixels
    assert met > 3


def nearest(x: float, y: float) -> tuple[int, int]:
    """Row and column of the pixel of a view that holds a place."""
    return int((y + 1) / 2 * SIZE), int((x + 1) / 2 * SIZE)


# Padding


@pytest.mark.parametrize("engine", [lambda views: views, on_the_gpu_s_engine], ids=["cpu", "gpu"])
@pytest.mark.parametrize("padding", PADDINGS)
def test_views_of_one_colour_have_one_colour_unless_black_is_added(
    engine: Callable[[Views], Views], padding: str, keep: Keep
) -> None:
    skin = np.empty((40, 90, 3), np.uint8)
    skin[:] = (205, 160, 140)
    views = engine(Views(keep([skin]), options(padding=padding), CPU))
    batches = [views[StepImages(epoch, np.array([0]))].views for epoch in range(30)]
    colours = [len(torch.unique(view.flatten(1), dim=1).T) for batch in batches for view in batch]
    assert (max(colours) == 1) == (padding != "black")


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_padding_changes_turned_views_and_no_other(
    padding: str, coordinates: PixelCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every padding has the same draws, so that runs with different ones can be compared."""
    black, other = (Views(coordinates, options(padding=kind), CPU) for kind in ("black", padding))
    for epoch in range(20):
        one, two = (views[StepImages(epoch, np.array([0]))] for views in (black, other))
        upright = (one.maps[:, 0, 0] * one.maps[:, 0, 1]).abs() < 1e-6
        assert torch.equal(one.maps[upright], two.maps[upright])
        inside = one.maps.abs().sum(dim=2).amax(dim=1) <= 1 - 1 / min(WIDTH, HEIGHT)
        assert padding == "none" or torch.equal(one.views[inside], two.views[inside])
        assert torch.equal(one.views[upright], two.views[upright])


def test_the_imagenet_preset_never_leaves_the_picture(coordinates: PixelCache) -> None:
    """It does not turn, so the padding does not matter."""
    turn = StepImages(0, np.zeros(20, np.int64))
    found = [Views(coordinates, options(views="imagenet", padding=padding), CPU)[turn].views for padding in PADDINGS]
    assert all(torch.equal(found[0], other) for other in found)


def test_a_device_paints_without_workers(pixels: PixelCache) -> None:
    """A worker that is forked cannot use CUDA."""
    config = options(workers=2)
    assert view_loader(Views(pixels, config, CPU), config).num_workers == 2
    assert view_loader(on_the_gpu_s_engine(Views(pixels, config, CPU)), config).num_workers == 0
