from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermssl.scores.plots import save_figure
from probe.maps.umap_map import GREY, OKABE_ITO, columns_figure, legend_colours, legend_group, umap_figure, umap_table


def test_groups_are_coloured_from_frequent_to_rare() -> None:
    groups = legend_colours(["nv", "mel", "nv", ""])
    assert list(groups.items()) == [("no class", GREY), ("nv", OKABE_ITO[0]), ("mel", OKABE_ITO[1])]


def test_beyond_eight_classes_the_rarest_share_a_grey() -> None:
    labels = [f"class {i}" for i in range(10) for _ in range(20 - i)]
    groups = legend_colours(labels)
    assert len(groups) == 8
    assert groups["other"] == GREY
    assert {legend_group(label, groups) for label in ("class 7", "class 9")} == {"other"}


@pytest.mark.parametrize("labels", [[""] * 12, ["nv", "mel", ""] * 4], ids=["no classes", "classes"])
def test_a_map_is_drawn_for_a_dozen_images(labels: list[str], tmp_path: Path) -> None:
    places = np.random.default_rng(0).normal(size=(12, 2))
    table = pd.DataFrame({"image_id": range(12), "x": places[:, 0], "y": places[:, 1], "label": labels})
    save_figure(umap_figure(table, "title", "diagnosis"), tmp_path / "umap.png")
    assert (tmp_path / "umap.png").stat().st_size > 5000


def test_every_column_has_a_map_in_its_own_way(tmp_path: Path) -> None:
    places = np.random.default_rng(0).normal(size=(6, 2))
    table = pd.DataFrame({"image_id": range(6), "x": places[:, 0], "y": places[:, 1]})
    columns = pd.DataFrame({"image_id": range(6), "class": ["nv", "mel", ""] * 2, "age": [30, 40, np.nan, 50, 60, 70],
                            "mean colour": ["#ff0000", "#00ff00"] * 3})  # fmt: skip
    figure = columns_figure(table, columns, "title")
    words, age, colour, scale = figure.axes
    assert [axes.get_title(loc="left") for axes in (words, age, colour)] == ["class", "age", "mean colour"]
    assert {text.get_text() for text in words.get_legend().get_texts()} == {"mel (2)", "nv (2)", "no class (2)"}
    assert scale.get_ylabel() == "age, years"
    assert len(age.collections[0].get_offsets()) == 1  # the one without an age, in grey
    assert colour.collections[0].get_facecolors()[0].tolist() == [1, 0, 0, 1]


@pytest.mark.slow
def test_a_tiny_set_has_a_map_and_equal_seeds_give_an_equal_one() -> None:
    features = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    ids = [f"image {i}" for i in range(6)]
    table = umap_table(features, ids, {"image 0": "nv"}, seed=3)
    assert table["label"].tolist() == ["nv", "", "", "", "", ""]
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    assert table.equals(umap_table(features, ids, {"image 0": "nv"}, seed=3))
