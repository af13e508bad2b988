"""Which files are pictures, that broken ones are told from whole ones, and one rule for how pixels lie."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dermssl.errors import UserError
from dermssl.images import difference_hash, find_pictures, read_rgb, shrink, verify

Pixels = NDArray[np.uint8]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels: Pixels, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def turned(pixels: Pixels, orientation: int) -> bytes:
    """A PNG whose pixels are stored as the camera held them, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, "JPEG", exif=exif, quality=100, subsampling=0)


def test_pictures_are_found_at_any_depth_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.PNG", "a/deep/c.jpeg", "a/x.tif", "notes.txt", ".hidden.png", ".dermssl/cached.png", "z.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in find_pictures(tmp_path)]
    assert found == ["a/deep/c.jpeg", "a/x.tif", "b.PNG", "z.bmp"]


def test_pictures_are_found_under_a_hidden_folder_that_the_user_names(tmp_path: Path) -> None:
    (tmp_path / ".mine").mkdir()
    (tmp_path / ".mine" / "a.png").touch()
    assert len(find_pictures(tmp_path / ".mine")) == 1


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such folder; give a folder of images"):
        find_pictures(tmp_path / "none")


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(UserError) as caught:
        find_pictures(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no images (looked for .jpg .jpeg .png .bmp .tif .tiff in this folder and below)"
    )


@pytest.mark.filterwarnings("ignore")  # PIL warns of some of the damage before it refuses the rest
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_whole_picture_is_verified_and_every_truncation_is_refused(kind: str) -> None:
    data = encoded(noise(20, 30), kind)
    assert verify(data).size == (30, 20)
    for size in np.linspace(0, len(data) - 24, 40).astype(int):  # the last bytes of a PNG hold no pixels
        with pytest.raises(OSError, match=r"."):
            verify(data[:size])


@pytest.mark.parametrize("data", [b"", b"not a picture at all", b"\x89PNG\r\n\x1a\n"], ids=["empty", "text", "a start"])
def test_what_is_no_picture_is_refused_without_an_address_in_memory(data: bytes) -> None:
    with pytest.raises(OSError, match=r"^not a picture$"):
        verify(data)


def test_a_header_that_claims_a_gigapixel_is_refused_and_does_not_crash() -> None:
    data = bytearray(encoded(noise(4, 4), "BMP"))
    data[18:22] = (40_000).to_bytes(4, "little")  # width and height in the file's header
    data[22:26] = (40_000).to_bytes(4, "little")
    with pytest.raises(OSError, match="exceeds limit"):
        verify(bytes(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_both_readers_turn_a_picture_by_its_exif_orientation_alike(orientation: int, tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:4, :4] = (255, 0, 0)
    (tmp_path / "a.jpg").write_bytes(turned(pixels, orientation))
    by_pil, by_cv2 = np.asarray(verify((tmp_path / "a.jpg").read_bytes())), read_rgb(tmp_path / "a.jpg")
    assert by_pil.shape == by_cv2.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))
    assert np.abs(by_pil.astype(int) - by_cv2).max() <= 2


def test_colours_come_as_red_green_blue(tmp_path: Path) -> None:
    pixels = noise(6, 5)
    (tmp_path / "a.png").write_bytes(encoded(pixels, "PNG"))
    assert np.array_equal(read_rgb(tmp_path / "a.png"), pixels)


def test_a_grey_picture_has_three_equal_channels(tmp_path: Path) -> None:
    grey = noise(6, 5)[..., 0]
    (tmp_path / "a.png").write_bytes(encoded(grey, "PNG"))
    assert np.array_equal(read_rgb(tmp_path / "a.png"), np.stack([grey] * 3, axis=2))


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_file_that_changed_after_it_was_checked_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.png: not a picture that can be read; replace or remove it"):
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


def test_the_difference_hash_is_that_of_its_definition() -> None:
    cells = np.random.default_rng(0).permutation(72).reshape(8, 9).astype(np.uint8)
    bits = "".join("1" if row[i] < row[i + 1] else "0" for row in cells.tolist() for i in range(8))
    picture = Image.fromarray(np.kron(cells, np.ones((10, 10), np.uint8)))
    assert difference_hash(picture) == f"{int(bits, 2):016x}"


def test_the_difference_hash_does_not_see_the_size_but_the_picture() -> None:
    smooth = cv2.GaussianBlur(noise(256, 256), (0, 0), 20)
    half = cv2.resize(smooth, (128, 128), interpolation=cv2.INTER_AREA)
    hashes = [int(difference_hash(Image.fromarray(p)), 16) for p in (smooth, half, smooth[:, ::-1])]
    assert (hashes[0] ^ hashes[1]).bit_count() <= 4
    assert (hashes[0] ^ hashes[2]).bit_count() >= 20
