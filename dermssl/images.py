"""Reading pictures: which files are pictures, and one rule for how their pixels lie."""

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dermssl.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) for a mask


def find_pictures(folder: Path) -> list[Path]:
    """Every picture file in `folder` and below, hidden ones left out, in the order of their names.

    Raises:
        UserError: If the folder is missing or holds no picture.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give a folder of images")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not path.is_dir()
    )
    if not found:
        raise UserError(f"{folder}: no images (looked for {' '.join(SUFFIXES)} in this folder and below)")
    return found


def verify(data: bytes) -> Image.Image:
    """The upright picture in `data`, decoded to its last byte.

    PIL and not OpenCV: OpenCV fills the missing part of a truncated file with grey and says nothing.

    Raises:
        OSError: If the picture is truncated or is none.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except UnidentifiedImageError as error:
        raise OSError("not a picture") from error  # PIL tells an address in memory instead
    except (SyntaxError, ValueError, Image.DecompressionBombError) as error:  # its other ways to say it
        raise OSError(str(error)) from error


def read_rgb(path: Path) -> Pixels:
    """The picture as (H, W, 3) RGB, upright by its EXIF orientation, as masks are."""
    data = np.fromfile(path, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None  # OpenCV stops at an empty file
    if pixels is None:
        raise UserError(f"{path}: not a picture that can be read; replace or remove it")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


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


def difference_hash(picture: Image.Image) -> str:
    """Sixteen hex digits that near-duplicates share almost wholly: is each of 8 x 8 cells darker than its right one?"""
    cells = np.asarray(picture.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = np.packbits(cells[:, :-1] < cells[:, 1:])
    return bits.tobytes().hex()
