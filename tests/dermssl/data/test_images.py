"""Which files are pictures, that broken ones are told from whole ones, and one rule for how pixels lie."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dermssl.data.images import find_pictures, perceptual_hash, read_rgb, shrink, tones, verify
from dermssl.errors import UserError

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
    with pytest.raises(UserError, match="none: no such folder; give one that holds images"):
        find_pictures(tmp_path / "none")


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(UserError) as caught:
        find_pictures(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: no images (no file here or in a folder below ends in .jpg .jpeg .png .bmp .tif .tiff)"
    )


@pytest.mark.filterwarnings("ignore")  # PIL warns of some of the damage before it refuses the rest
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF"])
def test_a_whole_picture_is_verified_and_every_truncation_is_refused(kind: str) -> None:
    data = encoded(noise(20, 30), kind)
    assert verify(data)[1].size == (30, 20)
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
    by_pil, by_cv2 = np.asarray(verify((tmp_path / "a.jpg").read_bytes())[1]), read_rgb(tmp_path / "a.jpg")
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


def test_how_a_picture_is_stored_is_told(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    stored, upright = verify((tmp_path / "a.jpg").read_bytes())
    assert (stored.mode, stored.orientation, upright.size) == ("L", 6, (20, 30))
