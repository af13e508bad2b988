"""What tables say of images: joined, said, and refused where it cannot be."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError

pytestmark = pytest.mark.usefixtures("workplace")


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True)
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return folder


def read(folder: Path, text: str, name: str = "metadata.csv") -> Manifest:
    (folder / name).write_text(text)
    return read_manifest(folder)


def lesions(manifest: Manifest) -> dict[str, str]:
    return dict(zip(manifest.table["image_id"], manifest.table["lesion_id"], strict=True))


def test_what_was_joined_is_always_said(tmp_path: Path) -> None:
    manifest = read(pictures(tmp_path / "set", "a", "b", "c"), "image;lesion id\nA.JPG;L1\nb;L1\nz;L2\n")
    assert lesions(manifest) == {"a": "L1", "b": "L1", "c": "c"}
    assert manifest.sentences() == ("metadata.csv: 2 of 3 images have a row, 1 row matches no image (first: z)",)


def test_a_table_of_which_no_row_matches_stops_with_an_example_of_each_side(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(pictures(tmp_path / "set", "a"), "image_id,lesion_id\nz,L2\n")
    assert "none of its 1 row matches an image (it has z, the images are called a)" in str(caught.value)


def test_rows_that_say_two_things_of_one_image_stop(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="says that the lesion_id of image a is L2, and another row says L1; keep one"):
        read(pictures(tmp_path / "set", "a"), "image_id,lesion_id\na,L1\na.png,L2\n")


@pytest.mark.parametrize("word", ["unknown", "NA", "-", "0", "0.0", "", "0000"])
def test_a_placeholder_is_no_lesion_and_that_is_said(word: str, tmp_path: Path) -> None:
    manifest = read(pictures(tmp_path / "set", "a", "b", "c"), f"image_id,lesion_id\na,{word}\nb,{word}\nc,L1\n")
    assert lesions(manifest) == {"a": "a", "b": "b", "c": "L1"}
    words = word or "empty"
    assert f"metadata.csv: lesion_id of 2 images is no id ({words}); each counts as a lesion of its own" in (
        manifest.sentences()
    )


def test_an_image_without_a_lesion_shares_none_with_one_that_is_called_like_it(tmp_path: Path) -> None:
    manifest = read(pictures(tmp_path / "set", "1", "2", "3"), "image_id,lesion_id\n1,3\n2,3.0\n3,NA\n")
    assert lesions(manifest) == {"1": "3", "2": "3", "3": "3 (image)"}


def test_a_table_that_lies_where_it_is_not_read_is_told(tmp_path: Path) -> None:
    place = pictures(tmp_path / "set", "a")
    (place / "deep").mkdir()
    (place / "deep" / "groups.csv").write_text("image_id,lesion_id\na,L1\n")
    (sentence,) = read_manifest(place).sentences()
    assert sentence == "1 file passed over: 1 tables below or of a kind that is not read (deep/groups.csv)"


def test_a_picture_of_two_grey_values_is_said_to_look_like_a_mask(tmp_path: Path) -> None:
    place = pictures(tmp_path / "set", "a")
    cv2.imwrite(str(place / "a-drawn.png"), np.eye(8, dtype=np.uint8) * 255)
    assert read_manifest(place).sentences() == (
        "1 image of two grey values alone, as masks have (first: a-drawn.png); if they are masks, say with --masks how "
        "they are named",
    )


def test_a_list_of_paths_names_images_masks_and_lesions(tmp_path: Path) -> None:
    store = pictures(tmp_path / "store", "x", "y")
    cv2.imwrite(str(store / "m.png"), np.eye(8, 9, dtype=np.uint8))
    text = f"image,mask,lesion_id,dx\nstore\\\\x.png,store/m.png,L1,nv\n{store / 'y.png'},NA,L1,mel\n"
    (tmp_path / "list.csv").write_text(text)
    manifest = read_manifest(tmp_path / "list.csv")
    assert lesions(manifest) == {"x": "L1", "y": "L1"}
    assert list(manifest.table["label"]) == ["nv", "mel"]
    assert manifest.lesion(0).sum() == 8
    assert list(manifest.table["mask_path"]) == ["store/m.png", ""]
    assert manifest.place == tmp_path / "list.csv"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["x.png,m.png", ",m.png"], "row 3 names no image in column image"),
        (["x.png,", "../store/x.png,"], "names an image in more than one row"),
        (["x.png,m.png", "y.png,m.png"], "names a mask in more than one row"),
    ],
)
def test_a_list_with_a_row_that_cannot_be_is_refused(rows: list[str], said: str, tmp_path: Path) -> None:
    store = pictures(tmp_path / "store", "x", "y", "m")
    pd.DataFrame([row.split(",") for row in rows], columns=["image", "mask"]).to_csv(store / "list.csv", index=False)
    with pytest.raises(UserError, match=said):
        read_manifest(store / "list.csv")
