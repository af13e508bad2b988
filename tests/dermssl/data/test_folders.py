"""How data sets lie on disk: whose a mask is, what an image is called, and which official part a folder names."""

from pathlib import Path

import pytest

from dermssl.data.folders import ids_of, pair_masks, part_of
from dermssl.errors import UserError

ROOT = Path("/data/set")


def at(*paths: str) -> list[Path]:
    return [ROOT / path for path in paths]


def pairs_of(images: list[str], masks: list[str]) -> dict[str, str]:
    """The masks that belong to images, as paths below the root."""
    found = pair_masks(at(*images), at(*masks))[0]
    return {str(image.relative_to(ROOT)): str(mask.relative_to(ROOT)) for image, mask in found.items()}


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
    assert part_of(ROOT / folder / "ISIC_0000000.jpg", ROOT) == part


def test_neither_the_file_nor_what_lies_above_the_set_names_a_part() -> None:
    root = Path("/data/train/set")
    assert part_of(root / "images" / "test_1.jpg", root) == ""


def test_each_mask_belongs_to_the_image_of_its_name() -> None:
    images, masks = ["images/1.jpg", "images/2.jpg"], ["masks/1_segmentation.png", "masks/2.png"]
    assert pairs_of(images, masks) == {"images/1.jpg": "masks/1_segmentation.png", "images/2.jpg": "masks/2.png"}


@pytest.mark.parametrize("first", ["a", "b"])
def test_of_two_images_of_a_name_a_mask_belongs_to_the_nearer_one(first: str) -> None:
    second = "ab"[first == "a"]
    images = [f"{first}/images/1.jpg", f"{second}/images/1.jpg"]
    masks = [f"{second}/masks/1.png", f"{first}/masks/1.png"]
    assert pairs_of(images, masks) == {image: image.replace("images", "masks")[:-3] + "png" for image in images}


@pytest.mark.parametrize("parts", [["train"], ["test"], ["test", "train"]])
def test_below_images_and_masks_a_mask_belongs_to_the_image_in_the_folder_of_the_same_name(parts: list[str]) -> None:
    images = ["images/test/1.jpg", "images/train/1.jpg"]
    masks = [f"masks/{part}/1.png" for part in parts]
    assert pairs_of(images, masks) == {f"images/{part}/1.jpg": f"masks/{part}/1.png" for part in parts}


@pytest.mark.parametrize(
    ("images", "masks", "left_over"),
    [
        (["1.jpg"], ["masks/2.png"], ["masks/2.png"]),
        (["1.jpg"], ["masks/1.png", "other_masks/1.png"], ["other_masks/1.png"]),
        ([], ["masks/1.png"], ["masks/1.png"]),
    ],
    ids=["no image", "image has one", "no images"],
)
def test_masks_without_an_image_of_their_own_are_left_over(
    images: list[str], masks: list[str], left_over: list[str]
) -> None:
    assert pair_masks(at(*images), at(*masks))[1] == at(*left_over)


def test_an_image_is_called_by_its_file_where_that_tells_images_apart() -> None:
    assert ids_of(at("train/1.jpg", "test/2.jpg"), ROOT) == ["1", "2"]


def test_images_are_called_by_their_paths_where_two_files_have_one_name() -> None:
    assert ids_of(at("train/1.jpg", "test/1.jpg", "2.png"), ROOT) == ["train/1", "test/1", "2"]


def test_two_files_that_only_their_suffix_tells_apart_are_refused() -> None:
    with pytest.raises(UserError) as caught:
        ids_of(at("a/1.jpg", "a/1.png", "2.jpg"), ROOT)
    assert (
        str(caught.value)
        == "/data/set: two images have the same name without its ending (a/1); rename or remove one of each"
    )
