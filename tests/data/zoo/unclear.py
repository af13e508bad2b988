"""Masks that are refused: which of their values is lesion nobody can say, or the file is no mask of its picture."""

import numpy as np
from PIL import Image, ImageFilter

from data.zoo.containers import png, tiff
from data.zoo.drawing import H, W, lesion_of, mask_file, pairs, refused_mask, saved
from data.zoo.exhibit import Exhibit, Refused
from data.zoo.masks import ones, whites

SCREEN = ("check", "--fix")  # what a soft mask is told to go through
CHOICE = "--lesion_value"


def unclear_masks() -> list[Exhibit]:
    """All exhibits of this file."""
    return [*two_values(), *several_values(), *soft_masks(), *other_sizes(), *broken_masks(), *empty_sets()]


def two_values() -> list[Exhibit]:
    """Two labels, neither of which is 0."""
    name = "unclear"
    skin, lesion = np.array([0, 0, 255], np.uint8), np.array([255, 0, 0], np.uint8)
    coloured = np.where(lesion_of(name)[..., None], lesion, skin)
    ink = bytes([255, 255, 255, 0, 0, 0])
    white_first = Image.fromarray(ones(name))
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    indices = png(ones(name) + np.uint8(1), palette=bytes([9, 9, 9, 255, 0, 0, 0, 0, 255]))
    fractions = ones(name) * np.float32(3) + np.float32(2)
    deep = png(ones(name).astype(np.uint16) * 900 + 300, 16)
    return [
        refused_mask("mask_values_1_and_2", ".png", saved(ones(name) + np.uint8(1)), *both(1, 2)),
        refused_mask("mask_values_127_and_254", ".png", saved(whites(name) // 2 + np.uint8(127)), *both(127, 254)),
        refused_mask("mask_values_300_and_1200", ".png", deep, *both(300, 1200)),
        refused_mask("mask_red_on_blue", ".png", saved(coloured), "0xff0000"),
        refused_mask("mask_palette_1_and_2", ".png", indices, *both(1, 2)),
        refused_mask("mask_palette_white_black", ".png", png(ones(name), palette=ink), "palette"),
        refused_mask("mask_palette_white_black_1_bit", ".png", png(ones(name), 1, palette=ink), "palette"),
        refused_mask("mask_bmp_white_black", ".bmp", saved(white_first, "BMP"), "palette"),
        refused_mask("mask_tiff_white_is_0", ".tif", tiff(255 - whites(name), white_is_0=True), "white as 0", CHOICE),
        refused_mask("mask_float_2_and_5", ".tif", tiff(fractions), *both(2, 5)),
    ]  # fmt: skip


def both(*values: int) -> tuple[str, ...]:
    """What a sentence on two values must name: both of them, and the option that chooses."""
    return (*(rf"\b{value}\b" for value in values), CHOICE)


def several_values() -> list[Exhibit]:
    """Three labels or more."""
    name = "unclear"
    three = ones(name) * np.uint8(2)
    three[:5] = 1
    greys, halves, unknown = three * np.uint8(100), three.astype(np.float32) / 2, ones(name).astype(np.float32)
    unknown[0, 0] = np.nan
    colours = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]], np.uint8)
    palette = bytes([0, 0, 0, 0, 200, 0, 200, 0, 0])
    return [
        refused_mask("mask_three_values", ".png", saved(greys), r"\b3\b", "0, 100, 200", r"\bL\b", CHOICE),
        refused_mask("mask_three_indices", ".png", png(three, palette=palette), r"\b3\b", "0, 1, 2", r"\bP\b|palette"),
        refused_mask("mask_three_colours", ".png", saved(colours[three]), r"\b3\b", "RGB"),
        refused_mask("mask_three_fractions", ".tif", tiff(halves), r"\b3\b", r"0\.5"),
        refused_mask("mask_three_values_16_bits", ".png", png(three.astype(np.uint16) * 500, 16), "0, 500, 1000", "16"),
        refused_mask("mask_with_nan", ".tif", tiff(unknown), "(?i)nan"),
    ]  # fmt: skip


def soft_masks() -> list[Exhibit]:
    """Masks whose edge is a ramp."""
    name = "unclear"
    soft = Image.fromarray(whites(name)).filter(ImageFilter.GaussianBlur(1.5))
    jpeg = saved(whites(name), "JPEG", quality=60)
    coloured = saved(np.dstack([whites(name)] * 3), "JPEG", quality=60)
    alpha = np.dstack([np.full((H, W, 3), 255, np.uint8), np.asarray(soft)])
    return [
        refused_mask("mask_soft", ".png", saved(soft), *SCREEN),
        refused_mask("mask_soft_alpha", ".png", saved(alpha), "values"),
        refused_mask("mask_jpeg", ".jpg", jpeg, *SCREEN),
        refused_mask("mask_jpeg_rgb", ".jpg", coloured, *SCREEN),
    ]


def other_sizes() -> list[Exhibit]:
    """Masks of another size than their picture."""
    small = saved(whites("unclear")[::2, ::2])
    across = saved(np.ascontiguousarray(whites("unclear").T))
    return [
        refused_mask("mask_of_half_size", ".png", small, "24 x 20", "48 x 40", fault="mask size"),
        refused_mask("mask_transposed", ".png", across, "40 x 48", "48 x 40", fault="mask transposed"),
    ]


def broken_masks() -> list[Exhibit]:
    """Masks that cannot be read."""
    whole = mask_file("unclear")
    fault = "mask unreadable"
    return [
        refused_mask("mask_truncated", ".png", whole[: len(whole) // 2], "truncated", fault=fault),
        refused_mask("mask_of_text", ".png", b"see attachment", "mask", fault=fault),
        refused_mask("mask_of_nothing", ".png", b"", "empty", fault=fault),
    ]


def empty_sets() -> list[Exhibit]:
    """Sets whose masks mark next to nothing."""
    nothing = saved(np.zeros((H, W), np.uint8))
    ids = tuple(f"EMPTY_{number:02d}" for number in range(19))
    all_empty = pairs() | {f"masks/ISIC_000000{number}.png": nothing for number in range(1, 5)}
    all_but_one = pairs("ISIC_0000001", *ids) | {f"masks/{name}.png": nothing for name in ids}
    refusal = Refused(("empty",), "set", masks_only=True)
    return [
        Exhibit("masks_all_empty", all_empty, refusal),
        Exhibit("masks_95_percent_empty", all_but_one, refusal),
        Exhibit("masks_without_the_chosen_value", pairs(), Refused(("occurs in none",), "set"), lesion_value=7),
    ]
