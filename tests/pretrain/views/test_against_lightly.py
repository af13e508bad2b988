"""The preset `imagenet` against lightly's SimCLRTransform with its own defaults: the same views in distribution.

Both sides cut views of SIZE from the same picture of SIZE, so that crops are only enlarged: lightly averages where it
shrinks a picture and we do not, for views are cut from a cache that is hardly larger than they are. What is measured
is measured on the pixels of the views alone, by the same function on both sides. Samples are compared by the test of
Kolmogorov and Smirnov, whose tolerance follows from their number: with 400 views of lightly's and 1000 of ours,
distributions that are 13 points apart anywhere differ at the level RARE. The draws are fixed, so nothing varies.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightly.transforms import SimCLRTransform
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import ks_2samp

from dermssl.data.pixel_cache import PixelCache
from dermssl.synthetic.dataset import draw_image
from pretrain.config import PretrainConfig
from pretrain.views.batches import StepImages, Views
from pretrain.views.gpu import GpuPainter
from pretrain.views.view_presets import IMAGENET

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
Keep = Callable[[list[Picture]], PixelCache]
Draw = Callable[..., tuple[Picture, Picture]]
SIZE, THEIRS, OURS = 32, 400, 1000
RARE = 1e-4
CPU = torch.device("cpu")
NO_COLOUR = {"jittered": 0.0, "grey": 0.0}
NO_BLUR = {"blurred": 0.0}
LIGHTLY = {"jittered": "cj_prob", "grey": "random_gray_scale", "blurred": "gaussian_blur"}


@pytest.fixture(params=["cpu-matrix", "cpu-sequential", "gpu-matrix"])
def both(request: pytest.FixtureRequest, keep: Keep) -> Draw:
    """Draws views of a picture by us and by lightly, with some of the recipe's probabilities changed."""
    engine, colour = request.param.split("-")

    def drawn(picture: Picture, **changed: float) -> tuple[Picture, Picture]:
        pixels = keep([picture]).take([0] * (OURS // 2))
        views = Views(pixels, PretrainConfig(views="imagenet", image_size=SIZE, colour=colour), CPU)
        views.preset = replace(IMAGENET, **changed)  # type: ignore[arg-type]
        if engine == "gpu":
            views.painter = GpuPainter(pixels, "none", colour, CPU)
        batches = [views[StepImages(0, rows)].views for rows in np.split(np.arange(OURS // 2), 4)]
        ours = torch.cat(batches).permute(0, 2, 3, 1).numpy()
        return ours, lightly_s(picture.tobytes(), tuple(sorted(changed.items())))

    return drawn


@cache
def lightly_s(picture: bytes, changed: tuple[tuple[str, float], ...]) -> Picture:
    """Its views, (THEIRS, SIZE, SIZE, 3); drawn once for all of ours that they are held against."""
    np.random.seed(0)  # noqa: NPY002  # lightly's blur draws from here,
    torch.manual_seed(0)  # and torchvision from here
    named: dict[str, Any] = {LIGHTLY[name]: value for name, value in changed}
    transform = SimCLRTransform(input_size=SIZE, normalize=None, **named)
    image = Image.frombytes("RGB", (SIZE, SIZE), picture)
    views = torch.stack([view for _ in range(THEIRS // 2) for view in transform(image)])
    return views.permute(0, 2, 3, 1).mul(255).round().byte().numpy()


def alike(ours: Floats, theirs: Floats) -> bool:
    """Whether two samples may be of one distribution."""
    return bool(ks_2samp(ours, theirs).pvalue > RARE)


def overlap(ours: NDArray[Any], theirs: NDArray[Any], edges: Floats) -> float:
    """What two histograms have in common, in [0, 1]."""
    parts = [np.histogram(sample, edges)[0] / sample.size for sample in (ours, theirs)]
    return float(np.minimum(*parts).sum())


# Geometry


def coordinates() -> Picture:
    """Red is x and green is y, in steps of 6 to be told apart."""
    x, y = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    return np.stack([6 * x + 30, 6 * y + 30, np.full_like(x, 90)], axis=-1).astype(np.uint8)


def boxes(views: Picture) -> Floats:
    """Width, height, and centre of what each view shows of `coordinates`, negative where mirrored; (N, 4)."""
    steps = np.arange(SIZE) - (SIZE - 1) / 2
    x, y = views[..., 0].astype(float).mean(axis=1), views[..., 1].astype(float).mean(axis=2)
    slope = steps / (steps**2).sum() / 6 * SIZE
    return np.stack([x @ slope, y @ slope, (x.mean(axis=1) - 30) / 6, (y.mean(axis=1) - 30) / 6], axis=1)


def test_crops_have_lightly_s_areas_ratios_places_and_mirrorings(both: Draw) -> None:
    ours, theirs = (boxes(views) for views in both(coordinates(), **NO_COLOUR, **NO_BLUR))
    areas = [np.abs(sample[:, 0] * sample[:, 1]) / SIZE**2 for sample in (ours, theirs)]
    assert areas[0].mean() == pytest.approx(areas[1].mean(), abs=0.05)  # of one: 0.53; three standard errors are 0.04
    assert alike(*areas)
    assert alike(*(np.abs(sample[:, 0] / sample[:, 1]) for sample in (ours, theirs)))
    for side in (2, 3):  # lightly's centres lie on half pixels, which the test of Kolmogorov and Smirnov would see
        assert ours[:, side].mean() == pytest.approx(theirs[:, side].mean(), abs=0.8)
        assert ours[:, side].std() == pytest.approx(theirs[:, side].std(), rel=0.15)
    assert (ours[:, 0] < 0).mean() == pytest.approx((theirs[:, 0] < 0).mean(), abs=0.1)  # three standard errors: 0.08
    assert (ours[:, 1] > 0).all()
    assert (theirs[:, 1] > 0).all()


# Colour


def flat(red: int, green: int, blue: int) -> Picture:
    """A picture of one colour, whose crops are all the same."""
    return np.tile(np.array([red, green, blue], np.uint8), (SIZE, SIZE, 1))


def grey_of(views: Picture) -> Floats:
    """The mean grey of each view."""
    return views.reshape(len(views), -1, 3).mean(axis=1) @ (0.299, 0.587, 0.114)


def contrast_of(views: Picture) -> Floats:
    """The standard deviation over the pixels of each view."""
    return views.astype(float).std(axis=(1, 2)).mean(axis=1)


def hue_of(views: Picture) -> Floats:
    """The hue of each view's first pixel, in turns; nan where it has none."""
    hsv = cv2.cvtColor(views[:, :1, 0].astype(np.float32) / 255, cv2.COLOR_RGB2HSV)[:, 0]
    return np.where(hsv[:, 1] * hsv[:, 2] > 0.02, hsv[:, 0] / 360, np.nan)


def test_a_flat_picture_becomes_as_bright_as_lightly_makes_it(both: Draw) -> None:
    ours, theirs = (grey_of(views) for views in both(flat(110, 80, 70)))
    assert ours.mean() == pytest.approx(theirs.mean(), abs=5)  # three standard errors of 400 views
    assert ours.std() == pytest.approx(theirs.std(), rel=0.15)
    assert alike(ours, theirs)


def test_as_many_views_of_a_flat_picture_are_grey(both: Draw) -> None:
    ours, theirs = (np.isnan(hue_of(views)).mean() for views in both(flat(150, 80, 60)))
    assert ours == pytest.approx(theirs, abs=0.07)  # of 0.2; three standard errors
    assert ours > 0.15


def test_the_hue_of_a_flat_picture_spreads_as_lightly_spreads_it(both: Draw) -> None:
    hues = [hue_of(views) for views in both(flat(130, 85, 70), grey=0.0)]
    ours, theirs = ((hue[~np.isnan(hue)] + 0.5) % 1 - 0.5 for hue in hues)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.04)  # three standard errors
    assert ours.std() == pytest.approx(theirs.std(), rel=0.15)
    assert alike(ours, theirs)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.03)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.15)


# Blur


def edge() -> Picture:
    """Half of it dark, half of it bright."""
    picture = np.full((SIZE, SIZE, 3), 40, np.uint8)
    picture[:, SIZE // 2 :] = 210
    return picture


def sharpness(views: Picture) -> Floats:
    """The steepest rise of the edge of each view that shows it, a pixel's part of the whole rise."""
    rows = views[:, SIZE // 2, :, 0].astype(float)
    shows = np.ptp(rows, axis=1) > 160
    return np.abs(np.diff(rows[shows], axis=1)).max(axis=1) / 170


def test_an_edge_is_as_sharp_as_lightly_leaves_it(both: Draw) -> None:
    ours, theirs = (sharpness(views) for views in both(edge(), **NO_COLOUR))
    assert ours.mean() == pytest.approx(theirs.mean(), abs=0.04)  # three standard errors
    assert ours.std() == pytest.approx(theirs.std(), rel=0.15)
    assert alike(ours, theirs)


# All of it


@pytest.fixture(scope="module")
def lesion() -> Picture:
    return np.ascontiguousarray(cv2.resize(draw_image(0, 3, 192).image, (SIZE, SIZE), interpolation=cv2.INTER_AREA))


def test_views_of_a_lesion_have_lightly_s_moments_and_histograms(both: Draw, lesion: Picture) -> None:
    ours, theirs = both(lesion)
    assert alike(grey_of(ours), grey_of(theirs))
    assert alike(contrast_of(ours), contrast_of(theirs))
    for channel in range(3):  # 400 views of one picture leave a twentieth of a histogram open
        assert overlap(ours[..., channel], theirs[..., channel], np.arange(0, 257, 16)) > 0.88


def test_what_is_compared_tells_another_recipe_apart(both: Draw, lesion: Picture) -> None:
    """Were the preset milder than lightly's recipe by a third, the tests above would say so."""
    ours, theirs = both(lesion, **NO_BLUR)
    milder = 128 + (ours.astype(float) - 128) * 2 / 3
    assert alike(grey_of(ours), grey_of(theirs))
    assert not alike(grey_of(milder), grey_of(theirs))
