"""Damaged and odd pictures and masks: each is told in a second and a gigabyte, or is seen by its hash."""

import io
import os
import resource
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from faults.tally import Tally, generator, tallied, trials
from PIL import Image

from dermssl.data.decoding import decode, rgb
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.data.measurements import lost_rows
from dermssl.errors import UserError

pytestmark = pytest.mark.usefixtures("workplace")
SECONDS, KILOBYTES = 1.0, 2**20
FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".bmp": "BMP", ".webp": "WEBP", ".gif": "GIF"}
Bytes = Callable[[np.random.Generator], bytes]


def photograph(rng: np.random.Generator, width: int = 128, height: int = 96) -> Image.Image:
    """Skin with a lesion and the noise of a camera."""
    pixels = np.full((height, width, 3), rng.integers(150, 220, 3), np.uint8)
    cv2.circle(pixels, (width // 2, height // 2), height // 4, rng.integers(30, 90, 3).tolist(), -1)
    return Image.fromarray((pixels + rng.normal(0, 6, pixels.shape)).clip(0, 255).astype(np.uint8))


def saved(picture: Image.Image, form: str, **how: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **how)
    return stream.getvalue()


def draw_pairs(folder: Path, rng: np.random.Generator) -> Path:
    """A picture of each format, and its mask."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number, (ending, form) in enumerate(FORMATS.items()):
        (folder / "images" / f"a{number}{ending}").write_bytes(saved(photograph(rng), form))
        mask = np.zeros((96, 128), np.uint8)
        cv2.circle(mask, (64, 48), 24, 255, -1)
        (folder / "masks" / f"a{number}.png").write_bytes(saved(Image.fromarray(mask), "PNG"))
    return folder


def with_header(width: int, height: int) -> bytes:
    """A PNG that is small and says that it is as large."""
    row = zlib.compress(bytes(100))
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", row), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def patched_jpeg(rng: np.random.Generator, width: int = 13_000, height: int = 13_000) -> bytes:
    data = bytearray(saved(photograph(rng), "JPEG"))
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def turned_by(value: int) -> Bytes:
    def build(rng: np.random.Generator) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = value
        return saved(photograph(rng), "JPEG", exif=exif)

    return build


READ, FAULT = "", "unreadable"
ODD: Mapping[str, tuple[Bytes, str]] = {  # file -> how it is made, and the fault that its row has
    "a.png": (lambda _: with_header(13_000, 13_000), "truncated"),
    "b.png": (lambda _: with_header(2**31 - 1, 2**31 - 1), FAULT),
    "c.jpg": (patched_jpeg, "truncated"),
    "d.jpg": (lambda rng: patched_jpeg(rng, 65_535, 65_535), FAULT),
    "e.png": (lambda rng: saved(photograph(rng, 1, 500), "PNG"), READ),
    "f.jpg": (lambda rng: saved(photograph(rng, 60_000, 1), "JPEG"), READ),
    "g.png": (lambda rng: saved(photograph(rng, 60_000, 1), "PNG"), READ),
    "h.jpg": (turned_by(0), READ),
    "i.jpg": (turned_by(9), READ),
    "j.jpg": (turned_by(65_535), READ),
    "k.jpg": (lambda _: b"", FAULT),
    "l.jpg": (lambda _: bytes(5000), FAULT),
    "m.jpg": (lambda rng: rng.bytes(5000), FAULT),
    "n.png": (lambda rng: b"\x89PNG\r\n\x1a\n" + rng.bytes(99), FAULT),
    "o.tif": (lambda rng: b"II*\x00" + rng.bytes(99), FAULT),
    "p.webp": (lambda rng: saved(photograph(rng), "WEBP")[:-400], "truncated"),
    "q.jpg": (lambda rng: saved(photograph(rng), "JPEG")[:-400], "truncated"),
    "r.png": (lambda rng: saved(photograph(rng), "PNG")[:-400], "truncated"),
}  # fmt: skip


def row_of_odd(folder: Path) -> Manifest:
    """The set's manifest; its single picture is the odd one."""
    return read_manifest(folder, keep_in=folder / "kept")


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_is_a_row_within_a_second_and_a_gigabyte(name: str, tmp_path: Path) -> None:
    build, fault = ODD[name]
    (tmp_path / name).write_bytes(build(generator(name)))
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    manifest = row_of_odd(tmp_path)
    assert time.process_time() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KILOBYTES
    assert manifest.table["fault"].tolist() == [fault], manifest.table["problem"].tolist()


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/random", "pipe", "nowhere", "b.jpg"])
def test_a_link_to_what_is_no_picture_is_passed_over_or_told(target: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(saved(photograph(generator("links")), "PNG"))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "b.jpg").symlink_to(target)
    began = time.process_time()
    manifest = row_of_odd(tmp_path)
    assert time.process_time() - began < SECONDS
    told = manifest.passed_over.sentence + " ".join(manifest.table["problem"])
    assert "no regular files" in told if target in ("/dev/zero", "/dev/random", "pipe") else "link" in told


def test_a_tiff_with_alpha_is_the_png_with_alpha() -> None:
    picture = Image.fromarray(generator("alpha").integers(0, 256, (40, 50, 4), np.uint8))
    tiff, png = (rgb(decode(saved(picture, form))) for form in ("TIFF", "PNG"))
    assert np.array_equal(tiff, png)


def flip(path: Path, rng: np.random.Generator) -> bytes:
    """Turns a bit over in a file, keeping its time and size; returns what it held."""
    data, status = path.read_bytes(), path.stat()
    damaged = bytearray(data)
    damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(damaged))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return data


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    rng = generator("pictures")
    data = draw_pairs(tmp_path / "set", rng)
    files, whole = (
        sorted(path for path in data.rglob("*.*") if path.is_file()),
        read_manifest(data, keep_in=tmp_path).hash,
    )
    with tallied("pictures") as tally:
        for trial in range(trials(whole=600, sample=24)):
            path = files[int(rng.integers(len(files)))]
            before = flip(path, rng)
            judge(data, tmp_path / f"kept{trial}", whole, f"{path.name}", tally)
            path.write_bytes(before)


def judge(data: Path, kept: Path, whole: str, what: str, tally: Tally) -> None:
    """A file of the set is damaged: it is told, or the hash of the set is another one."""
    try:
        manifest = read_manifest(data, keep_in=kept)
    except UserError as error:
        tally.told(str(error))
        return
    problems = [problem for problem in manifest.table["problem"] if problem]
    if problems:
        tally.told(problems[0])
    elif manifest.hash != whole:
        tally.right += 1
    else:
        tally.wrong.append(f"{what}: nothing was seen")
    shutil.rmtree(kept, ignore_errors=True)


@pytest.mark.parametrize("ending", ["cut and closed", "zeros"])
def test_a_jpeg_whose_end_was_lost_is_found(ending: str) -> None:
    rng = generator(ending)
    for _ in range(trials(whole=100, sample=10)):
        data = saved(photograph(rng, 256, 192), "JPEG", quality=int(rng.integers(60, 96)))
        half = int(len(data) * rng.uniform(0.3, 0.8))
        end = b"\xff\xd9" if ending == "cut and closed" else bytes(8 * len(data)) + b"\xff\xd9"
        lost = lost_rows(np.asarray(Image.open(io.BytesIO(data[:half] + end)).convert("L")))
        assert 0.02 <= lost < 0.9  # a part of the file holds more of some rows than of others
        assert lost_rows(np.asarray(Image.open(io.BytesIO(data)).convert("L"))) == 0
