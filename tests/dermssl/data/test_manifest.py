"""The table of what a data set holds: its layouts, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermssl.data.config import Reading
from dermssl.data.manifest import Manifest, read_manifest, refuse_problems
from dermssl.errors import UserError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("workplace")

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


def picture(path: Path, size: tuple[int, int] = (20, 30), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))
    return path


def mask(path: Path, size: tuple[int, int] = (20, 30), values: tuple[int, ...] = (0, 255)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.resize(np.array(values, np.uint8), size))
    return path


def refusal(root: Path, *, masks: bool = True) -> str:
    with pytest.raises(UserError) as caught:
        refuse_problems(read_manifest(root), masks=masks)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def column(found: Manifest, name: str) -> list[object]:
    return list(found.table[name])


def test_the_folders_of_isic_2018_pair_up(draw_isic: Draw, tmp_path: Path) -> None:
    found = read_manifest(draw_isic(tmp_path / "isic", 3, size=(48, 64)))
    assert column(found, "image_id") == ["ISIC_0000000", "ISIC_0000001", "ISIC_0000002"]
    assert column(found, "path")[1] == f"{IMAGES}/ISIC_0000001.jpg"
    assert column(found, "mask_path")[1] == f"{MASKS}/ISIC_0000001_segmentation.png"
    assert set(zip(column(found, "width"), column(found, "height"), strict=True)) == {(64, 48)}
    assert column(found, "mask_components") == [1, 1, 1]
    assert column(found, "lesion_id") == column(found, "image_id")
    assert found.orphans == ()
    refuse_problems(found, masks=True)


def test_superpixels_and_attribute_masks_are_neither_images_nor_masks(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    picture(root / IMAGES / "ISIC_0000000_superpixels.png")
    mask(root / "ISIC2018_Task2_Training_GroundTruth_v3" / "ISIC_0000000_attribute_globules.png")
    found = read_manifest(root)
    assert len(found) == 2
    refuse_problems(found, masks=True)


def test_ham10000_gives_lesions_and_diagnoses(tmp_path: Path) -> None:
    for index in range(3):
        picture(tmp_path / "ham" / f"HAM10000_images_part_{1 + index // 2}" / f"ISIC_{index}.jpg", seed=index)
        mask(tmp_path / "ham" / "HAM10000_segmentations_lesion_tschandl" / f"ISIC_{index}_segmentation.png")
    (tmp_path / "ham" / "HAM10000_metadata.csv").write_text(
        "lesion_id,image_id,dx,age\nHAM_1,ISIC_0,nv,40\nHAM_1,ISIC_1,nv,40\nHAM_2,ISIC_2,mel,\n"
    )
    found = read_manifest(tmp_path / "ham")
    assert column(found, "lesion_id") == ["HAM_1", "HAM_1", "HAM_2"]
    assert column(found, "label") == ["nv", "nv", "mel"]
    refuse_problems(found, masks=True)


def test_metadata_beside_an_images_folder_is_found(tmp_path: Path) -> None:
    picture(tmp_path / "ham" / "images" / "a.jpg")
    (tmp_path / "ham" / "metadata.csv").write_text("image_id,lesion_id\na,one\n")
    assert column(read_manifest(tmp_path / "ham" / "images"), "lesion_id") == ["one"]


def test_an_image_that_the_metadata_does_not_know_is_its_own_lesion(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "set" / f"{name}.jpg")
    (tmp_path / "set" / "metadata.csv").write_text("image_id,lesion_id,dx\na,one,nv\n")
    found = read_manifest(tmp_path / "set")
    assert column(found, "lesion_id") == ["one", "b"]
    assert column(found, "label") == ["nv", ""]


@pytest.mark.parametrize("text", ["", "x,y\n1,2\n"], ids=["empty", "of something else"])
def test_a_csv_that_is_no_metadata_is_left_alone(text: str, tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.jpg")
    (tmp_path / "set" / "notes.csv").write_text(text)
    assert column(read_manifest(tmp_path / "set"), "lesion_id") == ["a"]


def test_a_csv_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "a.jpg")
    (tmp_path / "set" / "metadata.csv").write_bytes(b"image_id,dx\na,\x00\n" * 2)
    with pytest.raises(UserError, match=r"metadata\.csv: cannot be read as a table \(it is no text\); give a CSV"):
        read_manifest(tmp_path / "set")


def test_flat_images_and_masks_pair_by_name(tmp_path: Path) -> None:
    for name in "ab":
        picture(tmp_path / "set" / "images" / f"{name}.jpg")
        mask(tmp_path / "set" / "masks" / f"{name}.png")
    found = read_manifest(tmp_path / "set")
    assert column(found, "mask_path") == ["masks/a.png", "masks/b.png"]
    refuse_problems(found, masks=True)


def test_images_at_any_depth_need_no_mask_for_pretraining(tmp_path: Path) -> None:
    for name in ("a", "x/b", "x/y/z/c"):
        picture(tmp_path / "set" / f"{name}.png")
    found = read_manifest(tmp_path / "set")
    assert column(found, "image_id") == ["a", "b", "c"]
    assert not found.has_masks
    refuse_problems(found, masks=False)


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for part in ("train", "val"):
        picture(tmp_path / "set" / part / "1.jpg")
    assert column(read_manifest(tmp_path / "set"), "image_id") == ["train/1", "val/1"]


def test_images_of_one_name_have_the_masks_that_lie_nearest(tmp_path: Path) -> None:
    for part, values in (("train", (0, 255)), ("val", (0, 0, 0, 255))):
        picture(tmp_path / "set" / part / "images" / "1.jpg")
        mask(tmp_path / "set" / part / "masks" / "1.png", values=values)
    found = read_manifest(tmp_path / "set")
    assert column(found, "mask_path") == ["train/masks/1.png", "val/masks/1.png"]
    assert column(found, "mask_area") == [0.5, 0.25]


def test_an_image_does_not_take_the_mask_of_its_namesake(tmp_path: Path) -> None:
    for part in ("train", "val"):
        picture(tmp_path / "set" / part / "images" / "1.jpg")
    mask(tmp_path / "set" / "val" / "masks" / "1.png")
    assert "1 image without a mask (train/images/1.jpg; move" in refusal(tmp_path / "set")


def test_a_second_mask_of_an_image_is_not_taken_in_silence(tmp_path: Path) -> None:
    picture(tmp_path / "set" / "images" / "1.jpg")
    mask(tmp_path / "set" / "masks" / "1.png")
    mask(tmp_path / "set" / "other_masks" / "1.png")
    assert "1 mask without an image (other_masks/1.png; rename" in refusal(tmp_path / "set")


def test_two_files_with_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("x/a.jpg", "x/a.png"):
        picture(tmp_path / "set" / name)
    with pytest.raises(
        UserError, match=r"two images have the same name without its ending \(x/a\); rename or remove one of each"
    ):
        read_manifest(tmp_path / "set")


def test_a_folder_of_masks_alone_is_refused(tmp_path: Path) -> None:
    mask(tmp_path / "set" / "masks" / "a.png")
    with pytest.raises(UserError, match="1 masks and no image; give the folder that holds images and masks"):
        read_manifest(tmp_path / "set")


def test_taking_images_keeps_their_order_and_their_rows(draw_isic: Draw, tmp_path: Path) -> None:
    found = read_manifest(draw_isic(tmp_path / "isic", 3)).take(["ISIC_0000002", "ISIC_0000000"])
    assert column(found, "image_id") == ["ISIC_0000002", "ISIC_0000000"]
    assert [path.name for path in found.paths()] == ["ISIC_0000002.jpg", "ISIC_0000000.jpg"]
    assert [path.is_file() for path in found.paths("mask_path")] == [True, True]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (
            lambda p: p.unlink(),
            f"1 image without a mask ({IMAGES}/ISIC_0000001.jpg; move them elsewhere, or say with `--masks` how",
        ),
        (
            lambda p: mask(p.with_name("ISIC_0000009_segmentation.png"), size=(48, 64)),
            f"1 mask without an image ({MASKS}/ISIC_0000009_segmentation.png; rename or move them)",
        ),
        (lambda p: mask(p, size=(48, 63)), "ISIC_0000001.jpg: mask is 63 x 48 but its image is 64 x 48"),
        (
            lambda p: mask(p, size=(64, 48)),
            "mask is 48 x 64 but its image is 64 x 48: height and width are swapped; `check --fix",
        ),
        (lambda p: mask(p, size=(48, 64), values=(0, 128, 255)), "mask has 3 values (0, 128, 255), as of classes"),
        (
            lambda p: p.write_bytes(p.read_bytes()[:-60]),
            "mask ISIC_0000001_segmentation.png cannot be read: image file is truncated",
        ),
        (lambda p: p.write_bytes(b""), "mask ISIC_0000001_segmentation.png cannot be read: empty, a file of 0 bytes"),
        (lambda p: p.write_text("no picture"), "segmentation.png cannot be read: no picture but a text: no picture"),
    ],
    ids=["missing", "orphan", "size", "transposed", "three values", "truncated PNG", "empty", "text"],
)
def test_a_mask_that_is_wrong_is_told_with_its_reason(
    break_it: Callable[[Path], object], said: str, draw_isic: Draw, tmp_path: Path
) -> None:
    root = draw_isic(tmp_path / "isic", 3)
    break_it(root / MASKS / "ISIC_0000001_segmentation.png")
    found = refusal(root)
    assert said in found
    assert found.startswith(f"{root}: 1 ")
    assert found.endswith(f"; python -m dermssl check {root} lists them all")


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-60]), "truncated, its end is missing (image file is truncated"),
        (lambda p: p.write_bytes(b""), "cannot be read: empty, a file of 0 bytes"),
        (lambda p: p.write_text("no picture"), "cannot be read: no picture but a text: no picture"),
        (lambda p: (p.unlink(), p.symlink_to("nowhere")), "cannot be read: a link to nowhere, which is not there"),
    ],
    ids=["truncated JPEG", "empty", "text", "dangling link"],
)
@pytest.mark.parametrize("masks", [True, False])
def test_an_image_that_is_broken_is_told_with_its_reason(
    break_it: Callable[[Path], object], said: str, masks: bool, draw_isic: Draw, tmp_path: Path
) -> None:
    root = draw_isic(tmp_path / "isic", 3)
    break_it(root / IMAGES / "ISIC_0000001.jpg")
    assert f"{root}: 1 image with a file that cannot be used ({IMAGES}/ISIC_0000001.jpg: {said}" in refusal(
        root, masks=masks
    )


def test_masks_do_not_matter_to_who_needs_none(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 3)
    mask(root / MASKS / "ISIC_0000000_segmentation.png", size=(9, 9))
    (root / MASKS / "ISIC_0000001_segmentation.png").rename(root / MASKS / "stray_segmentation.png")
    refuse_problems(read_manifest(root), masks=False)


def test_all_kinds_of_findings_are_told_at_once(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 5)
    (root / IMAGES / "ISIC_0000000.jpg").write_text("no picture")
    mask(root / MASKS / "ISIC_0000001_segmentation.png", size=(64, 48))
    (root / MASKS / "ISIC_0000002_segmentation.png").unlink()
    mask(root / MASKS / "stray.png")
    said = refusal(root)
    for kind in (
        "1 image with a file that cannot be used (",
        "no picture but a text",
        "1 image with a mask that is turned (",
        "1 image without a mask (",
        "1 mask without an image",
    ):
        assert kind in said


def test_ten_culprits_are_listed_and_the_rest_is_counted(tmp_path: Path) -> None:
    for index in range(13):
        picture(tmp_path / "set" / f"{index:02d}.png", size=(4, 4))
    said = refusal(tmp_path / "set")
    assert said.startswith(f"{tmp_path / 'set'}: 13 images without a mask (00.png, 01.png, ")
    assert "09.png and 3 more; move" in said
    assert "10.png" not in said


def test_a_sentence_that_is_true_of_many_images_is_told_once_and_the_images_are_counted(tmp_path: Path) -> None:
    for index in range(13):
        picture(tmp_path / "set" / "images" / f"{index:02d}.png", size=(4, 4), seed=index)
        mask(tmp_path / "set" / "masks" / f"{index:02d}.png", size=(5, 4))
    said = refusal(tmp_path / "set")
    assert said.startswith(f"{tmp_path / 'set'}: 13 images with a mask of another size (images/00.png, images/01.png, ")
    assert said.count("mask is 4 x 5 but its image is 4 x 4") == 1


def test_masks_may_lie_in_another_folder_and_are_then_the_only_ones(tmp_path: Path) -> None:
    picture(tmp_path / "photographs" / "a.jpg")
    picture(tmp_path / "photographs" / "b.jpg", seed=1)
    mask(tmp_path / "photographs" / "masks" / "b.png")
    mask(tmp_path / "drawn" / "a_segmentation.png")
    mask(tmp_path / "drawn" / "stranger.png")
    found = read_manifest(tmp_path / "photographs", Reading(masks=str(tmp_path / "drawn")))
    assert found.paths("mask_path")[0] == tmp_path / "drawn" / "a_segmentation.png"
    assert column(found, "mask_path")[1] == ""
    assert found.table["mask_area"][0] == 0.5
    assert found.orphans == (str(tmp_path / "drawn" / "stranger.png"),)
    assert read_manifest(tmp_path / "photographs").hash != found.hash
