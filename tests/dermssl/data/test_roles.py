"""Which picture file is an image, which a mask and whose, and which neither."""

from pathlib import Path

import pytest

from dermssl.data.roles import image_id_of, image_names, is_mask, pair_masks, roles_of

ROOT = Path("/data/set")


def at(*paths: str) -> list[Path]:
    return [ROOT / path for path in paths]


def pairs_of(images: list[str], masks: list[str]) -> dict[str, str]:
    """The masks that belong to images, as paths below the root."""
    found = pair_masks(at(*images), {mask: image_names(mask) for mask in at(*masks)})[0]
    return {str(image.relative_to(ROOT)): str(mask.relative_to(ROOT)) for image, mask in found.items()}


def roles(*paths: str, masks: str | None = None) -> dict[str, str]:
    """What becomes of each file: `image`, `mask of IMAGE`, `orphan` or `neither`."""
    found = roles_of(at(*paths), ROOT, masks)
    said = dict.fromkeys(found.images, "image") | dict.fromkeys(found.orphans, "orphan")
    said |= dict.fromkeys(found.neither, "neither")
    said |= {mask: f"mask of {image.relative_to(ROOT)}" for image, mask in found.mask_of.items()}
    return {path: said[ROOT / path] for path in paths}


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
    assert pair_masks(at(*images), {mask: image_names(mask) for mask in at(*masks)})[1] == at(*left_over)


@pytest.mark.parametrize(
    "mask",
    ["lesion/a.png", "GT/a.png", "gt/a.png", "labels/a.png", "annotations/a.png", "a_lesion.png", "a_seg.png",
     "a_gt.png", "a_label.png", "a-mask.png", "mask_a.png", "GT/a_gt.png", "masks/a_lesion.png", "masks/mask_a.png"],
)  # fmt: skip
def test_a_name_that_masks_often_have_makes_a_mask_of_the_image_whose_name_is_left(mask: str) -> None:
    assert roles("images/a.jpg", mask) == {"images/a.jpg": "image", mask: "mask of images/a.jpg"}


@pytest.mark.parametrize(
    "path", ["lesion/a.jpg", "GT/a.jpg", "labels/a.jpg", "a_lesion.jpg", "a_label.jpg", "mask_a.jpg"]
)
def test_without_such_an_image_it_is_a_photograph(path: str) -> None:
    assert roles(path, "b.jpg") == {path: "image", "b.jpg": "image"}


def test_the_mask_of_an_image_may_spell_its_name_in_another_case() -> None:
    assert roles("IMG_1.JPG", "img_1_mask.png")["img_1_mask.png"] == "mask of IMG_1.JPG"
    assert roles("a.jpg", "A.jpg", "masks/A.png", "masks/a.png")["masks/a.png"] == "mask of a.jpg"


def test_what_isic_lays_beside_an_image_is_neither() -> None:
    assert roles("a.jpg", "a_superpixels.png", "masks/a_attribute_globules.png") == {
        "a.jpg": "image", "a_superpixels.png": "neither", "masks/a_attribute_globules.png": "neither"}  # fmt: skip
    assert roles("lesion_attribute_red.jpg") == {"lesion_attribute_red.jpg": "image"}


def test_ph2_is_read_as_it_unpacks() -> None:
    place = "PH2 Dataset images/IMD002"
    assert roles(
        f"{place}/IMD002_Dermoscopic_Image/IMD002.bmp", f"{place}/IMD002_lesion/IMD002_lesion.bmp",
        f"{place}/IMD002_roi/IMD002_R1_Label3.bmp",
    ) == {
        f"{place}/IMD002_Dermoscopic_Image/IMD002.bmp": "image",
        f"{place}/IMD002_lesion/IMD002_lesion.bmp": f"mask of {place}/IMD002_Dermoscopic_Image/IMD002.bmp",
        f"{place}/IMD002_roi/IMD002_R1_Label3.bmp": "neither",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "mask"),
    [("{id}_roi.png", "a_roi.png"), ("{id}.png", "x/a.png"), ("drawn/{id}-1.png", "p/drawn/a-1.png"),
     ("R_{id}.PNG", "R_a.png"), ("drawn\\{id}.png", "drawn/a.png")],
)  # fmt: skip
def test_a_pattern_says_how_masks_are_named(pattern: str, mask: str) -> None:
    assert roles("a.jpg", mask, masks=pattern) == {"a.jpg": "image", mask: "mask of a.jpg"}


def test_beside_a_pattern_the_names_of_masks_say_only_that_a_file_is_no_image() -> None:
    assert roles("a.jpg", "a_roi.png", "masks/a.png", masks="{id}_roi.png")["masks/a.png"] == "neither"


def test_equal_names_across_two_folders_with_pairs_of_their_own_are_no_pair() -> None:
    found = roles(
        "A/images/2.png", "A/masks/1.png", "A/masks/2.png", "B/images/1.png", "B/images/3.png", "B/masks/3.png"
    )
    assert found["A/masks/1.png"] == "orphan"
    assert (found["A/masks/2.png"], found["B/masks/3.png"]) == ("mask of A/images/2.png", "mask of B/images/3.png")


def test_a_mask_lies_in_folders_of_the_same_names_in_the_same_order_as_its_image() -> None:
    images, masks = ["images/1/2/x.png", "images/2/1/x.png"], ["masks/2/1/x.png", "masks/1/2/x.png"]
    assert pairs_of(images, masks) == {image: image.replace("images", "masks") for image in images}


@pytest.mark.parametrize("mask", ["masks/a.jpg.png", "a.jpg_mask.png", "a_lesion_mask.png", "a_annotation.png"])
def test_the_ending_of_the_picture_may_stand_in_the_name_of_its_mask(mask: str) -> None:
    assert roles("a.jpg", mask)[mask] == "mask of a.jpg"
