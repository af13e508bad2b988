"""The one decoder: what a picture file holds, in its own type and upright. Whatever reads a picture reads it here.

Pillow, and not OpenCV beside it: two decoders disagree about what is readable, and OpenCV fills the missing end of a
truncated file with grey and says nothing. OpenCV reads only what Pillow does not keep or know: the sixteen bits of a
colour mask, and numbers of double precision.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from dermssl.data.file_faults import (
    JPEG_MEGAPIXELS,
    UndecodableError,
    reason,
    refuse_damage,
    refuse_few_bytes,
    refuse_megapixels,
    refuse_several,
)

ORIENTATION = 0x0112  # of EXIF
BITS_PER_SAMPLE, PHOTOMETRIC, WHITE_IS_ZERO = 258, 262, 0  # of TIFF
FORMATS = tuple(  # no other reader is ever asked
    reader.format
    for reader in (
        JpegImagePlugin.JpegImageFile, PngImagePlugin.PngImageFile, TiffImagePlugin.TiffImageFile,
        BmpImagePlugin.BmpImageFile, WebPImagePlugin.WebPImageFile, GifImagePlugin.GifImageFile,
        Jpeg2KImagePlugin.Jpeg2KImageFile,
    )
)  # fmt: skip
DIVISORS = (1, 2, 4, 8)  # of a JPEG's sides, that cost a fraction of the time
TIFF_HEADS = (b"II", b"MM")
EIGHT_BITS = ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr")
WITH_ALPHA = ("LA", "La", "RGBA", "RGBa", "P", "PA")
OTHER_MODES = {
    "I": "32-bit integers (or ones with a sign)",
    "F": "32-bit float (or 64)",
    "LAB": "LAB colours",
    "HSV": "HSV colours",
}
Samples = NDArray[np.generic]  # (H, W) or (H, W, C), of whatever type is stored

Image.MAX_IMAGE_PIXELS = None  # the limits are ours, of file_faults, which say what is too large in words of ours
# What both print of files (a broken EXIF block, a palette with transparency) names none; what matters is seen below.
(getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)  # silent; from 4.13 on it stands deeper
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True)
class StoredPicture:
    """A picture as it lies in its file, decoded to its last byte."""

    picture: Image.Image
    """Not turned yet, but by Pillow where it is a TIFF; with its sides divided where that was asked for."""
    mode: str
    """Pillow's: RGB, L for grey, CMYK, P for a palette, I;16 for 16 bits, F for float, ..."""
    orientation: int
    """EXIF's, 1 to 8; 1 is upright."""
    width: int
    """Of the upright picture, pixels, undivided."""
    height: int
    """Of the upright picture, pixels, undivided."""
    deep: bool
    """Whether several channels have 16 bits each, of which Pillow keeps the upper eight."""
    data: bytes
    """The file."""
    white_is_zero: bool = False
    """Whether it is a TIFF that stores white as 0, which Pillow turns over where a sample has 8 bits or fewer."""
    bits: int = 8
    """Of a sample."""

    def turned(self, samples: Samples) -> Samples:
        """Samples as Pillow decoded them, (H, W) or (H, W, C), upright."""
        return samples if self.picture.format == "TIFF" else turned(samples, self.orientation)

    def samples(self) -> Samples:
        """What is stored, upright, (H, W) or (H, W, C): indices of a palette, grey values, channels, in their type."""
        return self.turned(deep_samples(self.data) if self.deep else np.asarray(self.picture))


