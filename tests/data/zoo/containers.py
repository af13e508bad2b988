"""Picture files that PIL does not write: PNG of any depth, interlaced or not, BMP with runs, TIFF of any kind."""

import io
import struct
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

Samples = NDArray[np.generic]  # (H, W) or (H, W, C), whole numbers

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # channels -> PNG's number: grey, grey and alpha, RGB, RGBA
WHOLE = [(0, 0, 1, 1)]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def packed_rows(samples: Samples, depth: int) -> bytes:
    """The rows of one pass, each behind a zero for "no filter"."""
    if depth >= 8:
        rows = samples.reshape(len(samples), -1).astype(">u2" if depth == 16 else "u1")
        return b"".join(b"\0" + row.tobytes() for row in rows)
    bits = (samples.astype(np.uint8)[..., None] >> np.arange(depth - 1, -1, -1)) & 1  # (H, W, depth)
    return b"".join(b"\0" + np.packbits(row).tobytes() for row in bits.reshape(len(samples), -1))


def png(
    samples: Samples, depth: int = 8, *, interlaced: bool = False, palette: bytes = b"", transparent: bytes = b""
) -> bytes:
    """A PNG file of these samples; `palette` in RGB triples makes them indices, `transparent` is its tRNS."""
    channels = 1 if samples.ndim == 2 else samples.shape[2]
    height, width = samples.shape[:2]
    colour = 3 if palette else COLOUR_TYPES[channels]
    steps = ADAM7 if interlaced else WHOLE
    passes = [packed_rows(samples[y::dy, x::dx], depth) for x, y, dx, dy in steps]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    more = (chunk(b"PLTE", palette) if palette else b"") + (chunk(b"tRNS", transparent) if transparent else b"")
    body = chunk(b"IDAT", zlib.compress(b"".join(passes)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + more + body + chunk(b"IEND", b"")


def bmp_runs(indices: NDArray[np.uint8], palette: Sequence[tuple[int, int, int]]) -> bytes:
    """A BMP file of 8-bit indices in runs (RLE8), from the bottom row up."""
    body = b""
    for row in indices[::-1]:
        edges = [0, *(np.flatnonzero(np.diff(row.astype(int))) + 1).tolist(), len(row)]
        body += b"".join(bytes([end - start, row[start]]) for start, end in pairwise(edges))
        body += b"\0\0"
    body += b"\0\1"
    colours = b"".join(bytes([blue, green, red, 0]) for red, green, blue in palette)
    start = 54 + len(colours)
    height, width = indices.shape
    about = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(body), 2835, 2835, len(palette), 0)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + about + colours + body


def bmp_top_down(pixels: NDArray[np.uint8]) -> bytes:
    """A BMP file of 24 bits whose rows go from the top down, which its negative height says."""
    height, width = pixels.shape[:2]
    gap = b"\0" * (-3 * width % 4)
    body = b"".join(row[:, ::-1].tobytes() + gap for row in pixels)
    about = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 24, 0, len(body), 2835, 2835, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(body), 0, 0, 54) + about + body


def tiff(
    *pages: Samples, big_endian: bool = False, white_is_0: bool = False, tile: tuple[int, int] | None = None,
    rows_per_strip: int | None = None, planes: bool = False,
) -> bytes:  # fmt: skip
    """A TIFF file of these pages as tifffile writes it: grey, or RGB in the last axis, in the first with `planes`."""
    file = io.BytesIO()
    meaning: Literal["rgb", "miniswhite", "minisblack"] = "miniswhite" if white_is_0 else "minisblack"
    with tifffile.TiffWriter(file, byteorder=">" if big_endian else "<") as writer:
        for page in pages:
            writer.write(
                page, contiguous=False, metadata=None, photometric="rgb" if page.ndim == 3 else meaning, tile=tile,
                rowsperstrip=rows_per_strip, planarconfig="separate" if planes else None,
            )  # fmt: skip
    return file.getvalue()
