"""Odd masks that are read: every container, and every way to write two labels."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.zoo.containers import png, tiff
from data.zoo.drawing import ORDINARY, file_of, lesion_of, lesions, pairs, photos, read_mask, saved, seed_of
from data.zoo.exhibit import Exhibit, Read

Labels = NDArray[np.uint8]  # (H, W), 0 for skin and 1 for lesion
Colour = tuple[int, int, int]

BLACK, WHITE, RED = (0, 0, 0), (255, 255, 255), (255, 0, 0)
INK = bytes([*BLACK, *WHITE])  # a palette


def masks() -> list[Exhibit]:
    """All exhibits of this file."""
    return [*grey_masks(), *palette_masks(), *alpha_masks(), *colour_masks(), *bmp_and_others(), *tiff_masks(),
            *float_masks(), *one_label(), *chosen_label(), nearly_all_empty()]  # fmt: skip


def ones(name: str) -> Labels:
    """The lesion of that name as 1, skin as 0."""
    return lesion_of(name).astype(np.uint8)


def whites(name: str) -> Labels:
    """The lesion of that name as 255, skin as 0."""
    return ones(name) * np.uint8(255)


def mask(name: str, suffix: str, write: Callable[[Labels], bytes]) -> Exhibit:
    """A mask that `write` makes of ones and zeros."""
    return read_mask(name, suffix, write(ones(name)))


def grey_masks() -> list[Exhibit]:
    """PNG masks of one channel, of every depth and with every number for the lesion."""
    return [
        mask("mask_png_1", ".png", saved),
        mask("mask_png_2", ".png", lambda label: saved(label * np.uint8(2))),
        mask("mask_png_38", ".png", lambda label: saved(label * np.uint8(38))),
        mask("mask_png_254", ".png", lambda label: saved(label * np.uint8(254))),
        mask("mask_png_1_bit", ".png", lambda label: saved(label > 0)),
        mask("mask_png_2_bits", ".png", lambda label: png(label * 3, 2)),
        mask("mask_png_4_bits_1", ".png", lambda label: png(label, 4)),
        mask("mask_png_4_bits_15", ".png", lambda label: png(label * 15, 4)),
        mask("mask_png_16_bits_1", ".png", lambda label: png(wide(label), 16)),
        mask("mask_png_16_bits_255", ".png", lambda label: png(wide(label, 255), 16)),
        mask("mask_png_16_bits_256", ".png", lambda label: png(wide(label, 256), 16)),
        mask("mask_png_16_bits_65535", ".png", lambda label: png(wide(label, 65535), 16)),
        mask("mask_png_interlaced", ".png", lambda label: png(label * 255, interlaced=True)),
    ]


def wide(label: Labels, lesion: int = 1) -> NDArray[np.uint16]:
    """The label in 16 bits, the lesion as this number."""
    return label.astype(np.uint16) * np.uint16(lesion)


def palette_masks() -> list[Exhibit]:
    """Masks whose palette has the colours, and whose indices are the labels."""

    def coloured(name: str, *colours: Colour, depth: int = 8, labels: Labels | None = None) -> Exhibit:
        palette = bytes(value for colour in colours for value in colour)
        return read_mask(name, ".png", png(ones(name) if labels is None else labels, depth, palette=palette))

    high = ones("mask_palette_index_5") * np.uint8(5)
    twins = ones("mask_palette_two_blacks") * np.uint8(2)
    twins[::3] |= np.uint8(1) * (twins[::3] == 0)
    return [
        coloured("mask_palette_black_white", BLACK, WHITE),
        coloured("mask_palette_black_red", BLACK, RED),
        coloured("mask_palette_black_nearly_black", BLACK, (0, 0, 1)),
        coloured("mask_palette_blue_yellow", (0, 0, 160), (250, 240, 20)),
        coloured("mask_palette_one_colour_twice", BLACK, BLACK),
        coloured("mask_palette_two_blacks", BLACK, BLACK, WHITE, labels=twins),
        coloured("mask_palette_index_5", BLACK, RED, RED, RED, RED, (128, 0, 0), labels=high),
        coloured("mask_palette_1_bit", BLACK, WHITE, depth=1),
        coloured("mask_palette_4_bits", BLACK, (0, 128, 0), depth=4),
        mask("mask_palette_transparent", ".png", lambda label: png(label, palette=INK, transparent=b"\0\xff")),
    ]


def alpha_masks() -> list[Exhibit]:
    """Masks with an alpha channel: it is the label where the colour says nothing, and nothing where it is constant."""

    def stacked(name: str, *channels: int | None) -> Exhibit:
        """None stands for a channel that has the label, a number for one that is even."""
        even = {value: np.full_like(ones(name), value) for value in channels if value is not None}
        planes = [whites(name) if value is None else even[value] for value in channels]
        return read_mask(name, ".png", saved(np.dstack(planes)))

    return [
        stacked("mask_grey_alpha_constant", None, 255),
        stacked("mask_grey_alpha_is_label", 255, None),
        stacked("mask_rgba_constant_alpha", None, None, None, 255),
        stacked("mask_rgba_alpha_on_white", 255, 255, 255, None),
        stacked("mask_rgba_alpha_on_black", 0, 0, 0, None),
        stacked("mask_rgba_both", None, None, None, None),
        stacked("mask_rgba_clear", None, None, None, 0),
        stacked("mask_rgba_red", None, 0, 0, 255),
    ]


def colour_masks() -> list[Exhibit]:
    """RGB masks: black skin, and a lesion of any other colour."""
    colours = {
        "red_1": (1, 0, 0), "green_1": (0, 1, 0), "blue_1": (0, 0, 1), "all_1": (1, 1, 1), "white": WHITE, "red": RED,
        "blue": (0, 0, 255), "orange": (255, 128, 0),
    }  # fmt: skip
    exhibits = []
    for kind, colour in colours.items():
        name = f"mask_rgb_{kind}"
        exhibits.append(read_mask(name, ".png", saved(ones(name)[..., None] * np.array(colour, np.uint8))))
    return [
        *exhibits,
        mask("mask_rgb_16_bits_1", ".png", lambda label: png(np.dstack([wide(label)] * 3), 16)),
        mask("mask_rgb_16_bits_red_1", ".png", lambda label: png(np.dstack([wide(label), *[wide(label, 0)] * 2]), 16)),
    ]


def bmp_and_others() -> list[Exhibit]:
    """BMP, GIF, webp and JPEG 2000."""

    def red(label: Labels) -> bytes:
        picture = Image.fromarray(label)
        picture.putpalette([*BLACK, *RED])
        return saved(picture, "GIF")

    bmp, webp = file_of("BMP"), file_of("WEBP", lossless=True)
    return [
        mask("mask_bmp_1_bit", ".bmp", lambda label: bmp(label > 0)),
        mask("mask_bmp_8_bits", ".bmp", lambda label: bmp(label * 255)),
        mask("mask_bmp_8_bits_1", ".bmp", bmp),
        mask("mask_bmp_24_bits", ".bmp", lambda label: bmp(np.dstack([label * 255] * 3))),
        mask("mask_gif", ".gif", lambda label: saved(label * 255, "GIF")),
        mask("mask_gif_black_red", ".gif", red),
        mask("mask_webp_lossless", ".webp", lambda label: webp(np.dstack([label * 255] * 3))),
        mask("mask_jp2_lossless", ".jp2", lambda label: saved(label * 255, "JPEG2000")),
    ]


def tiff_masks() -> list[Exhibit]:
    """TIFF masks of whole numbers."""
    lzw, fax = file_of("TIFF", compression="tiff_lzw"), file_of("TIFF", compression="group4")
    return [
        mask("mask_tiff_uint8", ".tif", tiff),
        mask("mask_tiff_uint16", ".tif", lambda label: tiff(wide(label))),
        mask("mask_tiff_int32", ".tif", lambda label: tiff(label.astype(np.int32))),
        mask("mask_tiff_uint32", ".tif", lambda label: tiff(label.astype(np.uint32))),
        mask("mask_tiff_big_endian_65535", ".tif", lambda label: tiff(wide(label, 65535), big_endian=True)),
        mask("mask_tiff_tiled", ".tif", lambda label: tiff(label * 255, tile=(16, 16))),
        mask("mask_tiff_lzw", ".tif", lambda label: lzw(label * 255)),
        mask("mask_tiff_fax", ".tif", lambda label: fax(label > 0)),
    ]


def float_masks() -> list[Exhibit]:
    """TIFF masks of fractions."""
    exhibits = []
    for kind, numbers in {"float32": np.float32, "float64": np.float64}.items():
        for value in (1.0, 0.5, 255.0):
            name = f"mask_tiff_{kind}_{value:g}"
            exhibits.append(read_mask(name, ".tif", tiff((ones(name) * value).astype(numbers))))
    return exhibits


def one_label() -> list[Exhibit]:
    """Masks that are all skin or all lesion."""

    def even(name: str, value: int, finding: str) -> Exhibit:
        shape = np.full_like(lesion_of(name), value > 0)
        return read_mask(name, ".png", saved(np.full(shape.shape, value, np.uint8)), shape, findings=(finding,))

    return [
        even("mask_empty", 0, "empty mask"),
        even("mask_full_255", 255, "full mask"),
        even("mask_full_1", 1, "full mask"),
    ]


def chosen_label() -> list[Exhibit]:
    """Masks of several labels, of which --lesion_value names the lesion."""

    def chosen(name: str, lesion: int, *others: int, depth: int = 8) -> Exhibit:
        skin = seed_of(name + " regions").choice(others, lesion_of(name).shape)
        labels = np.where(lesion_of(name), lesion, skin)
        return read_mask(name, ".png", png(labels, depth), lesion_value=lesion)

    return [
        chosen("mask_four_labels_highest_chosen", 3, 0, 1, 2),
        chosen("mask_four_labels_lowest_chosen", 1, 0, 2, 3),
        chosen("mask_two_labels_none_0_chosen", 2, 1),
        chosen("mask_16_bits_chosen", 200, 0, 7, 1000, depth=16),
    ]


def nearly_all_empty() -> Exhibit:
    """Eighteen of twenty masks are empty, which is odd and no reason to refuse."""
    bare = tuple(f"EMPTY_{number:02d}" for number in range(18))
    empty = {name: np.zeros_like(lesion_of(name)) for name in bare}
    marked = ORDINARY[:2]
    files = pairs(*marked, *bare) | {f"masks/{name}.png": saved(ones(name) * 0) for name in bare}
    return Exhibit("masks_mostly_empty", files, Read(photos(*marked, *bare), lesions(*marked) | empty), odd=bare[0])
