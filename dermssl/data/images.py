"""Pictures as networks take them: uint8 RGB, upright, shrunk; and the hashes by which they are compared."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dermssl.data.decoding import decode, rgb
from dermssl.errors import UserError

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) for a mask


def read_rgb(path: Path, short_side: int | None = None) -> Pixels:
    """The picture as (H, W, 3) RGB, upright by its EXIF orientation, as masks are.

    Args:
        path: The file.
        short_side: Pixels that its shorter side is brought down to; None leaves the picture as it is.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        return pixels_of(path.read_bytes(), short_side)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}; replace or remove it") from error


def pixels_of(data: bytes, short_side: int | None = None) -> Pixels:
    """The picture in a file's bytes, as `read_rgb`.

    Raises:
        UndecodableError: If it cannot be read.
    """
    pixels = rgb(decode(data, short_side))
    return pixels if short_side is None else shrink(pixels, short_side)


def grey_of(pixels: Pixels) -> Pixels:
    """The grey values, (H, W), of a picture (H, W, 3): ITU-R 601, as Pillow rounds it."""
    return np.asarray(Image.fromarray(pixels).convert("L"), np.uint8)


def shrink(pixels: Pixels, short_side: int) -> Pixels:
    """The picture with its shorter side brought down to `short_side` pixels; a smaller one stays as it is.

    Area averaging, which is what shrinking without moiré takes; hairs and rulers are thin.
    """
    height, width = pixels.shape[:2]
    scale = short_side / min(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def skin_colour(pixels: Pixels) -> tuple[int, int, int]:
    """The median colour of the picture's rim, where skin most often is; black corners do not sway a median."""
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = np.median(rim, axis=0)
    return int(red), int(green), int(blue)


def perceptual_hash(grey: Pixels) -> str:
    """Sixty-four hex digits that near-duplicates share almost wholly: 256 signs of the picture's slowest waves.

    The sign of each of 16 x 16 coefficients of the cosine transform of the picture at 32 x 32 pixels, its mean apart.
    Brightness and contrast do not change it, and those of the mirrored and turned picture follow from it
    (`dermssl.splits.fingerprints`). Of 64 bits, a third of the archive looks alike: there is a dark blob in the middle
    of them all.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:16, :16]  # rows are waves along y
    signs = waves > 0
    signs[0, 0] = False
    return np.packbits(signs).tobytes().hex()


def tones(grey: Pixels) -> str:
    """The picture at 8 x 8 pixels, as 128 hex digits: tells apart what the hash takes for alike, without its file."""
    return cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False).tobytes().hex()
