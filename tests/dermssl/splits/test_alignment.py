"""How well one picture lies on another: a photograph on itself however shifted, strangers not at all."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dermssl.splits.alignment import SIDE, aligned_correlation, evened, pixel_correlation
from dermssl.splits.near_duplicates import ALIGNED
from dermssl.synthetic.dataset import draw_image

Pixels = NDArray[np.uint8]

LESIONS = (0, 1, 2, 3, 4, 5, 8, 9)  # 7 would show the lesion of 6 again


@cache
def drawn(index: int) -> Pixels:
    """A lesion in grey, 192 pixels; as large as none is compared."""
    torch.set_num_threads(1)
    return cv2.cvtColor(draw_image(0, index, 192).image, cv2.COLOR_RGB2GRAY)


def square(pixels: Pixels) -> Pixels:
    return cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def laid_on(a: Pixels, b: Pixels) -> float:
    return aligned_correlation(evened(a), evened(b))


def window(pixels: Pixels, left: float, top: float, side: float) -> Pixels:
    """What a camera sees that is aimed at this part of the skin."""
    scale = SIDE / side
    to_window = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return cv2.warpAffine(pixels, to_window, (SIDE, SIDE), flags=cv2.INTER_LINEAR)


def middle(pixels: Pixels) -> Pixels:
    return window(pixels, 20, 20, 152)


def brightened(pixels: Pixels) -> Pixels:
    return (middle(pixels).astype(float) * 0.85 + 30).clip(0, 255).astype(np.uint8)


def vignetted(pixels: Pixels) -> Pixels:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    return (middle(pixels) * (1 - 0.3 * (x**2 + y**2))).astype(np.uint8)


def recompressed(pixels: Pixels) -> Pixels:
    _, jpeg = cv2.imencode(".jpg", middle(pixels), [cv2.IMWRITE_JPEG_QUALITY, 40])
    return cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)


AGAIN: dict[str, Callable[[Pixels], Pixels]] = {
    "the same": middle,
    "shifted right by 5": lambda pixels: window(pixels, 20 + 5 * 152 / SIDE, 20, 152),
    "shifted both ways": lambda pixels: window(pixels, 17, 25, 152),
    "nearer by 5 %": lambda pixels: window(pixels, 24, 24, 144.8),
    "farther by 5 %": lambda pixels: window(pixels, 16, 16, 159.6),
    "brightened": brightened,
}


@pytest.mark.parametrize("again", AGAIN.values(), ids=AGAIN)
@pytest.mark.parametrize("index", LESIONS[:4])
def test_a_picture_lies_on_itself_however_it_was_taken(index: int, again: Callable[[Pixels], Pixels]) -> None:
    assert 0.95 < laid_on(middle(drawn(index)), again(drawn(index))) <= 1 + 1e-6


@pytest.mark.parametrize("again", [vignetted, recompressed])
@pytest.mark.parametrize("index", LESIONS[:4])
def test_a_picture_that_was_treated_badly_still_passes_for_a_duplicate(
    index: int, again: Callable[[Pixels], Pixels]
) -> None:
    assert laid_on(middle(drawn(index)), again(drawn(index))) > ALIGNED


def test_strangers_do_not_lie_on_one_another() -> None:
    pairs = [(a, b) for a in LESIONS for b in LESIONS if a < b][:14]
    found = [laid_on(square(drawn(a)), square(drawn(b))) for a, b in pairs]
    assert np.mean(found) < 0.7
    assert max(found) < ALIGNED


def test_a_mirrored_picture_is_a_stranger_until_it_is_mirrored_back() -> None:
    picture = middle(drawn(1))
    assert laid_on(picture, np.ascontiguousarray(picture[:, ::-1])) < ALIGNED


@pytest.mark.parametrize("flat", ["a", "b", "both"])
def test_a_flat_picture_gives_a_finite_number_below_any_duplicate(flat: str) -> None:
    grey, picture = np.full((SIDE, SIDE), 120, np.uint8), square(drawn(0))
    found = laid_on(picture if flat == "b" else grey, picture if flat == "a" else grey)
    assert -1 <= found < ALIGNED


def test_two_pictures_of_noise_do_not_lie_on_one_another() -> None:
    a, b = (np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE), dtype=np.uint8) for seed in (0, 1))
    assert laid_on(a, b) < 0.5


def test_pictures_that_share_a_corner_only_are_not_compared() -> None:
    whole = drawn(2)
    assert laid_on(window(whole, 0, 0, 192), window(whole, 130, 130, 192)) < ALIGNED


def test_brightness_contrast_and_a_slope_of_light_are_evened_out() -> None:
    picture = square(drawn(0)).astype(np.float32) / 2
    slope = np.linspace(0, 60, SIDE, dtype=np.float32)
    changed = picture * 1.5 + slope
    rim = slice(16, -16)
    found = pixel_correlation(evened(picture)[rim, rim], evened(changed)[rim, rim])
    assert found > 0.95


def test_correlation_is_pearsons() -> None:
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=500).astype(np.float32) for _ in range(2))
    assert pixel_correlation(x, x + y) == pytest.approx(np.corrcoef(x, x + y)[0, 1], abs=1e-5)


def test_what_does_not_vary_correlates_with_nothing() -> None:
    flat = np.full(9, 3, np.float32)
    assert pixel_correlation(flat, np.arange(9, dtype=np.float32)) == 0
