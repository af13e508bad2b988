"""Reading pictures: which files are pictures, and one rule for how their pixels lie."""

import io
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dermssl.errors import UserError

ORIENTATION = 0x0112  # of EXIF
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) for a mask


def find_pictures(folder: Path) -> list[Path]:
    """Every picture file in `folder` and below, hidden ones left out, in the order of their names.

    Raises:
        UserError: If the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds images")
    pictures = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )
    if not pictures:
        raise UserError(f"{folder}: no images (no file here or in a folder below ends in {' '.join(SUFFIXES)})")
    return pictures


class StoredForm(NamedTuple):
    """How a picture lies in its file."""

    mode: str
    """PIL's: RGB, L for grey, CMYK, P for a palette, I;16 for 16 bits, ..."""
    orientation: int
    """EXIF's, 1 to 8; 1 is upright."""


def verify(data: bytes) -> tuple[StoredForm, Image.Image]:
    """How the picture in `data` is stored, and the picture upright, decoded to its last byte.

    PIL and not OpenCV: OpenCV fills the missing part of a truncated file with grey and says nothing.

    Raises:
        OSError: If the picture is truncated or is none.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            stored = StoredForm(picture.mode, int(picture.getexif().get(ORIENTATION) or 1))
            return stored, ImageOps.exif_transpose(picture)
    except UnidentifiedImageError as error:
        raise OSError("not a picture") from error  # PIL tells an address in memory instead
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:  # its other ways to say it
        raise OSError(str(error)) from error


DECODING = {  # the sides' divisor -> OpenCV's flag
    1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8,
}  # fmt: skip


def read_rgb(path: Path, divisor: int = 1) -> Pixels:
    """The picture as (H, W, 3) RGB, upright by its EXIF orientation, as masks are; its sides divided by `divisor`."""
    data = np.fromfile(path, np.uint8)
    pixels = cv2.imdecode(data, DECODING[divisor]) if len(data) else None  # OpenCV stops at an empty file
    if pixels is None:
        raise UserError(f"{path}: not a picture that can be read; replace or remove it")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def reduction(side: int, short_side: int) -> int:
    """The divisor at which a JPEG is decoded in a fraction of the time and can still be shrunk to `short_side`.

    Twice that side is kept for the averaging that follows, so that the result differs by a grey value or two.
    """
    return max((divisor for divisor in DECODING if side >= 2 * divisor * short_side), default=1)


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
