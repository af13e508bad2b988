from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from probe.maps.columns import columns_of, mean_colour

Draw = Callable[..., Path]


def columns(root: Path, labels: dict[str, str] | None = None) -> pd.DataFrame:
    manifest = read_manifest(root)
    return columns_of(manifest, cached_images(manifest, 32), labels or {})


def test_a_pictures_colour_is_its_mean() -> None:
    picture = np.array([[[0, 10, 255], [20, 30, 255]]], np.uint8)
    assert mean_colour(picture) == "#0a14ff"


def test_what_the_sets_own_csv_says_is_read_under_any_of_its_names(draw: Draw) -> None:
    root = draw()
    table = pd.read_csv(root / "metadata.csv")
    ages = [""] + [str(30 + index) for index in range(11)]
    table.assign(localization=["back", "face"] * 6, age_approx=ages).to_csv(root / "metadata.csv", index=False)
    found = columns(root, {"picture_01": "mel", "picture_02": "nv"})
    assert found["site"].tolist() == ["back", "face"] * 6
    assert np.isnan(found["age"][0])
    assert found["age"][1:].tolist() == list(range(30, 41))
    assert found["class"].tolist()[:4] == ["", "mel", "nv", ""]


def test_lesion_area_is_a_share_and_unknown_without_a_mask(draw: Draw) -> None:
    root = draw()
    (root / "masks" / "picture_03.png").unlink()
    area = columns(root)["lesion area"]
    assert np.isnan(area[3])
    assert area.drop(3).between(0, 1).all()
    assert area[0] == pytest.approx(float(read_manifest(root).table["mask_area"][0]))


def test_a_column_that_says_the_same_of_all_is_left_out(draw: Draw) -> None:
    assert columns(draw(classes=False, masks=False)).columns.tolist() == ["image_id", "mean colour"]
