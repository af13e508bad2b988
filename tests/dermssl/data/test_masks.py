"""What a mask's stored labels are, whatever the mode, and that two of them, one being 0, make a mask."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dermssl.data.masks import Labels, distinct, lesion_of, mask_problem, read_labels, read_lesion, regions


def squares() -> NDArray[np.uint8]:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 1:3] = 255
    mask[3:5, 3:5] = 255  # touches the first by a corner
    mask[0, 7] = 255
    return mask


LESION = squares() > 0


def labels(*values: float, kind: str = "values") -> Labels:
    shaped = np.resize(np.array(values), (4, 6))
    return Labels(shaped, kind, distinct(shaped))


def stored(path: Path, samples: NDArray[np.generic], palette: list[int] | None = None) -> Path:
    picture = Image.fromarray(samples)
    if palette is not None:
        picture = picture.convert("P") if picture.mode != "L" else picture
        picture.putpalette(palette)
    picture.save(path)
    return path


def channels(*values: object) -> NDArray[np.uint8]:
    return np.stack([np.broadcast_to(np.asarray(value, np.uint8), LESION.shape) for value in values], axis=2)


@pytest.mark.parametrize("values", [(0, 255), (0, 1), (0, 7), (0, 65535), (0, 0.5), (0,), (255,)], ids=str)
def test_skin_and_one_other_label_make_a_mask(values: tuple[float, ...]) -> None:
    assert mask_problem(labels(*values)) == ""
    assert np.array_equal(lesion_of(labels(*values)), labels(*values).values != 0)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (labels(0, 128, 255), "mask has 3 values (0, 128, 255), as of classes, or of edges that are not sharp"),
        (labels(*range(24)), "mask has 24 values (0, 1, 2, 3, ...), as of soft edges or a JPEG"),
        (labels(1, 2), "mask has the values 1 and 2, neither of which is 0, so which is lesion is unclear"),
        (labels(0xFF0000, 0xFFFFFF, kind="colours"), "mask has the colours 0xff0000 and 0xffffff, neither of which"),
        (labels(0.25, 0.5), "mask has the values 0.25 and 0.5, neither"),
        (labels(0, float("nan")), "mask holds values that are no finite numbers"),
    ],
)
def test_other_labels_are_named(made: Labels, said: str) -> None:
    assert mask_problem(made).startswith(said)


@pytest.mark.parametrize("value", [0, 1, 2, 128])
def test_a_label_that_is_named_is_the_lesion_and_all_else_is_skin(value: int) -> None:
    made = labels(0, 1, 2, 128)
    assert mask_problem(made, value) == ""
    assert np.array_equal(lesion_of(made, value), made.values == value)


DEEP = LESION.astype(np.uint16)
STORED = {
    "1": LESION,
    "L of 1": LESION.astype(np.uint8),
    "L of 255": squares(),
    "16 bits of 1": DEEP,
    "16 bits of 256": DEEP * 256,
    "RGB of 1": channels(LESION, LESION, LESION),
    "one in red": channels(LESION, 0, 0),
    "one in green": channels(0, LESION, 0),
    "one in blue": channels(0, 0, LESION),
    "two channels": channels(LESION, LESION * 9, 0),
    "opaque": channels(squares(), squares(), squares(), 255),
    "alpha over black": channels(0, 0, 0, squares()),
    "alpha over white": channels(255, 255, 255, squares()),
    "alpha and colour": channels(squares(), squares(), squares(), squares()),
    "grey, alpha over white": channels(255, squares()),
    "grey, alpha over black": channels(0, LESION),
}


@pytest.mark.parametrize("name", STORED)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_mask_reads_alike_however_it_is_stored(name: str, suffix: str, tmp_path: Path) -> None:
    assert np.array_equal(read_lesion(stored(tmp_path / f"a{suffix}", STORED[name])), LESION)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_of_32_bits_in_a_tiff_are_labels(dtype: type[np.generic], tmp_path: Path) -> None:
    assert np.array_equal(read_lesion(stored(tmp_path / "a.tif", LESION.astype(dtype))), LESION)


def test_sixteen_bits_in_a_colour_keep_their_lower_eight(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([DEEP * 0, DEEP * 0, DEEP]))
    assert np.array_equal(read_lesion(tmp_path / "a.png"), LESION)


@pytest.mark.parametrize(
    "entry",
    [(0, 0, 1), (0, 0, 0), (128, 0, 0), (255, 255, 255), (29, 0, 0)],
    ids=["dark", "equal", "red", "white", "grey"],
)
def test_a_palette_is_read_by_its_indices_whatever_their_colours(entry: tuple[int, int, int], tmp_path: Path) -> None:
    path = stored(tmp_path / "a.png", LESION.astype(np.uint8), [0, 0, 0, *entry])
    assert np.array_equal(read_lesion(path), LESION)
    assert read_labels(path).kind == "indices of a palette"


def test_of_more_than_two_indices_those_of_one_colour_are_one_label(tmp_path: Path) -> None:
    indices = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    path = stored(tmp_path / "a.png", indices, [0, 0, 0, 255, 255, 255, 255, 255, 255])
    assert np.array_equal(read_lesion(path), indices > 0)


def test_a_palette_that_says_by_colour_the_opposite_of_its_indices_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path / "a.png", LESION.astype(np.uint8), [255, 255, 255, 0, 0, 0])
    assert "--lesion_value 0 or 1 tells it" in mask_problem(read_labels(path))
    assert np.array_equal(read_lesion(path, 0), ~LESION)


def test_a_wholly_transparent_mask_is_empty_and_an_opaque_white_one_full(tmp_path: Path) -> None:
    assert not read_lesion(stored(tmp_path / "a.png", channels(255, 255, 255, 0))).any()
    assert read_lesion(stored(tmp_path / "b.png", channels(255, 255, 255, 255))).all()


@pytest.mark.parametrize("data", [b"", b"no picture"], ids=["empty", "text"])
def test_a_mask_that_changed_after_it_was_checked_is_named(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(OSError, match=r"a\.png: the mask was readable when"):
        read_lesion(tmp_path / "a.png")


def test_pixels_that_touch_by_a_corner_are_one_component() -> None:
    assert regions(LESION) == 2
    assert regions(np.zeros((4, 4), bool)) == 0
    assert regions(np.ones((4, 4), bool)) == 1