def read_file(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: If it cannot be read; of a link, that it leads nowhere.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        if path.is_symlink():
            raise UndecodableError(f"a link to {path.readlink()}, which is not there or cannot be read") from error
        raise


def decode(data: bytes, short_side: int | None = None, most: int = JPEG_MEGAPIXELS) -> StoredPicture:
    """The picture in `data`, decoded to its last byte.

    Args:
        data: The file.
        short_side: Pixels that the shorter side is to be shrunk to; a JPEG is then decoded at a fraction of its sides
            that leaves twice as many for the averaging, so that the result differs by a grey value or two.
        most: Megapixels of a JPEG to come of it; the sides of a larger one are divided.

    Raises:
        UndecodableError: If it is no picture, truncated, one of several, or too large.
    """
    with reader_errors(data), opened(data) as picture:
        refuse_megapixels(picture)
        refuse_few_bytes(picture, data)
        refuse_several(picture)
        deep, (width, height) = is_deep(picture), picture.size
        turned_by_pillow = picture.format == "TIFF"  # which tells the size of the upright picture, and forgets the tag
        orientation = orientation_of(picture) if turned_by_pillow else 1
        divisor = max(reduction(min(width, height), short_side), reduction_to(width * height, most))
        if divisor > 1:
            picture.draft(picture.mode, (width // divisor, height // divisor))
        picture.load()
        if not turned_by_pillow:  # afterwards, for of a PNG it loads the picture, and keeps to itself what fails
            orientation = orientation_of(picture)
            width, height = (height, width) if orientation > 4 else (width, height)
        refuse_damage(picture.format, data)
    tags = getattr(picture, "tag_v2", {})
    white_is_zero = tags.get(PHOTOMETRIC) == WHITE_IS_ZERO
    bits = max(tags.get(BITS_PER_SAMPLE, (16 if picture.mode.startswith("I;16") else 8,)))
    return StoredPicture(picture, picture.mode, orientation, width, height, deep, data, white_is_zero, bits)


def opened(data: bytes) -> Image.Image:
    """The picture in `data`, its pixels not decoded yet; a TIFF of double precision by OpenCV, as single precision."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data[:2] in TIFF_HEADS else None
        if samples is None or samples.dtype != np.float64 or samples.ndim != 2:
            raise
        if len(cv2.imdecodemulti(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[1]) > 1:
            raise UndecodableError("TIFF of several pages; one picture a file is read") from None
        return Image.fromarray(samples.astype(np.float32))


def reduction(side: int, short_side: int | None) -> int:
    """The largest divisor at which a shorter side of `side` pixels has twice `short_side`; 1 where that is None."""
    if short_side is None:
        return 1
    return max((divisor for divisor in DIVISORS if side >= 2 * divisor * short_side), default=1)


def reduction_to(pixels: int, most: int) -> int:
    """The least divisor of the sides that leaves no more than `most` megapixels."""
    return next((divisor for divisor in DIVISORS if pixels <= most * 1_000_000 * divisor**2), DIVISORS[-1])


@contextmanager
def reader_errors(data: bytes) -> Iterator[None]:
    """Turns whatever the body raises at a file into a sentence that says what the file is."""
    try:
        yield
    except (UndecodableError, MemoryError):
        raise  # the latter is no fault of the file
    except Exception as error:  # readers of seven formats raise what they like: struct.error, KeyError, zlib.error, ...
        raise UndecodableError(reason(data, error)) from error


def is_deep(picture: Image.Image) -> bool:
    """Whether a picture that is opened and not yet decoded has several channels of 16 bits."""
    if len(picture.getbands()) == 1:
        return False
    if picture.format == "TIFF":
        return bool(max(picture.tag_v2.get(BITS_PER_SAMPLE, (8,))) > 8)  # type: ignore[attr-defined]
    if picture.format == "JPEG2000":  # whose bits Pillow does not tell
        return True
    return picture.format == "PNG" and any("16" in str(tile[3]) for tile in picture.tile)  # type: ignore[attr-defined]


def orientation_of(picture: Image.Image) -> int:
    """EXIF's orientation, 1 to 8; 1 where there is none, or none that means anything."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # of an EXIF block that is broken; the picture is none the worse
        return 1
    return int(value) if value in range(1, 9) else 1


def turned(samples: Samples, orientation: int) -> Samples:
    """Samples (H, W) or (H, W, C) as they lie in a file with this EXIF orientation, upright.

    The eight are the symmetries of the square: 3 is half a turn, 6 a quarter clockwise, 8 one back, 2 and 4 mirror
    columns and rows, 5 and 7 swap rows and columns along either diagonal.
    """
    if orientation > 4:
        samples = samples.swapaxes(0, 1)
    rows, columns = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}[
        orientation
    ]
    return samples[::rows, ::columns]


def deep_samples(data: bytes) -> Samples:
    """The 16-bit channels of a picture, (H, W, C), colour first and alpha last, as OpenCV reads them."""
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise UndecodableError("16 bits a channel, which are read of PNG and plain TIFF alone; save it with 8 bits")
    order = [2, 1, 0, 3][: samples.shape[2]] if samples.ndim == 3 else slice(None)
    return np.asarray(samples[..., order] if samples.ndim == 3 else samples)


def rgb(stored: StoredPicture) -> NDArray[np.uint8]:
    """The picture as (H, W, 3) RGB, upright: alpha dropped, 16 bits shifted down to eight.

    Raises:
        UndecodableError: If its numbers are no shades between a known black and white.
    """
    picture, mode = stored.picture, stored.mode
    if mode.startswith("I;16"):
        grey = (np.asarray(picture) >> (stored.bits - 8)).clip(0, 255).astype(np.uint8)
        grey = 255 - grey if stored.white_is_zero else grey
        return np.ascontiguousarray(stored.turned(np.repeat(grey[..., None], 3, axis=2)), np.uint8)
    if mode in WITH_ALPHA:  # over RGBA, so that a palette's own transparency is dropped and not painted in
        picture = picture.convert("RGBA")
    elif mode not in EIGHT_BITS:
        what = OTHER_MODES.get(mode, f"the mode {mode}")
        raise UndecodableError(f"stored in {what}, whose black and white are not known; save it as RGB with 8 bits")
    return np.ascontiguousarray(stored.turned(np.asarray(picture.convert("RGB"))), np.uint8)
