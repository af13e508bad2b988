"""Odd pictures that are read: every container, mode and depth."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.zoo.containers import bmp_runs, bmp_top_down, png, tiff
from data.zoo.drawing import grey_of, photo_of, read_picture, reread, saved, seed_of, three
from data.zoo.exhibit import Exhibit, Pixels

GREYS = [(value, value, value) for value in range(256)]


def pictures() -> list[Exhibit]:
    """All exhibits of this file."""
    return [
        *suffixes(), *jpegs(), *pngs(), *deep_pngs(), *tiffs(), *other_tiffs(), *bmps(), *others(), *misnamed(), *dull()
    ]  # fmt: skip


def exact(name: str, suffix: str, content: bytes, pixels: Pixels | None = None) -> Exhibit:
    """A picture from which every grey value comes back as it was drawn."""
    return read_picture(name, suffix, content, photo_of(name) if pixels is None else pixels)


def lossy(name: str, suffix: str, content: bytes) -> Exhibit:
    """A picture that has changed as it was written: PIL says what it is now."""
    return read_picture(name, suffix, content, reread(content), near=3)


def image(name: str) -> Image.Image:
    """The photograph of an exhibit, as PIL has it."""
    return Image.fromarray(photo_of(name))


def transparency(name: str) -> NDArray[np.uint8]:
    """Alpha that says nothing of the lesion, (H, W)."""
    return seed_of(name + " alpha").integers(0, 256, photo_of(name).shape[:2], dtype=np.uint8)


def with_alpha(name: str) -> NDArray[np.uint8]:
    """The photograph with that alpha, (H, W, 4)."""
    return np.dstack([photo_of(name), transparency(name)])


def suffixes() -> list[Exhibit]:
    """Every ending that is read, and some in another case."""
    kinds = {
        ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".JPG": "JPEG", ".JpEg": "JPEG",
        ".gif": "GIF", ".GIF": "GIF",
    }  # fmt: skip
    whole = {
        ".PNG": "PNG", ".bmp": "BMP", ".BMP": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".TIF": "TIFF",
        ".jp2": "JPEG2000",
    }  # fmt: skip
    names = {suffix: f"suffix_{suffix[1:]}" for suffix in {**kinds, **whole, ".webp": "", ".WEBP": ""}}
    return [
        *(lossy(names[suffix], suffix, saved(image(names[suffix]), kind)) for suffix, kind in kinds.items()),
        *(exact(names[suffix], suffix, saved(image(names[suffix]), kind)) for suffix, kind in whole.items()),
        *(lossy(names[suffix], suffix, saved(image(names[suffix]), "WEBP")) for suffix in (".webp", ".WEBP")),
    ]


def jpegs() -> list[Exhibit]:
    """The kinds of JPEG."""
    cmyk, grey, second = image("jpeg_cmyk").convert("CMYK"), grey_of("jpeg_grey"), image("jpeg_mpo second")
    trailing = saved(image("jpeg_with_bytes_behind_its_end"), "JPEG") + b"\0" * 50
    return [
        lossy("jpeg_progressive", ".jpg", saved(image("jpeg_progressive"), "JPEG", progressive=True)),
        lossy("jpeg_full_colour", ".jpg", saved(image("jpeg_full_colour"), "JPEG", subsampling=0, quality=95)),
        lossy("jpeg_coarse", ".jpg", saved(image("jpeg_coarse"), "JPEG", quality=15)),
        lossy("jpeg_grey", ".jpg", saved(grey, "JPEG")),
        lossy("jpeg_cmyk", ".jpg", saved(cmyk, "JPEG", quality=95)),
        lossy("jpeg_rgb_stored", ".jpg", saved(image("jpeg_rgb_stored"), "JPEG", keep_rgb=True)),
        lossy("jpeg_mpo", ".jpg", saved(image("jpeg_mpo"), "MPO", save_all=True, append_images=[second])),
        lossy("jpeg_with_bytes_behind_its_end", ".jpg", trailing),
    ]


def pngs() -> list[Exhibit]:
    """PNG of 8 bits or fewer."""
    few = image("png_palette").quantize(200)
    with_tint, two = image("png_palette_transparent").quantize(16), lambda name: (grey_of(name) > 150).astype(np.uint8)
    quarter, half = grey_of("png_2_bits") // 64, grey_of("png_4_bits") // 16
    key = b"".join(b"\0" + bytes([value]) for value in photo_of("png_transparent_colour")[0, 0].tolist())
    return [
        exact("png_grey", ".png", saved(grey_of("png_grey")), three(grey_of("png_grey"))),
        exact("png_grey_alpha", ".png", png(np.dstack([grey_of("png_grey_alpha"), transparency("png_grey_alpha")])),
              three(grey_of("png_grey_alpha"))),
        exact("png_alpha", ".png", saved(with_alpha("png_alpha"))),
        exact("png_palette", ".png", saved(few), np.array(few.convert("RGB"))),
        exact("png_palette_transparent", ".png", saved(with_tint, transparency=bytes(range(0, 256, 16))),
              np.array(with_tint.convert("RGB"))),
        exact("png_transparent_colour", ".png", png(photo_of("png_transparent_colour"), transparent=key)),
        exact("png_1_bit", ".png", png(two("png_1_bit"), 1), three(two("png_1_bit") * np.uint8(255))),
        exact("png_2_bits", ".png", png(quarter, 2), three(quarter * np.uint8(85))),
        exact("png_4_bits", ".png", png(half, 4), three(half * np.uint8(17))),
        exact("png_interlaced", ".png", png(photo_of("png_interlaced"), interlaced=True)),
        exact("png_interlaced_grey", ".png", png(grey_of("png_interlaced_grey"), interlaced=True),
              three(grey_of("png_interlaced_grey"))),
    ]  # fmt: skip


def deep(picture: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The picture in 16 bits; the lower eight are noise that reading drops."""
    noise = seed_of("lower bits").integers(0, 256, picture.shape)
    return (picture.astype(np.uint16) * 256 + noise).astype(np.uint16)


