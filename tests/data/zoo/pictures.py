"""Odd pictures that are read: every container, mode and depth."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.zoo.containers import bmp_runs, bmp_top_down, png, tiff
from data.zoo.drawing import file_of, grey_of, photo_of, read_picture, reread, saved, seed_of, three
from data.zoo.exhibit import Exhibit, Pixels

Write = Callable[[Pixels], bytes]  # makes a file of a photograph, (H, W, 3), or of its grey, (H, W)

GREYS = [(value, value, value) for value in range(256)]
SECOND = Image.fromarray(photo_of("second"))


def pictures() -> list[Exhibit]:
    """All exhibits of this file."""
    return [*suffixes(), *jpegs(), *pngs(), *few_bits(), *deep_pngs(), *tiffs(), *other_tiffs(), *bmps(), *others(),
            *misnamed(), *dull()]  # fmt: skip


def exact(name: str, suffix: str, write: Write) -> Exhibit:
    """A picture from which every value comes back as it was drawn."""
    return read_picture(name, suffix, write(photo_of(name)), photo_of(name))


def grey(name: str, suffix: str, write: Write) -> Exhibit:
    """A picture that is grey, and read as RGB."""
    return read_picture(name, suffix, write(grey_of(name)), three(grey_of(name)))


def lossy(name: str, suffix: str, write: Write) -> Exhibit:
    """A picture that has changed as it was written: PIL says what it is now."""
    content = write(photo_of(name))
    return read_picture(name, suffix, content, reread(content), near=3)


def converted(
    name: str, suffix: str, convert: Callable[[Image.Image], Image.Image], write: Callable[[Image.Image], bytes]
) -> Exhibit:
    """A picture that PIL has converted, and that is written without any further loss."""
    picture = convert(Image.fromarray(photo_of(name)))
    pixels = np.array(picture.convert("RGBA" if picture.mode == "PA" else "RGB"))[..., :3]
    return read_picture(name, suffix, write(picture), pixels)


def alpha_of(picture: Pixels) -> NDArray[np.uint8]:
    """Transparency that says nothing of the lesion, (H, W)."""
    return seed_of("alpha").integers(0, 256, picture.shape[:2], dtype=np.uint8)


def with_alpha(picture: Pixels) -> NDArray[np.uint8]:
    """The picture and that transparency: RGBA of RGB, LA of grey."""
    return np.dstack([picture, alpha_of(picture)])


def deep(picture: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The picture in 16 bits; the lower eight are noise that reading drops."""
    noise = seed_of("lower bits").integers(0, 256, picture.shape)
    return (picture.astype(np.uint16) * 256 + noise).astype(np.uint16)


def suffixes() -> list[Exhibit]:
    """Every ending that is read, and some in other letters."""
    changed = {
        ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".JPG": "JPEG", ".JpEg": "JPEG",
        ".gif": "GIF", ".GIF": "GIF", ".webp": "WEBP", ".WEBP": "WEBP",
    }  # fmt: skip
    whole = {
        ".PNG": "PNG", ".bmp": "BMP", ".BMP": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".TIF": "TIFF",
        ".jp2": "JPEG2000",
    }  # fmt: skip
    return [
        *(lossy(f"suffix_{suffix[1:]}", suffix, file_of(kind)) for suffix, kind in changed.items()),
        *(exact(f"suffix_{suffix[1:]}", suffix, file_of(kind)) for suffix, kind in whole.items()),
    ]


