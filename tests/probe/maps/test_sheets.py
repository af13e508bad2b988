from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import PixelCache, cached_images
from probe.maps.sheets import Album, neighbour_figure, stranger_figure, stranger_table, strangers_first

Draw = Callable[..., Path]


@pytest.fixture
def album(draw: Draw) -> Album:
    """Twelve discs, two of a lesion."""
    manifest = read_manifest(draw())
    table = manifest.table
    pictures: PixelCache = cached_images(manifest, 32)
    return Album(table["image_id"].tolist(), table["lesion_id"].to_numpy(str), table["label"].tolist(), pictures)


def circle(degrees: list[float]) -> np.ndarray:
    """Unit rows at these angles."""
    return np.stack([np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))], axis=1).astype(np.float32)


def test_an_images_own_lesion_is_no_stranger() -> None:
    features, lesions = circle([0, 1, 2, 50, 90]), np.array(["a", "a", "b", "b", "c"])
    rows, cosines = strangers_first(features, lesions, 2)
    assert rows.tolist() == [[2, 3], [2, 3], [1, 0], [4, 1], [3, 2]]
    assert cosines[0] == pytest.approx(np.cos(np.deg2rad([2, 50])), abs=1e-6)


def test_where_there_are_too_few_strangers_places_stay_empty() -> None:
    rows, cosines = strangers_first(circle([0, 5, 9]), np.array(["a", "a", "b"]), 2)
    assert rows.tolist() == [[2, -1], [2, -1], [1, 0]]
    assert np.isnan(cosines[0, 1])


def test_a_duplicate_that_no_id_tells_of_stands_first_and_once(album: Album) -> None:
    features = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    features[9] = 2 * features[4]  # the same view; lesions 2 and 4
    table = stranger_table(features, album)
    first = table.iloc[0]
    assert (first["image_a"], first["image_b"]) == ("picture_04", "picture_09")
    assert first["cosine"] == pytest.approx(1, abs=1e-6)
    assert (table["lesion_a"] != table["lesion_b"]).all()
    assert not pd.DataFrame(np.sort(table[["image_a", "image_b"]].to_numpy(), axis=1)).duplicated().any()
    assert table["cosine"].is_monotonic_decreasing


def test_the_sheet_of_neighbours_frames_who_agrees(album: Album) -> None:
    features = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    figure = neighbour_figure(features, album, seed=0, title="drawn")
    assert len(figure.axes) == 10 * 7
    frames = {tuple(axes.spines["left"].get_edgecolor()) for axes in figure.axes}
    assert len(frames) == 3  # black for the asked, one for the same class, one for another


def test_the_sheet_of_strangers_shows_the_first_pairs(album: Album) -> None:
    features = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    table = stranger_table(features, album)
    titles = [axes.get_title() for axes in stranger_figure(table, album, "drawn").axes]
    assert titles[0] == table["image_a"][0]
    assert titles[1].startswith(table["image_b"][0])


def test_one_lesion_has_no_strangers(album: Album) -> None:
    alone = album._replace(lesions=np.array(["a"] * 12))
    features = np.random.default_rng(0).normal(size=(12, 16)).astype(np.float32)
    table = stranger_table(features, alone)
    assert table.empty
    stranger_figure(table, alone, "drawn")