def deep_pngs() -> list[Exhibit]:
    """PNG of 16 bits."""
    grey, alpha = grey_of("png_16_bits_grey"), with_alpha("png_16_bits_alpha")
    pair = np.dstack([grey_of("png_16_bits_grey_alpha"), transparency("png_16_bits_grey_alpha")])
    return [
        exact("png_16_bits_grey", ".png", png(deep(grey), 16), three(grey)),
        exact("png_16_bits_grey_alpha", ".png", png(deep(pair), 16), three(np.ascontiguousarray(pair[..., 0]))),
        exact("png_16_bits_rgb", ".png", png(deep(photo_of("png_16_bits_rgb")), 16)),
        exact("png_16_bits_alpha", ".png", png(deep(alpha), 16)),
        exact("png_16_bits_interlaced", ".png", png(deep(photo_of("png_16_bits_interlaced")), 16, interlaced=True)),
    ]


def tiffs() -> list[Exhibit]:
    """TIFF as PIL writes it: compressions and modes."""
    packed = {"lzw": "tiff_lzw", "deflate": "tiff_adobe_deflate", "packbits": "packbits"}
    cmyk, ycbcr = image("tiff_cmyk").convert("CMYK"), image("tiff_ycbcr").convert("YCbCr")
    palette, paired = image("tiff_palette").quantize(64), palette_alpha("tiff_palette_alpha")
    return [
        *(
            exact(f"tiff_{kind}", ".tif", saved(image(f"tiff_{kind}"), "TIFF", compression=packing))
            for kind, packing in packed.items()
        ),
        lossy("tiff_jpeg", ".tif", saved(image("tiff_jpeg"), "TIFF", compression="jpeg")),
        exact("tiff_alpha", ".tif", saved(with_alpha("tiff_alpha"), "TIFF")),
        exact("tiff_cmyk", ".tif", saved(cmyk, "TIFF"), np.array(cmyk.convert("RGB"))),
        lossy("tiff_ycbcr", ".tif", saved(ycbcr, "TIFF")),
        exact("tiff_palette", ".tif", saved(palette, "TIFF"), np.array(palette.convert("RGB"))),
        exact("tiff_palette_alpha", ".tif", saved(paired, "TIFF"), np.array(paired.convert("RGBA"))[..., :3]),
    ]


def palette_alpha(name: str) -> Image.Image:
    """The photograph in 64 colours with alpha, mode PA."""
    paired = image(name).quantize(64).convert("PA")
    paired.putalpha(Image.fromarray(transparency(name)))
    return paired


