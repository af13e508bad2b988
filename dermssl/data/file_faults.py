"""What is wrong with a picture's file: it is too large, holds several pictures, is damaged, or is something else."""

import zlib

from PIL import Image, UnidentifiedImageError

MEGAPIXELS = 200  # the largest picture that is decoded whole
JPEG_MEGAPIXELS = 1000  # the largest JPEG: it can be decoded at an eighth of its sides
PIXELS_A_BYTE = 512  # of a JPEG, at most: each block of one shade takes a bit or two
SUBFILE_TYPE, REDUCED = 254, 1  # of TIFF
HEADS = (  # where a file that is no picture tells what it is, how, and what that is
    (0, b"<!doctype", "a web page (HTML)"), (0, b"<html", "a web page (HTML)"), (0, b"%pdf", "a PDF"),
    (0, b"pk\x03\x04", "a zip archive"), (0, b"8bps", "a Photoshop file"), (4, b"jxl ", "a JPEG XL picture"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, its file not fetched"), (128, b"dicm", "a DICOM file"),
    (4, b"ftyphei", "an HEIC photograph"), (4, b"ftypmif1", "an HEIF photograph"), (4, b"ftypavif", "an AVIF picture"),
)  # fmt: skip
NO_PICTURE = "no picture that is read, or its first bytes are damaged"


class UndecodableError(OSError):
    """The data is no picture that can be read; the sentence says what it is."""


def refuse_megapixels(picture: Image.Image) -> None:
    """Stops at a picture that would fill the memory, by its header."""
    width, height = picture.size
    limit = JPEG_MEGAPIXELS if picture.format in ("JPEG", "MPO") else MEGAPIXELS
    if width * height > limit * 1_000_000:
        raise UndecodableError(
            f"{width} x {height} pixels are {width * height / 1e6:.0f} megapixels, of which {limit} are read "
            f"({JPEG_MEGAPIXELS} of a JPEG); save it smaller"
        )


def refuse_few_bytes(picture: Image.Image, data: bytes) -> None:
    """Stops at a JPEG whose header promises more than its bytes can hold, before seconds are spent on filling it in."""
    width, height = picture.size
    if picture.format in ("JPEG", "MPO") and width * height > PIXELS_A_BYTE * len(data):
        promised = f"{width} x {height} pixels, which {len(data)} bytes cannot hold"
        raise UndecodableError(f"truncated, or its header is damaged: it promises {promised}")


def refuse_several(picture: Image.Image) -> None:
    """Stops at a file that holds several pictures: which of them is meant, nobody has said."""
    count = getattr(picture, "n_frames", 1)
    if count < 2 or picture.format == "MPO":  # the second picture of a phone's MPO is its preview
        return
    if picture.format == "TIFF":
        count = sum(is_whole_page(picture, page) for page in range(count))
        picture.seek(0)
    if count > 1:
        what = "pages" if picture.format == "TIFF" else "frames"
        raise UndecodableError(
            f"{picture.format} of {count} {what}; one picture a file is read, so save the right one alone"
        )


def is_whole_page(picture: Image.Image, page: int) -> bool:
    """Whether a page of a TIFF is one of its own and no preview of the first, by its tag or by half its sides."""
    picture.seek(0)
    width, height = picture.size
    picture.seek(page)
    is_tagged = bool(int(picture.tag_v2.get(SUBFILE_TYPE, 0)) & REDUCED)  # type: ignore[attr-defined]
    return not (is_tagged or (2 * picture.width <= width and 2 * picture.height <= height))


def refuse_damage(kind: str | None, data: bytes) -> None:
    """Stops at a PNG one of whose checksums is wrong, which Pillow does not look at."""
    place = 8
    while kind == "PNG" and place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        end = place + 8 + length
        if zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise UndecodableError("damaged, for a checksum in it is wrong")
        if data[place + 4 : place + 8] == b"IEND":
            return  # what lies behind it is no part of the picture
        place = end + 4


def reason(data: bytes, error: Exception) -> str:
    """What is wrong with the data that a reader gave up on: what it is instead, or the reader's own words."""
    if not data:
        return "empty, a file of 0 bytes"
    if not data.strip(b"\x00"):
        return "no picture but zeros alone, as where a disk was full"
    if data[:4] == b"RIFF" and len(data) < int.from_bytes(data[4:8], "little"):
        return f"truncated, {len(data)} bytes of {int.from_bytes(data[4:8], 'little') + 8}"
    is_other = next((what for place, start, what in HEADS if data[place:].lstrip().lower().startswith(start)), "")
    if is_other:
        return f"no picture but {is_other}"
    if isinstance(error, UnidentifiedImageError):  # it tells an address in memory
        text = data[:40].decode("utf-8", errors="replace")
        is_text = all(letter.isprintable() or letter.isspace() for letter in text)
        if data[:4] in (b"II*\x00", b"MM\x00*"):
            return "a TIFF of a kind that is not read (its numbers, channels or packing); save it as PNG with 8 bits"
        return f"no picture but a text: {' '.join(text.split())}" if is_text else NO_PICTURE
    return " ".join(str(error).split()) or type(error).__name__
