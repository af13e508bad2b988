"""Pictures as networks take them: RGB, shrunk; and the hashes by which they are compared."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dermssl.data.images import perceptual_hash, read_rgb, shrink, tones
from dermssl.errors import UserError

Pixels = NDArray[np.uint8]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_colours_come_as_red_green_blue(tmp_path: Path) -> None:
    pixels = noise(6, 5)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_file_that_changed_after_it_was_checked_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png: cannot be read: .*; replace or remove it"):
        read_rgb(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("size", "shrunk"), [((40, 80), (20, 40)), ((80, 40), (40, 20)), ((41, 100), (20, 49)), ((20, 500), (20, 500))]
)
def test_the_shorter_side_is_brought_down_and_the_aspect_kept(size: tuple[int, int], shrunk: tuple[int, int]) -> None:
    assert shrink(noise(*size), 20).shape[:2] == shrunk
    assert shrink(noise(*size)[..., 0], 20).shape == shrunk


def test_a_picture_is_never_enlarged() -> None:
    pixels = noise(10, 12)
    assert np.array_equal(shrink(pixels, 10), pixels)
    assert np.array_equal(shrink(pixels, 99), pixels)


def test_shrinking_by_a_whole_number_averages_blocks() -> None:
    pixels = noise(16, 24)
    blocks = pixels.reshape(4, 4, 6, 4, 3).mean(axis=(1, 3))
    assert np.abs(shrink(pixels, 4) - blocks).max() <= 0.5


def waves(size: int = 256) -> Pixels:
    """A smooth grey picture with waves of every length."""
    blurred = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(256, 256)), (0, 0), 5)
    picture = cv2.resize(blurred, (size, size), interpolation=cv2.INTER_AREA)
    return (128 + 90 * picture / np.abs(picture).max()).astype(np.uint8)


def test_the_perceptual_hash_is_that_of_its_definition() -> None:
    small = cv2.resize(waves(), (32, 32), interpolation=cv2.INTER_AREA).astype(np.float64)
    n = np.arange(32)
    basis = np.cos(np.pi * (2 * n + 1)[None] * np.arange(16)[:, None] / 64)  # (waves, pixels), scale apart
    signs = (basis @ small @ basis.T > 0).ravel()
    signs[0] = False  # the mean says nothing of the picture
    assert perceptual_hash(waves()) == np.packbits(signs).tobytes().hex()


def test_the_perceptual_hash_does_not_see_size_brightness_or_contrast_but_the_picture() -> None:
    def bits(pixels: Pixels) -> int:
        return int(perceptual_hash(pixels), 16)

    whole = waves()
    half, dim, other = waves(128), (whole * 0.6 + 20).astype(np.uint8), np.ascontiguousarray(whole[:, ::-1])
    distances = [(bits(whole) ^ bits(p)).bit_count() for p in (half, dim, other)]
    assert max(distances[:2]) < 20
    assert distances[2] > 80


def test_the_tones_are_the_means_of_eight_by_eight_cells() -> None:
    picture = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((4, 6), np.uint8))
    assert bytes.fromhex(tones(picture)) == bytes(range(64))
