"""Which files are masks, whose they are, and that they hold two values."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dermssl.data.masks import image_id_of, is_mask, mask_problem, read_mask, read_values, regions


def squares() -> NDArray[np.uint8]:
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 1:3] = 255
    mask[3:5, 3:5] = 255  # touches the first by a corner
    mask[0, 7] = 255
    return mask


@pytest.mark.parametrize(
    "path",
    [
        "ISIC2018_Task1_Training_GroundTruth/ISIC_0000000_segmentation.png",
        "HAM10000_segmentations_lesion_tschandl/ISIC_0024306_segmentation.png",
        "masks/a.png",
        "train/mask/a.png",
        "train_masks/a.png",
        "Ground Truth/a.png",
        "ground_truth/a.png",
        "flat/a_mask.png",
        "a_Segmentation.PNG",
    ],
)
def test_a_mask_is_known_by_its_folder_or_its_ending(path: str) -> None:
    assert is_mask(Path("root") / path, Path("root"))


@pytest.mark.parametrize(
    "path",
    [
        "ISIC2018_Task1-2_Training_Input/ISIC_0000000.jpg",
        "HAM10000_images_part_1/ISIC_0024306.jpg",
        "images/a.png",
        "unmasked/a.png",
        "a_masked.png",
        "maskara/a.png",
    ],
)
def test_an_image_is_no_mask(path: str) -> None:
    assert not is_mask(Path("root") / path, Path("root"))


def test_the_folder_of_the_data_set_itself_may_be_called_masks() -> None:
    assert not is_mask(Path("masks/images/a.png"), Path("masks"))


@pytest.mark.parametrize(
    ("name", "image"),
    [("ISIC_0000000_segmentation.png", "ISIC_0000000"), ("a_mask.png", "a"), ("a_Mask.bmp", "a"), ("a.png", "a")],
)
def test_the_name_of_a_mask_without_its_ending_is_its_image(name: str, image: str) -> None:
    assert image_id_of(Path("masks") / name) == image


@pytest.mark.parametrize(
    "values", [[0, 255], [0, 1], [0, 7], [0], [255]], ids=["255", "1", "7", "no lesion", "all lesion"]
)
def test_skin_and_one_other_value_make_a_mask(values: list[int]) -> None:
    assert mask_problem(np.resize(np.array(values, np.uint8), (4, 4))) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 128, 255], "mask has 3 values (0, 128, 255)"),
        ([1, 2], "mask has 2 values (1, 2)"),
        (list(range(9)), "mask has 9 values (0, 1, 2, 3, ...)"),
    ],
    ids=str,
)
def test_other_values_are_counted_and_shown(values: list[int], said: str) -> None:
    found = mask_problem(np.resize(np.array(values, np.uint8), (4, 4)))
    assert found == f"{said}; a mask has two, 0 for skin and 255 for lesion"


@pytest.mark.parametrize("lesion", [1, 255])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_mask_reads_alike_however_it_is_stored(lesion: int, channels: int, tmp_path: Path) -> None:
    stored = np.minimum(squares(), lesion)
    if channels > 1:
        stored = np.dstack([stored] * 3 + [np.full_like(stored, 255)] * (channels - 3))
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    assert np.array_equal(read_mask(tmp_path / "a.png"), squares() > 0)


@pytest.mark.parametrize("data", [b"", b"no picture"], ids=["empty", "text"])
def test_a_file_that_is_no_picture_has_no_values(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert read_values(tmp_path / "a.png") is None
    with pytest.raises(OSError, match=r"a\.png: the mask was readable when"):
        read_mask(tmp_path / "a.png")


def test_pixels_that_touch_by_a_corner_are_one_component() -> None:
    assert regions(squares() > 0) == 2
    assert regions(np.zeros((4, 4), bool)) == 0
    assert regions(np.ones((4, 4), bool)) == 1
