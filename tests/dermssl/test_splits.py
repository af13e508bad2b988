"""Who trains and who is held out: by lesion, the same from the same seed, with label fractions inside each other."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermssl.errors import UserError
from dermssl.manifest import Manifest
from dermssl.splits import Split, limited, make_split


def photographs(lesions: list[int]) -> Manifest:
    """An image for every number, which is its lesion; -1 for images without one."""
    ids = [f"image_{index:03d}" for index in range(len(lesions))]
    groups = [f"lesion_{n}" if n >= 0 else i for n, i in zip(lesions, ids, strict=True)]
    return Manifest(Path("set"), pd.DataFrame({"image_id": ids, "lesion_id": groups}), ())


def drawn(count: int = 200) -> Manifest:
    return photographs(np.random.default_rng(0).integers(0, count // 2, count).tolist())


@pytest.mark.parametrize("seed", range(5))
def test_no_lesion_is_on_both_sides_and_no_image_is_lost(seed: int) -> None:
    manifest = drawn()
    lesion = dict(zip(manifest.table["image_id"], manifest.table["lesion_id"], strict=True))
    split = make_split(manifest, 0.3, seed)
    assert not {lesion[i] for i in split.train} & {lesion[i] for i in split.val}
    assert sorted(split.train + split.val) == sorted(lesion)


def test_the_same_seed_gives_the_same_split_whatever_the_order_of_the_rows() -> None:
    manifest = drawn()
    shuffled = Manifest(manifest.root, manifest.table.sample(frac=1, random_state=0), ())
    assert make_split(manifest, 0.2, 7).val == make_split(manifest, 0.2, 7).val
    assert set(make_split(shuffled, 0.2, 7).val) == set(make_split(manifest, 0.2, 7).val)


def test_another_seed_gives_another_split() -> None:
    assert set(make_split(drawn(), 0.2, 0).val) != set(make_split(drawn(), 0.2, 1).val)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_the_share_is_of_the_lesions(share: float) -> None:
    assert len(make_split(photographs([-1] * 200), share, 0).val) == 200 * share


@pytest.mark.parametrize(("share", "held"), [(0.001, 1), (0.999, 2)])
def test_each_side_has_a_lesion_however_extreme_the_share(share: float, held: int) -> None:
    split = make_split(photographs([0, 1, 2]), share, 0)
    assert (len(split.val), len(split.train)) == (held, 3 - held)


@pytest.mark.parametrize("lesions", [[0], [0, 0, 0]])
def test_a_single_lesion_cannot_be_split(lesions: list[int]) -> None:
    with pytest.raises(UserError, match="set: 1 lesion cannot be split into training and held-out images"):
        make_split(photographs(lesions), 0.5, 0)


def test_label_fractions_lie_inside_each_other() -> None:
    split = make_split(drawn(), 0.2, 0)
    fractions = [0.001, 0.01, 0.05, 0.1, 0.3, 0.5, 0.99, 1.0]
    sets = [set(split.labelled(fraction)) for fraction in fractions]
    assert all(small <= large for small, large in pairwise(sets))
    assert len(sets[0]) == 1
    assert sets[-1] == set(split.train)


@pytest.mark.parametrize(("fraction", "count"), [(0.1, 10), (0.3, 30), (0.07, 7), (0.005, 1), (1.0, 100)])
def test_a_fraction_is_not_rounded_up_by_what_floats_cannot_say(fraction: float, count: int) -> None:
    split = Split(0, "image", tuple(map(str, range(100))), ("v",))
    assert len(split.labelled(fraction)) == count


@pytest.mark.parametrize("limit", [2, 3, 7, 50, 99, 100, 101, 150, 199])
def test_a_limit_takes_the_heads_of_both_sides_in_their_proportion(limit: int) -> None:
    whole = make_split(photographs([-1] * 200), 0.3, 0)
    some = limited(whole, limit)
    assert len(some.train) + len(some.val) == limit
    assert (some.train, some.val) == (whole.train[: len(some.train)], whole.val[: len(some.val)])
    assert len(some.val) == pytest.approx(0.3 * limit, abs=0.5)


@pytest.mark.parametrize("share", [0.01, 0.99])
def test_a_limit_leaves_an_image_on_either_side(share: float) -> None:
    some = limited(make_split(photographs([-1] * 200), share, 0), 2)
    assert (len(some.train), len(some.val)) == (1, 1)


@pytest.mark.parametrize("limit", [None, 200, 300])
def test_a_limit_above_the_number_of_images_changes_nothing(limit: int | None) -> None:
    whole = make_split(photographs([-1] * 200), 0.3, 0)
    assert limited(whole, limit) == whole


def test_the_split_says_what_it_is_grouped_by() -> None:
    assert make_split(photographs([-1, -1, -1]), 0.5, 0).grouped_by == "image"
    assert make_split(photographs([0, 0, 1]), 0.5, 0).grouped_by == "lesion"


def test_the_split_file_holds_the_ids_and_how_many_each_fraction_takes(tmp_path: Path) -> None:
    split = make_split(photographs([-1] * 10), 0.2, 3)
    split.write(tmp_path / "split.json", (0.5, 1.0))
    held = json.loads((tmp_path / "split.json").read_text())
    assert Split(held["seed"], held["grouped_by"], tuple(held["train"]), tuple(held["val"])) == split
    assert held["hash"] == split.hash
    assert held["label_fractions"] == {"0.5": 4, "1.0": 8}
