"""A cleaned copy: what is mended, what is left out, and that the source stays as it was."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermssl.check.cleaned_copy import UNLABELLED, is_blurred, refuse_place, write_cleaned_copy
from dermssl.check.findings import findings_of
from dermssl.data.images import read_rgb
from dermssl.data.manifest import read_manifest, refuse_problems
from dermssl.errors import UserError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("workplace")

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
NO_PAIRS = pd.DataFrame({"image_a": [], "image_b": [], "distance": [], "similarity": []})
ONE, TWO = "ISIC_0000001", "ISIC_0000002"


@pytest.fixture
def source(draw_isic: Draw, tmp_path: Path) -> Path:
    return draw_isic(tmp_path / "isic", 4, size=(96, 128))


def image_of(root: Path, image_id: str = ONE) -> Path:
    return root / IMAGES / f"{image_id}.jpg"


def mask_of(root: Path, image_id: str = ONE) -> Path:
    return root / MASKS / f"{image_id}_segmentation.png"


def cleaned(source: Path, pairs: pd.DataFrame = NO_PAIRS) -> tuple[Path, list[list[str]]]:
    out = source.parent / "clean"
    done = write_cleaned_copy(out, read_manifest(source), pairs)
    written = pd.read_csv(out / "fixes.csv", dtype=str, keep_default_na=False)
    assert written.values.tolist() == done.values.tolist()
    return out, done.values.tolist()


def ids_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.iterdir()) if folder.exists() else []


def test_a_clean_set_is_copied_byte_for_byte(source: Path) -> None:
    out, done = cleaned(source)
    assert done == []
    assert (out / "images" / f"{ONE}.jpg").read_bytes() == image_of(source).read_bytes()
    assert (out / "masks" / f"{ONE}_segmentation.png").read_bytes() == mask_of(source).read_bytes()
    assert not (out / UNLABELLED).exists()


@pytest.mark.parametrize(("end", "kind"), [(-60, "truncated"), (20, "unreadable")])
def test_a_broken_image_is_left_out_with_its_mask(end: int, kind: str, source: Path) -> None:
    image_of(source).write_bytes(image_of(source).read_bytes()[:end])
    out, done = cleaned(source)
    assert done == [[ONE, kind, "left out"]]
    assert ONE not in ids_in(out / "images")
    assert f"{ONE}_segmentation" not in ids_in(out / "masks")


def test_of_equal_bytes_the_one_with_a_mask_is_kept(source: Path) -> None:
    shutil.copy(image_of(source, TWO), image_of(source))
    mask_of(source).unlink()
    out, done = cleaned(source)
    assert done == [[ONE, "duplicate bytes", f"left out, same as {TWO}"]]
    assert ids_in(out / "images") == ["ISIC_0000000", TWO, "ISIC_0000003"]


def test_a_turned_image_is_written_upright(source: Path) -> None:
    upright = Image.open(image_of(source)).copy()
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(image_of(source), exif=exif, quality=95)
    out, done = cleaned(source)
    assert done == [[ONE, "EXIF-rotated", "written upright in RGB as PNG, the same pixels"]]
    assert np.array_equal(read_rgb(out / "images" / f"{ONE}.png"), read_rgb(image_of(source)))
    assert read_rgb(image_of(source)).shape[:2] == (upright.height, upright.width)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_jpeg_of_another_mode_is_written_in_rgb(mode: str, source: Path) -> None:
    Image.open(image_of(source)).convert(mode).save(image_of(source))
    out, done = cleaned(source)
    assert done == [[ONE, "wrong mode", "written upright in RGB as PNG, the same pixels"]]
    with Image.open(out / "images" / f"{ONE}.png") as written:
        assert written.mode == "RGB"
        assert np.array_equal(np.asarray(written), read_rgb(image_of(source)))


def test_sixteen_bits_are_written_as_a_png_of_eight(source: Path) -> None:
    grey = np.linspace(0, 65535, 96 * 128).reshape(96, 128).astype(np.uint16)
    Image.fromarray(grey).save(image_of(source).with_suffix(".png"))
    image_of(source).unlink()
    out, done = cleaned(source)
    assert done == [[ONE, "wrong mode", "written upright in RGB as PNG, the same pixels"]]
    assert np.array_equal(cv2.imread(str(out / "images" / f"{ONE}.png"))[..., 0], grey >> 8)


def test_a_mask_of_zero_and_one_is_written_with_255(source: Path) -> None:
    before = cv2.imread(str(mask_of(source)), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(mask_of(source)), before // 255)
    out, done = cleaned(source)
    assert done == [[ONE, "mask values", "written as 0 and 255"]]
    written = cv2.imread(str(out / "masks" / f"{ONE}_segmentation.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(written, before)


def test_a_mask_with_a_blurred_edge_is_thresholded(source: Path) -> None:
    before = cv2.imread(str(mask_of(source)), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(mask_of(source)), cv2.GaussianBlur(before, (5, 5), 0))
    out, done = cleaned(source)
    assert done == [[ONE, "mask values", "thresholded above 128"]]
    written = cv2.imread(str(out / "masks" / f"{ONE}_segmentation.png"), cv2.IMREAD_GRAYSCALE)
    assert (written != before).mean() < 0.01


@pytest.mark.parametrize("values", [(0, 1, 2), (0, 128, 255), (0, 60, 120), (0, 250, 255)], ids=str)
def test_a_mask_of_three_classes_makes_its_image_unlabelled(values: tuple[int, ...], source: Path) -> None:
    mask = np.full((96, 128), values[0], np.uint8)
    mask[20:70, 20:60], mask[30:60, 60:100] = values[1], values[2]
    cv2.imwrite(str(mask_of(source)), mask)
    out, done = cleaned(source)
    [[image, kind, action]] = done
    assert (image, kind) == (ONE, "mask values")
    assert action.startswith(f"mask has 3 values {values}, as of classes")
    assert action.endswith(f"image moved to {UNLABELLED}")
    assert (ids_in(out / UNLABELLED), len(ids_in(out / "masks"))) == ([ONE], 3)


def test_a_mask_saved_as_jpeg_is_thresholded() -> None:
    mask = cv2.circle(np.zeros((96, 128), np.uint8), (60, 50), 30, 255, -1)
    _, data = cv2.imencode(".jpg", mask, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert is_blurred(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8))


def test_a_transposed_mask_is_turned_back(source: Path) -> None:
    before = cv2.imread(str(mask_of(source)), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(mask_of(source)), before.T)
    out, done = cleaned(source)
    assert done == [[ONE, "mask transposed", "transposed back, which is a guess: look at it"]]
    written = cv2.imread(str(out / "masks" / f"{ONE}_segmentation.png"), cv2.IMREAD_GRAYSCALE)
    assert np.array_equal(written, before)


@pytest.mark.parametrize(
    ("break_it", "action"),
    [
        (lambda path: cv2.imwrite(str(path), np.zeros((5, 9), "u1")), ["mask size", f"image moved to {UNLABELLED}"]),
        (lambda path: path.write_bytes(b"x"), ["mask unreadable", f"image moved to {UNLABELLED}"]),
        (lambda path: path.unlink(), ["image without mask", f"moved to {UNLABELLED}"]),
    ],
    ids=["size", "unreadable", "missing"],
)  # fmt: skip
def test_an_image_without_a_usable_mask_is_unlabelled(
    break_it: Callable[[Path], object], action: list[str], source: Path
) -> None:
    break_it(mask_of(source))
    out, done = cleaned(source)
    assert done == [[ONE, *action]]
    assert ids_in(out / UNLABELLED) == [ONE]


def test_a_colour_mask_is_written_in_grey(source: Path) -> None:
    Image.open(mask_of(source)).convert("RGB").save(mask_of(source))
    out, done = cleaned(source)
    assert done == [[ONE, "wrong mode", "mask written as grey, was RGB"]]
    with Image.open(out / "masks" / f"{ONE}_segmentation.png") as written:
        assert written.mode == "L"


def test_a_mask_without_an_image_is_left_out(source: Path) -> None:
    image_of(source).unlink()
    out, done = cleaned(source)
    assert done == [[ONE, "mask without image", f"{MASKS}/{ONE}_segmentation.png left out"]]
    assert len(ids_in(out / "masks")) == 3


def test_near_duplicates_and_empty_masks_are_kept(source: Path) -> None:
    cv2.imwrite(str(mask_of(source)), np.zeros((96, 128), np.uint8))
    pairs = pd.DataFrame({"image_a": [ONE], "image_b": [TWO], "distance": [3], "similarity": [0.9]})
    out, done = cleaned(source, pairs)
    assert done == [[ONE, "near-duplicate", f"kept, as {TWO}; splits keep the two together"]]
    assert len(ids_in(out / "images")) == 4


def test_a_set_without_masks_stays_one(draw_isic: Draw, tmp_path: Path) -> None:
    out, done = cleaned(draw_isic(tmp_path / "pool", 3, size=(96, 128), masks=False))
    assert (done, len(ids_in(out / "images")), (out / UNLABELLED).exists()) == ([], 3, False)


def test_metadata_and_licence_come_along(source: Path) -> None:
    (source / "metadata.csv").write_text(f"image_id,lesion_id,dx\n{ONE},x,nv\n{TWO},x,nv\n")
    for name in ("LICENSE.txt", "ATTRIBUTION.md"):
        (source / name).write_text("terms")
    out, _ = cleaned(source)
    known = pd.read_csv(out / "metadata.csv", dtype=str).set_index("image_id")
    assert known.loc[ONE].to_dict() == {"lesion_id": "x", "dx": "nv"}
    assert ((out / "LICENSE.txt").read_text(), (out / "ATTRIBUTION.md").read_text()) == ("terms", "terms")


def test_images_of_one_name_do_not_overwrite_one_another(source: Path) -> None:
    for part in ("train", "val"):
        (source.parent / "set" / part).mkdir(parents=True)
        shutil.copy(image_of(source, {"train": ONE, "val": TWO}[part]), source.parent / "set" / part / "1.jpg")
    out, _ = cleaned(source.parent / "set")
    assert sorted(path.relative_to(out).as_posix() for path in (out / "images").rglob("*.jpg")) == [
        "images/train/train__1.jpg", "images/val/val__1.jpg"]  # fmt: skip
    assert set(read_manifest(out).table["part"]) == {"train", "validation"}


def test_two_ids_that_would_be_one_file_name_get_two(source: Path) -> None:
    place = source.parent / "set"
    for name, image in (("a/b", ONE), ("a__b", TWO), ("c/b", "ISIC_0000003")):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image_of(source, image), place / f"{name}.jpg")
    out, _ = cleaned(place)
    assert ids_in(out / "images") == ["a__b", "a__b_2", "c__b"]


@pytest.mark.parametrize("values", [(0, 1, 255), (0, 200, 255), (0, 100, 200)], ids=str)
def test_a_mask_with_a_ring_of_another_class_is_not_thresholded(values: tuple[int, ...], source: Path) -> None:
    mask = np.zeros((96, 128), np.uint8)
    cv2.circle(mask, (60, 50), 12, values[2], -1)
    cv2.circle(mask, (60, 50), 11, values[1], -1)
    cv2.imwrite(str(mask_of(source)), mask)
    out, _ = cleaned(source)
    assert ids_in(out / UNLABELLED) == [ONE]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_soft_mask_in_the_alpha_channel_is_thresholded_by_its_alpha(mode: str, source: Path) -> None:
    before = cv2.imread(str(mask_of(source)), cv2.IMREAD_GRAYSCALE)
    white = Image.new(mode, (128, 96), "white")
    white.putalpha(Image.fromarray(cv2.GaussianBlur(before, (5, 5), 0)))
    white.save(mask_of(source))
    out, _ = cleaned(source)
    written = cv2.imread(str(out / "masks" / f"{ONE}_segmentation.png"), cv2.IMREAD_GRAYSCALE)
    assert (written != before).mean() < 0.01


def spoil(root: Path) -> None:
    image_of(root, "ISIC_0000000").write_bytes(b"no picture")
    cv2.imwrite(str(mask_of(root)), cv2.imread(str(mask_of(root)), cv2.IMREAD_GRAYSCALE).T)
    mask_of(root, TWO).unlink()
    shutil.copy(mask_of(root), root / MASKS / "stray_segmentation.png")


def test_the_copy_has_no_errors_left(source: Path) -> None:
    spoil(source)
    out, _ = cleaned(source)
    copy = read_manifest(out)
    scores = pd.DataFrame(0.0, index=range(len(copy)), columns=["dark corners", "ruler", "sticker"])
    refuse_problems(copy, masks=True)
    assert "error" not in set(findings_of(copy, NO_PAIRS, scores, None)["severity"])


def test_the_source_is_not_touched(source: Path, files_in: Callable[[Path], dict[str, bytes]]) -> None:
    spoil(source)
    before = files_in(source), {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    cleaned(source)
    assert (files_in(source), {path: path.stat().st_mtime_ns for path in source.rglob("*")}) == before


@pytest.mark.parametrize("place", ["isic/clean", ".", "isic", "full"])
def test_a_place_that_holds_something_or_lies_in_the_source_is_refused(place: str, source: Path) -> None:
    (source.parent / "full").mkdir()
    (source.parent / "full" / "x").touch()
    with pytest.raises(UserError, match="is not empty" if place == "full" else "give a folder of its own"):
        refuse_place(source.parent / place, source)


def test_a_set_of_which_nothing_can_be_read_is_not_copied(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.jpg").write_text("no picture")
    with pytest.raises(UserError, match="none of the 1 images can be read"):
        cleaned(tmp_path / "set")
