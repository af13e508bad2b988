from math import isnan
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dermssl.appearance import per_image as module
from dermssl.appearance.hair import THRESHOLD, hair_score
from dermssl.appearance.per_image import COLUMNS, appearance, at_size
from dermssl.data.manifest import read_manifest
from dermssl.data.masks import read_lesion

SKIN, HAIR, LESION = (222, 190, 170), (70, 50, 40), (110, 70, 50)
SIZE = (192, 256)


def skin(lesion: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A picture (192, 256, 3) with a lesion of that radius in the middle, and its mask."""
    picture, mask = np.full((*SIZE, 3), SKIN, np.uint8), np.zeros(SIZE, np.uint8)
    cv2.circle(picture, (128, 96), lesion, LESION, -1)
    cv2.circle(mask, (128, 96), lesion, 1, -1)
    return picture, mask.astype(bool)


def with_hairs(picture: np.ndarray, count: int, width: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    for _ in range(count):
        x, y = rng.uniform(10, 240), rng.uniform(5, 50)
        bend = rng.uniform(-30, 30)
        points = [(x + bend * t * t, y + 90 * t) for t in np.linspace(0, 1, 20)]
        cv2.polylines(picture, [np.array(points, np.int32)], False, HAIR, width, cv2.LINE_AA)
    return picture


def test_bare_skin_has_no_hair_and_hairy_skin_has() -> None:
    picture, mask = skin()
    assert hair_score(picture, mask) == 0
    assert hair_score(with_hairs(picture, 16), mask) > THRESHOLD


def test_more_hair_makes_a_larger_score() -> None:
    scores = [hair_score(with_hairs(skin()[0], count), skin()[1]) for count in (1, 4, 12)]
    assert scores == sorted(scores)
    assert 0 < scores[0] < THRESHOLD < scores[-1] <= 1


def test_lines_inside_the_lesion_are_its_network() -> None:
    picture, mask = skin(lesion=90)
    for x in range(60, 200, 12):
        cv2.line(picture, (x, 60), (x, 130), (40, 25, 20), 2)
    assert hair_score(picture, mask) == 0


def test_dots_blots_and_stout_bars_are_no_hair() -> None:
    picture, mask = skin()
    for y in range(24, 170, 30):
        picture[y : y + 23, 30:37] = HAIR
    for x in range(10, 250, 18):
        cv2.circle(picture, (x, 20), 3, HAIR, -1)
        cv2.circle(picture, (x, 175), 5, HAIR, -1)
    assert hair_score(picture, mask) == 0


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for name, count in (("ISIC_0000001", 0), ("ISIC_0000002", 16), ("ISIC_0000003", 0)):
        picture, mask = skin()
        Image.fromarray(with_hairs(picture, count)).save(tmp_path / "images" / f"{name}.png")
        if name != "ISIC_0000003":
            Image.fromarray(mask.astype(np.uint8) * 255).save(tmp_path / "masks" / f"{name}_segmentation.png")
    return tmp_path


def test_a_data_set_is_measured_in_the_order_of_its_manifest(data_set: Path) -> None:
    table = appearance(read_manifest(data_set))
    assert table.columns.tolist() == COLUMNS
    assert table["image_id"].tolist() == ["ISIC_0000001", "ISIC_0000002", "ISIC_0000003"]
    assert (table["hair"] > THRESHOLD).tolist() == [False, True, False]
    assert table["angle"].iloc[:2].notna().all()
    assert isnan(table["hair"].iloc[2])
    assert isnan(table["angle"].iloc[2])  # no mask, so nobody knows which is skin


def test_pictures_are_looked_at_once_and_anew_where_they_changed(
    data_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = appearance(read_manifest(data_set))
    with monkeypatch.context() as patch:
        patch.setattr(module, "appearance_of_picture", lambda *_: pytest.fail("looked again"))
        pd.testing.assert_frame_equal(appearance(read_manifest(data_set)), first)
    picture, _ = skin()
    Image.fromarray(with_hairs(picture, 12)).save(data_set / "images" / "ISIC_0000001.png")
    assert appearance(read_manifest(data_set))["hair"].iloc[0] > THRESHOLD


def test_a_picture_that_cannot_be_read_has_no_numbers(data_set: Path) -> None:
    (data_set / "images" / "ISIC_0000002.png").write_bytes(b"no picture")
    table = appearance(read_manifest(data_set)).set_index("image_id")
    assert table.loc["ISIC_0000002"].isna().all()
    assert table.loc["ISIC_0000001"].notna().all()


def test_a_mask_is_brought_to_the_size_of_its_shrunk_picture(tmp_path: Path) -> None:
    mask = np.zeros((8, 8), np.uint8)
    mask[:4] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    assert at_size(read_lesion(tmp_path / "mask.png"), (4, 4, 3)).tolist() == [[True] * 4] * 2 + [[False] * 4] * 2