def jpegs() -> list[Exhibit]:
    """The kinds of JPEG."""
    cmyk, behind = file_of("JPEG", quality=95), file_of("JPEG")
    return [
        lossy("jpeg_progressive", ".jpg", file_of("JPEG", progressive=True)),
        lossy("jpeg_full_colour", ".jpg", file_of("JPEG", subsampling=0, quality=95)),
        lossy("jpeg_coarse", ".jpg", file_of("JPEG", quality=15)),
        lossy("jpeg_grey", ".jpg", lambda photo: saved(photo[..., 1], "JPEG")),
        lossy("jpeg_cmyk", ".jpg", lambda photo: cmyk(Image.fromarray(photo).convert("CMYK"))),
        lossy("jpeg_rgb_stored", ".jpg", file_of("JPEG", keep_rgb=True)),
        lossy("jpeg_mpo", ".jpg", file_of("MPO", save_all=True, append_images=[SECOND])),
        lossy("jpeg_with_bytes_behind_its_end", ".jpg", lambda photo: behind(photo) + bytes(50)),
    ]


def pngs() -> list[Exhibit]:
    """PNG of 8 bits."""
    tints = bytes(range(0, 256, 16))
    return [
        grey("png_grey", ".png", saved),
        grey("png_grey_alpha", ".png", lambda photo: png(with_alpha(photo))),
        exact("png_alpha", ".png", lambda photo: png(with_alpha(photo))),
        exact("png_transparent_colour", ".png", lambda photo: png(photo, transparent=key_of(photo[0, 0]))),
        grey("png_transparent_grey", ".png", lambda photo: png(photo, transparent=key_of(photo[0, :1]))),
        converted("png_palette", ".png", lambda photo: photo.quantize(200), saved),
        converted("png_palette_transparent", ".png", lambda photo: photo.quantize(16), file_of(transparency=tints)),
        exact("png_interlaced", ".png", lambda photo: png(photo, interlaced=True)),
        grey("png_interlaced_grey", ".png", lambda photo: png(photo, interlaced=True)),
    ]


def key_of(colour: NDArray[np.uint8]) -> bytes:
    """A colour as PNG names the one that is transparent."""
    return colour.astype(">u2").tobytes()


