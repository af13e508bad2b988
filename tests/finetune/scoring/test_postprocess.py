"""Tidied masks, as pictures that a reader can check by eye."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, label

from dermssl.data.masks import holes, regions
from finetune.scoring.postprocess import holes_filled, largest_region, postprocessed

Mask = NDArray[np.bool_]


def drawn(picture: str) -> Mask:
    """A mask from lines of # and . for lesion and skin."""
    return np.array([[letter == "#" for letter in line] for line in picture.split()])


def picture(mask: Mask) -> str:
    """The other way round."""
    return " ".join("".join("#" if lesion else "." for lesion in line) for line in mask)


def noise(seed: int) -> Mask:
    rng = np.random.default_rng(seed)
    return rng.random(rng.integers(1, 16, 2)) < rng.uniform(0.2, 0.8)


NOISE = [picture(noise(seed)) for seed in range(60)]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("#..## ...## .....", "...## ...## ....."),
        ("##... ..#.. ....#", "##... ..#.. ....."),
        ("##..# ....# .....", "##... ..... ....."),
        ("...## ..... ##...", "...## ..... ....."),
        ("....# ##..# .....", "....# ....# ....."),
        ("..... ..... .....", "..... ..... ....."),
        ("##### ##### #####", "##### ##### #####"),
        ("..... ..#.. .....", "..... ..#.. ....."),
    ],
    ids=["larger", "corner", "tie", "tie of rows", "tie of blocks", "empty", "full", "pixel"],
)
def test_the_largest_region_alone_is_kept_and_of_equals_the_first(mask: str, expected: str) -> None:
    assert picture(largest_region(drawn(mask))) == expected


def largest_by_counting(mask: Mask) -> Mask:
    labels, count = label(mask, np.ones((3, 3)))  # scipy numbers regions in reading order
    sizes = [int((labels == number).sum()) for number in range(1, count + 1)]
    expected: Mask = labels == 1 + sizes.index(max(sizes)) if count else mask
    return expected


def test_the_largest_region_equals_counting_regions_in_reading_order() -> None:
    off = [mask for mask in NOISE if picture(largest_region(drawn(mask))) != picture(largest_by_counting(drawn(mask)))]
    assert off == []


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (".###. .#.#. .###.", ".###. .###. .###."),
        (".###. .#.#. .#.#.", ".###. .#.#. .#.#."),
        ("..#.. .#.#. ..#..", "..#.. .###. ..#.."),
        ("#.... .#... ..#..", "#.... .#... ..#.."),
        ("##### #...# #.#.# #...# #####", "##### ##### ##### ##### #####"),
        ("..... .....", "..... ....."),
        ("##### #####", "##### #####"),
    ],
    ids=["hole", "bay at the frame", "corners enclose", "diagonal", "island", "empty", "full"],
)
def test_what_a_lesion_encloses_becomes_lesion(mask: str, expected: str) -> None:
    assert picture(holes_filled(drawn(mask))) == expected


def test_filled_masks_equal_scipys_and_have_no_holes() -> None:
    assert [m for m in NOISE if picture(holes_filled(drawn(m))) != picture(binary_fill_holes(drawn(m)))] == []
    assert [mask for mask in NOISE if holes(holes_filled(drawn(mask)))] == []


RING_AND_BLOCK = "###.### #.#.### ###.###"
RING_AROUND_BLOCK = "######## #......# #.####.# #.####.# #.####.# #.####.# #......# ########"


def test_without_flags_nothing_is_postprocessed() -> None:
    assert picture(postprocessed(drawn(RING_AND_BLOCK))) == RING_AND_BLOCK


def test_each_flag_does_its_own_part() -> None:
    mask = drawn(RING_AND_BLOCK)
    assert picture(postprocessed(mask, largest=True)) == "....### ....### ....###"
    assert picture(postprocessed(mask, fill_holes=True)) == "###.### ###.### ###.###"


def test_holes_are_filled_before_regions_are_compared() -> None:
    assert picture(postprocessed(drawn(RING_AND_BLOCK), largest=True, fill_holes=True)) == "###.... ###.... ###...."
    assert postprocessed(drawn(RING_AROUND_BLOCK), largest=True, fill_holes=True).all()


def test_a_postprocessed_mask_is_one_region_without_holes_and_stays_as_it_is() -> None:
    for mask in map(drawn, NOISE):
        mask_of_one = postprocessed(mask, largest=True, fill_holes=True)
        assert (regions(mask_of_one), holes(mask_of_one)) == (int(mask.any()), 0), picture(mask)
        assert picture(postprocessed(mask_of_one, largest=True, fill_holes=True)) == picture(mask_of_one), picture(mask)


@pytest.mark.parametrize("flags", [{}, {"largest": True}, {"fill_holes": True}, {"largest": True, "fill_holes": True}])
def test_postprocessing_leaves_the_mask_it_was_given(flags: dict[str, bool]) -> None:
    mask = drawn(RING_AND_BLOCK)
    assert postprocessed(mask, **flags).dtype == np.bool_
    assert picture(mask) == RING_AND_BLOCK
