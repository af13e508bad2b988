"""Odd masks that are read: every container, and every way to write two labels."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.zoo.containers import png, tiff
from data.zoo.drawing import (
    ORDINARY,
    lesion_of,
    lesions,
    pairs,
    photos,
    read_mask,
    saved,
    seed_of,
)
from data.zoo.exhibit import Exhibit, Read

Labels = NDArray[np.uint8]


def masks() -> list[Exhibit]:
    """All exhibits of this file."""
    return [
        *grey_masks(), *palette_masks(), *alpha_masks(), *colour_masks(), *bmp_and_others(), *tiff_masks(),
        *float_masks(), *one_label(), *chosen_label(), nearly_all_empty(),
    ]  # fmt: skip


def ones(name: str) -> Labels:
    """The lesion as 1, skin as 0."""
    return lesion_of(name).astype(np.uint8)


def whites(name: str) -> Labels:
    """The lesion as 255, skin as 0."""
    return ones(name) * np.uint8(255)


def grey_masks() -> list[Exhibit]:
    """PNG masks of one channel, of every depth and with every number for the lesion."""
    wide = {f"mask_png_16_bits_{value}": value for value in (1, 255, 256, 65535)}
    exhibits = [
        read_mask(f"mask_png_{value}", ".png", saved(ones(f"mask_png_{value}") * np.uint8(value)))
        for value in (1, 2, 38, 127, 254)
    ]
    exhibits += [read_mask(name, ".png", png(ones(name).astype(np.uint16) * value, 16)) for name, value in wide.items()]
    exhibits += [
        read_mask("mask_png_1_bit", ".png", saved(Image.fromarray(lesion_of("mask_png_1_bit")))),
        read_mask("mask_png_2_bits", ".png", png(ones("mask_png_2_bits") * 3, 2)),
        read_mask("mask_png_4_bits_1", ".png", png(ones("mask_png_4_bits_1"), 4)),
        read_mask("mask_png_4_bits_15", ".png", png(ones("mask_png_4_bits_15") * 15, 4)),
        read_mask("mask_png_interlaced", ".png", png(whites("mask_png_interlaced"), interlaced=True)),
    ]
    return exhibits


def palette_png(name: str, *colours: tuple[int, int, int], depth: int = 8, labels: Labels | None = None) -> Exhibit:
    """A PNG mask of palette indices: the lesion is 1, unless other `labels` are drawn."""
    indices = ones(name) if labels is None else labels
    return read_mask(name, ".png", png(indices, depth, palette=np.array(colours, np.uint8).tobytes()))


def palette_masks() -> list[Exhibit]:
    """Masks whose palette has the colours, and whose indices are the labels."""
    black, white, red = (0, 0, 0), (255, 255, 255), (255, 0, 0)
    twins = ones("mask_palette_two_blacks") * np.uint8(2)
    twins[:4, :10] = 1
    high = ones("mask_palette_index_5") * np.uint8(5)
    ink = np.array([black, white], np.uint8).tobytes()
    return [
        palette_png("mask_palette_black_white", black, white),
        palette_png("mask_palette_black_red", black, red),
        palette_png("mask_palette_black_nearly_black", black, (0, 0, 1)),
        palette_png("mask_palette_blue_yellow", (0, 0, 160), (250, 240, 20)),
        palette_png("mask_palette_one_colour_twice", black, black),
        palette_png("mask_palette_two_blacks", black, black, white, labels=twins),
        palette_png("mask_palette_index_5", black, red, red, red, red, (128, 0, 0), labels=high),
        palette_png("mask_palette_1_bit", black, white, depth=1),
        palette_png("mask_palette_4_bits", black, (0, 128, 0), depth=4),
        read_mask("mask_palette_transparent", ".png", png(ones("mask_palette_transparent"), palette=ink,
                                                          transparent=b"\0\xff")),
    ]  # fmt: skip


def alpha_masks() -> list[Exhibit]:
    """Masks with an alpha channel: it is the label where the colour says nothing, and nothing where it is constant."""

    def full(name: str, value: int = 255) -> Labels:
        return np.full_like(ones(name), value)

    def stacked(name: str, *channels: Labels) -> Exhibit:
        return read_mask(name, ".png", saved(np.dstack(channels)))

    la, la_alpha, rgba = "mask_grey_alpha_constant", "mask_grey_alpha_is_label", "mask_rgba_constant_alpha"
    cut, cut_black, both, clear = (
        "mask_rgba_alpha_on_white",
        "mask_rgba_alpha_on_black",
        "mask_rgba_both",
        "mask_rgba_clear",
    )
    return [
        stacked(la, whites(la), full(la)),
        stacked(la_alpha, full(la_alpha), whites(la_alpha)),
        stacked(rgba, *[whites(rgba)] * 3, full(rgba)),
        stacked(cut, *[full(cut)] * 3, whites(cut)),
        stacked(cut_black, *[full(cut_black, 0)] * 3, whites(cut_black)),
        stacked(both, *[whites(both)] * 4),
        stacked(clear, *[whites(clear)] * 3, full(clear, 0)),
    ]


def colour_masks() -> list[Exhibit]:
    """RGB masks: black skin, and a lesion of any other colour."""
    colours = {
        "red_1": (1, 0, 0), "green_1": (0, 1, 0), "blue_1": (0, 0, 1), "all_1": (1, 1, 1), "white": (255, 255, 255),
        "red": (255, 0, 0), "blue": (0, 0, 255), "orange": (255, 128, 0),
    }  # fmt: skip
    exhibits = []
    for kind, colour in colours.items():
        name = f"mask_rgb_{kind}"
        exhibits.append(read_mask(name, ".png", saved(ones(name)[..., None] * np.array(colour, np.uint8))))
    deep, deep_red = "mask_rgb_16_bits_1", "mask_rgb_16_bits_red_1"
    wide = np.dstack([ones(deep).astype(np.uint16)] * 3)
    red = ones(deep_red).astype(np.uint16)[..., None] * np.array([1, 0, 0], np.uint16)
    return [*exhibits, read_mask(deep, ".png", png(wide, 16)), read_mask(deep_red, ".png", png(red, 16))]


def bmp_and_others() -> list[Exhibit]:
    """BMP, GIF, webp and JPEG 2000."""

    def written(name: str, kind: str, picture: Image.Image | Labels, **options: object) -> Exhibit:
        suffix = {"JPEG2000": ".jp2"}.get(kind, f".{kind.lower()}")
        return read_mask(name, suffix, saved(picture, kind, **options))

    coloured, webp = np.dstack([whites("mask_bmp_24_bits")] * 3), np.dstack([whites("mask_webp_lossless")] * 3)
    red = palette_image("mask_gif_black_red", (200, 0, 0))
    return [
        written("mask_bmp_1_bit", "BMP", Image.fromarray(lesion_of("mask_bmp_1_bit"))),
        written("mask_bmp_8_bits", "BMP", whites("mask_bmp_8_bits")),
        written("mask_bmp_8_bits_1", "BMP", ones("mask_bmp_8_bits_1")),
        written("mask_bmp_24_bits", "BMP", coloured),
        written("mask_gif", "GIF", whites("mask_gif")),
        written("mask_gif_black_red", "GIF", red),
        written("mask_webp_lossless", "WEBP", webp, lossless=True),
        written("mask_jp2_lossless", "JPEG2000", whites("mask_jp2_lossless")),
    ]


def palette_image(name: str, colour: tuple[int, int, int]) -> Image.Image:
    """The lesion as index 1 in this colour on black, mode P."""
    picture = Image.fromarray(ones(name))
    picture.putpalette([0, 0, 0, *colour])
    return picture


def tiff_masks() -> list[Exhibit]:
    """TIFF masks of whole numbers."""
    types = {"uint8": np.uint8, "uint16": np.uint16, "int32": np.int32, "uint32": np.uint32}
    exhibits = []
    for kind, numbers in types.items():
        name = f"mask_tiff_{kind}"
        exhibits.append(read_mask(name, ".tif", tiff(ones(name).astype(numbers))))
    big, white, tiles = "mask_tiff_uint16_big_endian_65535", "mask_tiff_min_is_white", "mask_tiff_tiled"
    large = tiff(ones(big).astype(np.uint16) * np.uint16(65535), big_endian=True)
    fax, lzw = Image.fromarray(lesion_of("mask_tiff_fax")), whites("mask_tiff_lzw")
    return [
        *exhibits,
        read_mask(big, ".tif", large),
        read_mask(white, ".tif", tiff(255 - whites(white), white_is_0=True)),
        read_mask(tiles, ".tif", tiff(whites(tiles), tile=(16, 16))),
        read_mask("mask_tiff_lzw", ".tif", saved(lzw, "TIFF", compression="tiff_lzw")),
        read_mask("mask_tiff_fax", ".tif", saved(fax, "TIFF", compression="group4")),
    ]


def float_masks() -> list[Exhibit]:
    """TIFF masks of fractions."""
    exhibits = []
    for kind, numbers in {"float32": np.float32, "float64": np.float64}.items():
        for value in (1.0, 0.5, 255.0):
            name = f"mask_tiff_{kind}_{value:g}"
            content = tiff((ones(name) * value).astype(numbers))
            exhibits.append(read_mask(name, ".tif", content))
    return exhibits


def one_label() -> list[Exhibit]:
    """Masks that are all skin or all lesion."""

    def even(name: str, value: int, finding: str) -> Exhibit:
        shape = np.full_like(lesion_of(name), value > 0)
        return read_mask(name, ".png", saved(np.full(shape.shape, value, np.uint8)), shape, findings=(finding,))

    return [
        even("mask_empty", 0, "empty mask"), even("mask_full_255", 255, "full mask"), even("mask_full_1", 1, "full mask")
    ]  # fmt: skip


def chosen_label() -> list[Exhibit]:
    """Masks of several labels, of which --lesion_value names the lesion."""

    def classes(name: str, values: list[int], kind: type[np.generic] = np.uint8) -> NDArray[np.generic]:
        regions = seed_of(name + " regions").choice(values[:-1], lesion_of(name).shape)
        return np.where(lesion_of(name), values[-1], regions).astype(kind)

    several, neither, deep = (
        "mask_four_labels_one_chosen",
        "mask_two_labels_none_0_one_chosen",
        "mask_16_bits_one_chosen",
    )
    lower = "mask_lower_label_chosen"
    low = (classes(lower, [0, 2, 3, 1])).astype(np.uint8)
    return [
        read_mask(several, ".png", saved(classes(several, [0, 1, 2, 3])), lesion_value=3),
        read_mask(neither, ".png", saved(classes(neither, [1, 2])), lesion_value=2),
        read_mask(deep, ".png", png(classes(deep, [0, 7, 100, 200], np.uint16), 16), lesion_value=200),
        read_mask(lower, ".png", saved(low), lesion_value=1),
    ]


def nearly_all_empty() -> Exhibit:
    """Eighteen of twenty masks are empty, which is odd and no reason to refuse."""
    bare = tuple(f"EMPTY_{number:02d}" for number in range(18))
    files = pairs(*ORDINARY[:2]) | pairs(*bare)
    files |= {f"masks/{name}.png": saved(np.zeros_like(ones(name))) for name in bare}
    empty = {name: np.zeros_like(lesion_of(name)) for name in bare}
    ids = (*ORDINARY[:2], *bare)
    return Exhibit("masks_mostly_empty", files, Read(photos(*ids), lesions(*ORDINARY[:2]) | empty), odd=bare[0])
