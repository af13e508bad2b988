"""What a picture file holds, in its own type and upright; and that what is none is told in a sentence."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dermssl.data.decoding import decode, rgb, turned
from dermssl.data.file_faults import UndecodableError

Pixels = NDArray[np.uint8]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels: Pixels, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def tagged(pixels: Pixels, kind: str, orientation: int) -> bytes:
    """A picture whose pixels are stored as the camera held them, with the EXIF tag that says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(pixels, kind, exif=exif, **({"quality": 100, "subsampling": 0} if kind == "JPEG" else {}))


@pytest.mark.filterwarnings("ignore")  # Pillow warns of some of the damage before it refuses the rest
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP"])
def test_a_whole_picture_is_decoded_and_every_truncation_is_refused(kind: str) -> None:
    data = encoded(noise(20, 30), kind)
    stored = decode(data)
    assert (stored.width, stored.height) == (30, 20)
    for size in np.linspace(0, len(data) - 24, 40).astype(int):  # the last bytes of a PNG hold no pixels
        with pytest.raises(UndecodableError, match=r"."):
            decode(data[:size])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty, a file of 0 bytes"),
        (b"not a picture at all", "no picture but a text: not a picture at all"),
        (b"\x93\x07" * 9, "no picture that is read, or its first bytes are damaged"),
        (b"\n <!doctype html><title>Log in</title>", "no picture but a web page"),
        (b"PK\x03\x04rest", "no picture but a zip archive"),
        (b"version https://git-lfs.github.com/spec/v1", "no picture but a pointer of Git LFS, its file not fetched"),
    ],
)
def test_what_is_no_picture_is_told_as_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(data)
    assert str(caught.value).startswith(said)


def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header() -> None:
    data = bytearray(encoded(noise(4, 4), "BMP"))
    data[18:22] = data[22:26] = (40_000).to_bytes(4, "little")  # width and height
    with pytest.raises(UndecodableError, match=r"40000 x 40000 pixels are 1600 megapixels, of which 200 are read"):
        decode(bytes(data))


@pytest.mark.parametrize("most", [1, 4])
def test_a_large_jpeg_is_decoded_at_a_fraction_and_keeps_its_size(most: int) -> None:
    stored = decode(encoded(noise(1500, 2000), "JPEG"), most=most)
    assert (stored.width, stored.height) == (2000, 1500)
    assert stored.picture.size == ((1000, 750) if most == 1 else (2000, 1500))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_comes_upright_by_its_exif_orientation(kind: str, orientation: int) -> None:
    corner = np.zeros((8, 16, 3), np.uint8)
    corner[:4, :4] = (255, 0, 0)
    data = tagged(corner, kind, orientation)
    upright = rgb(decode(data))
    expected = turned(corner, orientation)
    assert decode(data).orientation == orientation
    assert upright.shape == expected.shape == ((8, 16, 3) if orientation < 5 else (16, 8, 3))
    assert np.abs(upright.astype(int) - expected).mean() < 12  # webp and JPEG blur
    assert (decode(data).height, decode(data).width) == upright.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_eight_turns_are_those_of_pillow(orientation: int) -> None:
    with Image.open(io.BytesIO(tagged(noise(5, 7), "PNG", orientation))) as picture:
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(picture)), turned(noise(5, 7), orientation))


def test_an_exif_orientation_that_means_nothing_leaves_the_picture_upright() -> None:
    assert decode(tagged(noise(4, 6), "PNG", 77)).orientation == 1


@pytest.mark.parametrize(
    ("kind", "what"), [("GIF", "frames"), ("TIFF", "pages"), ("WEBP", "frames"), ("PNG", "frames")]
)
def test_a_file_of_several_pictures_is_refused(kind: str, what: str) -> None:
    file = io.BytesIO()
    pictures = [Image.fromarray(noise(8, 8)), Image.fromarray(255 - noise(8, 8))]
    pictures[0].save(file, kind, save_all=True, append_images=pictures[1:])
    with pytest.raises(UndecodableError, match=rf"{kind} of 2 {what}; one picture a file is read"):
        decode(file.getvalue())


@pytest.mark.parametrize(
    ("mode", "kind", "said"), [("F", "TIFF", "32-bit float"), ("I", "TIFF", "32-bit integers"), ("LAB", "TIFF", "LAB")]
)
def test_numbers_without_a_known_black_and_white_are_no_photograph(mode: str, kind: str, said: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (6, 4)).save(file, kind)
    with pytest.raises(UndecodableError, match=f"stored in {said}.*save it as RGB with 8 bits"):
        rgb(decode(file.getvalue()))


def test_sixteen_bits_are_shifted_down() -> None:
    deep = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2731
    assert np.array_equal(rgb(decode(encoded(deep, "PNG")))[..., 1], deep >> 8)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_dropped_and_not_painted_in(mode: str) -> None:
    pixels = np.repeat(noise(6, 5)[..., :1], 3, axis=2)
    picture = Image.fromarray(pixels).convert(mode)
    if mode != "P":
        picture.putalpha(Image.fromarray(noise(6, 5)[..., 1]))
    file = io.BytesIO()
    picture.save(file, "PNG", **({"transparency": 3} if mode == "P" else {}))
    expected = pixels if mode != "P" else np.asarray(picture.convert("RGB"))
    assert np.array_equal(rgb(decode(file.getvalue())), expected)


def test_a_grey_picture_has_three_equal_channels() -> None:
    grey = noise(6, 5)[..., 0]
    assert np.array_equal(rgb(decode(encoded(grey, "PNG"))), np.stack([grey] * 3, axis=2))


def test_how_a_picture_is_stored_is_told() -> None:
    stored = decode(tagged(np.zeros((20, 30), np.uint8), "JPEG", 6))
    assert (stored.mode, stored.orientation, stored.width, stored.height) == ("L", 6, 20, 30)