def other_tiffs() -> list[Exhibit]:
    """TIFF as tifffile writes it: tiles, strips, byte orders, depths."""
    black_is_full = 255 - grey_of("tiff_min_is_white")
    grey = {name: grey_of(name) for name in ("tiff_16_bits_grey", "tiff_16_bits_big_endian")}
    small = photo_of("tiff_with_a_thumbnail")[::4, ::4]
    return [
        exact("tiff_tiled", ".tif", tiff(photo_of("tiff_tiled"), tile=(16, 16))),
        exact("tiff_of_strips", ".tif", tiff(photo_of("tiff_of_strips"), rows_per_strip=7)),
        exact("tiff_big_endian", ".tif", tiff(photo_of("tiff_big_endian"), big_endian=True)),
        exact("tiff_planes", ".tif", tiff(np.moveaxis(photo_of("tiff_planes"), 2, 0), planes=True)),
        exact("tiff_grey", ".tif", tiff(grey_of("tiff_grey")), three(grey_of("tiff_grey"))),
        exact("tiff_min_is_white", ".tif", tiff(black_is_full, white_is_0=True),
              three(grey_of("tiff_min_is_white"))),
        exact("tiff_16_bits_grey", ".tif", tiff(deep(grey["tiff_16_bits_grey"])),
              three(grey["tiff_16_bits_grey"])),
        exact("tiff_16_bits_big_endian", ".tif", tiff(deep(grey["tiff_16_bits_big_endian"]), big_endian=True), three(grey["tiff_16_bits_big_endian"])),
        exact("tiff_16_bits_rgb", ".tif", tiff(deep(photo_of("tiff_16_bits_rgb")))),
        exact("tiff_with_a_thumbnail", ".tif", tiff(photo_of("tiff_with_a_thumbnail"), small)),
    ]  # fmt: skip


def bmps() -> list[Exhibit]:
    """The kinds of BMP."""
    palette, grey = image("bmp_palette").quantize(200), grey_of("bmp_runs")
    return [
        exact("bmp_palette", ".bmp", saved(palette, "BMP"), np.array(palette.convert("RGB"))),
        exact("bmp_grey", ".bmp", saved(grey_of("bmp_grey"), "BMP"), three(grey_of("bmp_grey"))),
        exact("bmp_runs", ".bmp", bmp_runs(grey, GREYS), three(grey)),
        exact("bmp_top_down", ".bmp", bmp_top_down(photo_of("bmp_top_down"))),
        exact("bmp_32_bits", ".bmp", saved(with_alpha("bmp_32_bits"), "BMP")),
    ]


def others() -> list[Exhibit]:
    """webp, gif and JPEG 2000."""
    return [
        exact("webp_lossless", ".webp", saved(image("webp_lossless"), "WEBP", lossless=True)),
        exact("webp_alpha", ".webp", saved(with_alpha("webp_alpha"), "WEBP", lossless=True, exact=True)),
        exact("gif_grey", ".gif", saved(grey_of("gif_grey"), "GIF"), three(grey_of("gif_grey"))),
        lossy("gif_interlaced", ".gif", saved(image("gif_interlaced"), "GIF", interlace=1)),
        exact("jp2_grey", ".jp2", saved(grey_of("jp2_grey"), "JPEG2000"), three(grey_of("jp2_grey"))),
        lossy("jp2_lossy", ".jp2", saved(image("jp2_lossy"), "JPEG2000", irreversible=True, quality_layers=[8])),
    ]


def misnamed() -> list[Exhibit]:
    """Pictures under the ending of another kind."""
    return [
        exact("png_called_jpg", ".jpg", saved(image("png_called_jpg"))),
        lossy("jpeg_called_png", ".png", saved(image("jpeg_called_png"), "JPEG")),
        exact("tiff_called_jpg", ".jpg", saved(image("tiff_called_jpg"), "TIFF")),
        exact("bmp_called_jpg", ".jpg", saved(image("bmp_called_jpg"), "BMP")),
        lossy("webp_called_jpg", ".jpg", saved(image("webp_called_jpg"), "WEBP")),
    ]


def dull() -> list[Exhibit]:
    """Pictures that are read, and in which there is nothing to be seen."""
    twelve = (deep(grey_of("dull_12_bits_in_16")) >> 4).astype(np.uint16)
    dark, one = photo_of("dull_nearly_black") // 40, np.full_like(photo_of("dull_one_colour"), 140)
    kind = ("dark or flat",)
    return [
        read_picture(
            "dull_12_bits_in_16", ".png", png(twelve, 16), three((twelve >> 8).astype(np.uint8)), findings=kind
        ),
        read_picture("dull_nearly_black", ".png", saved(dark), dark, findings=kind),
        read_picture("dull_one_colour", ".png", saved(one), one, findings=kind),
    ]
