"""The views that the GPU paints are those of the CPU, on the same draws."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermssl.data.pixel_cache import PixelCache
from dermssl.synthetic.dataset import draw_image
from pretrain.recipes import DINOConfig
from pretrain.views.batches import StepImages, Views
from pretrain.views.cpu import CpuPainter
from pretrain.views.draws import draw_views, uniform_numbers
from pretrain.views.gpu import GpuPainter
from pretrain.views.view_presets import VIEW_PRESETS

pytestmark = pytest.mark.gpu

MOST = 0.5  # grey levels, in the mean
CPU = torch.device("cpu")
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def lesions(keep: Callable[..., PixelCache]) -> PixelCache:
    """Drawn lesions of three shapes."""
    return keep([draw_image(0, index, 128).image[: 128 - 10 * index, : 90 + 12 * index] for index in range(3)])


def apart(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean difference of two batches, grey levels."""
    return float(np.abs(one.astype(np.float64) - other).mean())


@pytest.mark.parametrize("colour", ["matrix", "sequential"])
@pytest.mark.parametrize("padding", ["none", "skin", "black", "reflect", "edge"])
@pytest.mark.parametrize("preset", VIEW_PRESETS)
def test_views_on_the_gpu_are_those_of_the_cpu(
    preset: str, padding: str, colour: str, lesions: PixelCache, device: torch.device, record_property: Record
) -> None:
    recipe, images = VIEW_PRESETS[preset], np.arange(24) % 3
    sizes = lesions.shapes[images, 1::-1].astype(float)
    u = np.concatenate([uniform_numbers(0, epoch, images[epoch : epoch + 1], 0) for epoch in range(len(images))])
    views = draw_views(u, sizes, recipe, area=recipe.area, padded=padding != "none", solarise=0.3)
    size = 224 if device.type == "cuda" else 48
    ours = GpuPainter(lesions, padding, colour, device).paint(views, images, size)
    assert ours.device == device
    difference = apart(
        CpuPainter(lesions, padding, colour).paint(views, images, size), ours.permute(0, 2, 3, 1).cpu().numpy()
    )
    record_property("mean difference, grey levels (0.5 is allowed)", difference)
    assert difference < MOST


@pytest.mark.parametrize("padding", ["none", "skin", "reflect"])
def test_small_crops_and_maps_are_those_of_the_cpu(
    padding: str, lesions: PixelCache, device: torch.device, record_property: Record
) -> None:
    config = DINOConfig(image_size=64, local_crops=2, local_size=32, batch_size=6, padding=padding)  # type: ignore[arg-type]
    step = StepImages(3, np.array([2, 0, 1, 1, 0, 2]))
    expected, views = Views(lesions, config, CPU)[step], Views(lesions, config, device)
    views.painter = GpuPainter(lesions, padding, config.colour, device)  # on a CPU as well
    shown = views[step]
    for name in ("views", "local"):
        one, other = getattr(expected, name), getattr(shown, name)
        assert one.shape == other.shape
        record_property(
            "mean difference, grey levels (0.5 is allowed)", difference := apart(one.numpy(), other.cpu().numpy())
        )
        assert difference < MOST
    assert torch.equal(expected.maps, shown.maps.cpu())
    assert torch.equal(expected.images, shown.images.cpu())


def test_pictures_that_do_not_fit_are_brought_and_give_the_same_views(
    lesions: PixelCache, device: torch.device
) -> None:
    images = np.array([2, 0, 1, 0])
    recipe = VIEW_PRESETS["dermoscopy"]
    sizes = lesions.shapes[images, 1::-1].astype(float)
    views = draw_views(uniform_numbers(0, 0, images, 0), sizes, recipe, area=recipe.area, padded=True, solarise=0)
    painter = GpuPainter(lesions, "skin", "matrix", device)
    resident = painter.paint(views, images, 48)
    painter.resident = None
    assert torch.equal(painter.paint(views, images, 48), resident)
