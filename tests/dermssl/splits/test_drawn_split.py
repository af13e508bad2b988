"""A split once it is drawn: its label fractions, its limit, its hash and its file."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dermssl.data.manifest import Manifest
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import FRACTIONS, Split, draw_split, limited_split
from dermssl.splits.official import read_split


def singles(count: int, parts: Sequence[str] = ()) -> Manifest:
    """Images of which each is its own lesion."""
    ids = [f"image_{index:04d}" for index in range(count)]
    unknown = {"patient_id": "", "label": "", "mask_area": float("nan")}
    table = pd.DataFrame({"image_id": ids, "lesion_id": ids, "part": parts or [""] * count})
    return Manifest(Path("set"), table.assign(**unknown), ())


def split(manifest: Manifest, **options: object) -> Split:
    return draw_split(manifest, SplitConfig(**options), pd.DataFrame({"image_a": [], "image_b": []}))


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 10), (0.3, 30), (0.07, 7), (0.005, 1), (1.0, 100)])
def test_a_fraction_is_not_rounded_up_by_what_floats_cannot_say(fraction: float, count: int) -> None:
    found = Split(0, "image", tuple(map(str, range(100))), ("v",))
    assert len(found.labelled(fraction)) == count


def test_without_leaves_the_others_in_their_order_and_the_held_out_side_alone() -> None:
    found = Split(0, "image", ("d", "a", "c", "b"), ("e", "f"))
    assert found.without(["a", "e", "stranger"]) == replace(found, train=("d", "c", "b"))


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"seed": 1}, False),
        ({"grouped_by": "lesion", "origin": "file", "aside": ("z",)}, False),
        ({"val": ("d", "c")}, False),
        ({"train": ("b", "a")}, True),  # other label fractions
        ({"train": ("a", "x")}, True),
        ({"val": ("c", "x")}, True),
        ({"train": ("a",), "val": ("b", "c", "d")}, True),
    ],
)
def test_the_hash_is_of_the_ids_on_either_side_and_of_nothing_else(change: dict[str, object], changes: bool) -> None:
    found = Split(0, "image", ("a", "b"), ("c", "d"))
    assert (replace(found, **change).hash != found.hash) == changes


@pytest.mark.parametrize("limit", [2, 3, 7, 50, 99, 100, 101, 150, 199])
def test_a_limit_takes_the_heads_of_both_sides_in_their_proportion(limit: int) -> None:
    whole = split(singles(200), val_fraction=0.3)
    some = limited_split(whole, limit)
    assert len(some.train) + len(some.val) == limit
    assert (some.train, some.val) == (whole.train[: len(some.train)], whole.val[: len(some.val)])
    assert len(some.val) == pytest.approx(0.3 * limit, abs=0.5)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_limit_leaves_an_image_on_either_side(share: float) -> None:
    some = limited_split(split(singles(200), val_fraction=share), 2)
    assert (len(some.train), len(some.val)) == (1, 1)


@pytest.mark.parametrize("limit", [None, 200, 300])
def test_a_limit_above_the_number_of_images_changes_nothing(limit: int | None) -> None:
    whole = split(singles(200), val_fraction=0.3)
    assert limited_split(whole, limit) == whole


def test_the_split_file_holds_the_ids_and_how_many_each_fraction_takes(tmp_path: Path) -> None:
    found = split(singles(10), val_fraction=0.2, split_seed=3)
    found.write(tmp_path / "split.json", (0.5, 1.0))
    held = json.loads((tmp_path / "split.json").read_text())
    sides = {name: tuple(held[name]) for name in ("train", "val", "aside")}
    assert Split(held["seed"], held["grouped_by"], **sides, origin=held["origin"], groups=held["groups"]) == found
    assert held["hash"] == found.hash
    assert held["label_fractions"] == {"0.5": 4, "1.0": 8}


def test_the_split_file_counts_the_fractions_that_labels_are_studied_at(tmp_path: Path) -> None:
    split(singles(250)).write(tmp_path / "split.json")
    counts = json.loads((tmp_path / "split.json").read_text())["label_fractions"]
    assert FRACTIONS == (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
    assert list(counts.values()) == [2, 4, 10, 20, 50, 100, 200]


def test_a_written_split_reads_back_to_the_same_sides_and_hash(tmp_path: Path) -> None:
    manifest = singles(40, parts=["train"] * 35 + ["test"] * 5)
    found = split(manifest, folds=4, fold=2, split_seed=9)
    found.write(tmp_path / "split.json")
    again = read_split(tmp_path / "split.json", manifest)
    assert (again.train, again.val, again.aside) == (found.train, found.val, found.aside)
    assert again.hash == found.hash


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"val_fraction": 0.0}, r"--val_fraction is a share in \(0, 1\), got 0.0"),
        ({"val_fraction": 1.0}, r"--val_fraction is a share in \(0, 1\), got 1.0"),
        ({"folds": 1}, "--folds is 0 or at least 2, got 1"),
        ({"folds": -2}, "--folds is 0 or at least 2, got -2"),
        ({"folds": 3, "fold": 3}, "--fold is counted from 0 to 2 with --folds 3; got 3"),
        ({"folds": 3, "fold": -1}, "--fold is counted from 0 to 2 with --folds 3; got -1"),
        ({"fold": 1}, "--fold 1 is of no folds; give --folds as well"),
        ({"split_seed": -1}, "--split_seed must not be negative, got -1"),
    ],
)
def test_options_that_ask_for_no_split_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        SplitConfig(**options)