def few_bits() -> list[Exhibit]:
    """PNG of 1, 2 and 4 bits."""
    exhibits = []
    for depth in (1, 2, 4):
        name = f"png_{depth}_bits"
        levels = grey_of(name) >> np.uint8(8 - depth)
        pixels = three(levels * np.uint8(255 // (2**depth - 1)))
        exhibits.append(read_picture(name, ".png", png(levels, depth), pixels))
    return exhibits


def deep_pngs() -> list[Exhibit]:
    """PNG of 16 bits."""
    return [
        grey("png_16_bits_grey", ".png", lambda photo: png(deep(photo), 16)),
        grey("png_16_bits_grey_alpha", ".png", lambda photo: png(deep(with_alpha(photo)), 16)),
        exact("png_16_bits_rgb", ".png", lambda photo: png(deep(photo), 16)),
        exact("png_16_bits_alpha", ".png", lambda photo: png(deep(with_alpha(photo)), 16)),
        exact("png_16_bits_interlaced", ".png", lambda photo: png(deep(photo), 16, interlaced=True)),
    ]


def tiffs() -> list[Exhibit]:
    """TIFF as PIL writes it: compressions and modes."""
    return [
        exact("tiff_lzw", ".tif", file_of("TIFF", compression="tiff_lzw")),
        exact("tiff_deflate", ".tif", file_of("TIFF", compression="tiff_adobe_deflate")),
        exact("tiff_packbits", ".tif", file_of("TIFF", compression="packbits")),
        lossy("tiff_jpeg", ".tif", file_of("TIFF", compression="jpeg")),
        exact("tiff_alpha", ".tif", lambda photo: saved(with_alpha(photo), "TIFF")),
        converted("tiff_cmyk", ".tif", lambda photo: photo.convert("CMYK"), file_of("TIFF")),
        converted("tiff_ycbcr", ".tif", lambda photo: photo.convert("YCbCr"), file_of("TIFF")),
        converted("tiff_palette", ".tif", lambda photo: photo.quantize(64), file_of("TIFF")),
        converted("tiff_palette_alpha", ".tif", palette_alpha, file_of("TIFF")),
    ]


def palette_alpha(photo: Image.Image) -> Image.Image:
    """The photograph in 64 colours with transparency, mode PA."""
    paired = photo.quantize(64).convert("PA")
    paired.putalpha(Image.fromarray(alpha_of(np.asarray(photo))))
    return paired


def other_tiffs() -> list[Exhibit]:
    """TIFF as tifffile writes it: tiles, strips, byte orders, depths."""
    return [
        exact("tiff_tiled", ".tif", lambda photo: tiff(photo, tile=(16, 16))),
        exact("tiff_of_strips", ".tif", lambda photo: tiff(photo, rows_per_strip=7)),
        exact("tiff_big_endian", ".tif", lambda photo: tiff(photo, big_endian=True)),
        exact("tiff_planes", ".tif", lambda photo: tiff(np.moveaxis(photo, 2, 0), planes=True)),
        exact("tiff_16_bits_rgb", ".tif", lambda photo: tiff(deep(photo))),
        exact("tiff_with_a_thumbnail", ".tif", lambda photo: tiff(photo, photo[::4, ::4])),
        grey("tiff_grey", ".tif", tiff),
        grey("tiff_white_is_0", ".tif", lambda photo: tiff(255 - photo, white_is_0=True)),
        grey("tiff_16_bits_grey", ".tif", lambda photo: tiff(deep(photo))),
        grey("tiff_16_bits_big_endian", ".tif", lambda photo: tiff(deep(photo), big_endian=True)),
    ]


def bmps() -> list[Exhibit]:
    """The kinds of BMP."""
    return [
        converted("bmp_palette", ".bmp", lambda photo: photo.quantize(200), file_of("BMP")),
        grey("bmp_grey", ".bmp", file_of("BMP")),
        grey("bmp_runs", ".bmp", lambda photo: bmp_runs(photo, GREYS)),
        exact("bmp_top_down", ".bmp", bmp_top_down),
        exact("bmp_32_bits", ".bmp", lambda photo: saved(with_alpha(photo), "BMP")),
    ]


def others() -> list[Exhibit]:
    """webp, gif and JPEG 2000."""
    clear = file_of("WEBP", lossless=True, exact=True)
    return [
        exact("webp_lossless", ".webp", file_of("WEBP", lossless=True)),
        exact("webp_alpha", ".webp", lambda photo: clear(with_alpha(photo))),
        grey("gif_grey", ".gif", file_of("GIF")),
        lossy("gif_interlaced", ".gif", file_of("GIF", interlace=1)),
        grey("jp2_grey", ".jp2", file_of("JPEG2000")),
        lossy("jp2_lossy", ".jp2", file_of("JPEG2000", irreversible=True, quality_layers=[8])),
    ]


def misnamed() -> list[Exhibit]:
    """Pictures under the ending of another kind."""
    return [
        exact("png_called_jpg", ".jpg", saved),
        lossy("jpeg_called_png", ".png", file_of("JPEG")),
        exact("tiff_called_jpg", ".jpg", file_of("TIFF")),
        exact("bmp_called_jpg", ".jpg", file_of("BMP")),
        lossy("webp_called_jpg", ".jpg", file_of("WEBP")),
    ]


def dull() -> list[Exhibit]:
    """Pictures that are read, and in which there is nothing to be seen."""
    twelve = (deep(grey_of("dull_12_bits_in_16")) >> 4).astype(np.uint16)
    kept = three((twelve >> 8).astype(np.uint8))
    dark, one = photo_of("dull_nearly_black") // 40, np.full_like(photo_of("dull_one_colour"), 140)
    kind = ("dark or flat",)
    return [
        read_picture("dull_12_bits_in_16", ".png", png(twelve, 16), kept, findings=kind),
        read_picture("dull_nearly_black", ".png", saved(dark), dark, findings=kind),
        read_picture("dull_one_colour", ".png", saved(one), one, findings=kind),
    ]
