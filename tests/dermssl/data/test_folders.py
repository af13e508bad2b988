"""What folders and file names say of an image: its id, and the official part."""

from pathlib import Path

import pytest

from dermssl.data.folders import ids_of, part_of
from dermssl.errors import UserError

ROOT = Path("/data/set")


def at(*paths: str) -> list[Path]:
    return [ROOT / path for path in paths]


@pytest.mark.parametrize(
    ("folder", "part"),
    [
        ("ISIC2018_Task1-2_Training_Input", "train"),
        ("ISIC2018_Task1-2_Validation_Input", "validation"),
        ("ISIC2018_Task1-2_Test_Input", "test"),
        ("ISIC-2017_Training_Data", "train"),
        ("ISIC-2017_Validation_Data", "validation"),
        ("ISIC-2017_Test_v2_Data", "test"),
        ("train", "train"),
        ("val", "validation"),
        ("TEST", "test"),
        ("images/train", "train"),
        ("train/images", "train"),
        ("images-val", "validation"),
        ("images", ""),
        ("latest", ""),
        ("strain", ""),
        ("trained", ""),
        ("interval", ""),
        ("contested_images", ""),
        (".", ""),
    ],
)
def test_the_folders_name_the_official_part(folder: str, part: str) -> None:
    assert part_of(f"{folder}/ISIC_0000000.jpg") == part


def test_neither_the_file_nor_what_lies_above_the_set_names_a_part() -> None:
    assert part_of("images/test_1.jpg") == ""
    assert part_of("/data/train/set/1.jpg") == ""


def test_an_image_is_called_by_its_file_where_that_tells_images_apart() -> None:
    assert ids_of(at("train/1.jpg", "test/2.jpg"), ROOT) == ["1", "2"]


def test_images_are_called_by_their_paths_where_two_files_have_one_name() -> None:
    assert ids_of(at("train/1.jpg", "test/1.jpg", "2.png"), ROOT) == ["train/1", "test/1", "2"]


def test_two_files_that_only_their_suffix_tells_apart_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        ids_of(at("a/1.jpg", "a/1.png", "2.jpg"), ROOT, ", or say so")
    assert str(caught.value) == (
        "/data/set: two images have the same name without its ending (a/1); rename or remove one of each, or say so"
    )
