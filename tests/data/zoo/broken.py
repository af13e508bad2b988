"""Pictures that are refused: each with the word for what it is."""

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from data.zoo.containers import chunk, tiff
from data.zoo.drawing import grey_of, photo_file, photo_of, refused_picture, saved
from data.zoo.exhibit import Exhibit

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Please sign in.</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456\n"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
DICOM = bytes(128) + b"DICM" + bytes(100)


def broken_pictures() -> list[Exhibit]:
    """All exhibits of this file."""
    return [*no_pictures(), *moving_pictures(), *strange_depths(), *truncated_pictures(), *damaged_pictures()]


def zipped() -> bytes:
    """A zip file that holds a picture."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("ISIC_0000005.png"), photo_file("zipped"))
    return file.getvalue()


def no_pictures() -> list[Exhibit]:
    """Files that only have a picture's name."""
    return [
        refused_picture("no_picture_text", ".jpg", b"not found\n", "text"),
        refused_picture("no_picture_html", ".jpg", HTML, "HTML"),
        refused_picture("no_picture_empty", ".png", b"", "empty"),
        refused_picture("no_picture_zip", ".png", zipped(), r"(?i)\bzip\b"),
        refused_picture("no_picture_lfs_pointer", ".jpg", POINTER, r"(?i)git.lfs"),
        refused_picture("no_picture_pdf", ".jpg", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n" + bytes(99), "PDF"),
        refused_picture("no_picture_heic_called_jpg", ".jpg", HEIC, "HEI[CF]"),
        refused_picture("no_picture_dicom_called_jpg", ".jpg", DICOM, "DICOM"),
        refused_picture("no_picture_zeros", ".png", bytes(500), "no picture"),
    ]


def moving_pictures() -> list[Exhibit]:
    """Pictures of which there are several in one file."""
    first, second = (Image.fromarray(photo_of(f"moving {number}")) for number in (1, 2))
    several = {"save_all": True, "append_images": [second], "duration": 100}
    pages = tiff(photo_of("moving 1"), photo_of("moving 2"))
    frames = r"frames|moves"
    return [
        refused_picture("moving_gif", ".gif", saved(first, "GIF", **several), frames),
        refused_picture("moving_webp", ".webp", saved(first, "WEBP", **several), frames),
        refused_picture("moving_png", ".png", saved(first, "PNG", **several), frames),
        refused_picture("tiff_of_two_pages", ".tif", pages, "pages"),
    ]


def strange_depths() -> list[Exhibit]:
    """Numbers that are no grey values."""
    grey = grey_of("strange")
    lab = Image.merge("LAB", [Image.fromarray(channel) for channel in np.moveaxis(photo_of("strange"), 2, 0)])
    return [
        refused_picture("tiff_lab", ".tif", saved(lab, "TIFF"), "LAB"),
        refused_picture("tiff_32_bit_float", ".tif", tiff((grey / 255).astype(np.float32)), "32-bit float"),
        refused_picture("tiff_32_bit_integer", ".tif", tiff(grey.astype(np.int32) * 1000), "32-bit integer"),
    ]


def truncated_pictures() -> list[Exhibit]:
    """Files whose end is missing: a fifth of them, and of one so much that nothing is left but its tables."""
    kinds = {".jpg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".tif": "TIFF", ".webp": "WEBP", ".gif": "GIF"}
    whole = {suffix: saved(Image.fromarray(photo_of("truncated")), kind) for suffix, kind in kinds.items()}
    cuts = {f"truncated_{suffix[1:]}": (suffix, content[: len(content) * 4 // 5]) for suffix, content in whole.items()}
    cuts["truncated_jpg_in_its_tables"] = (".jpg", whole[".jpg"][:400])
    return [
        refused_picture(name, suffix, content, "(?i)truncated", fault="truncated")
        for name, (suffix, content) in cuts.items()
    ]


def damaged_pictures() -> list[Exhibit]:
    """Files of full length that do not hold what they say: a wrong byte, and a size that no memory has."""
    whole = bytearray(saved(photo_of("damaged")))
    whole[len(whole) // 2] ^= 0xFF
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return [
        refused_picture("damaged_png", ".png", bytes(whole), "(?i)damaged|broken|checksum|unreadable"),
        refused_picture("damaged_by_its_size", ".png", huge, "pixels"),
    ]
