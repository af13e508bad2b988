"""Who trains and who is held out: whoever shows the same skin stays together, and the rest is kept in proportion."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dermssl.data.manifest import Manifest
from dermssl.errors import UserError
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import Split, cuts_of, draw_split, groups_of, held_out_stretch

Pairs = Sequence[tuple[int, int]]

LABEL_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
ALIKE = pd.DataFrame({"image_a": [], "image_b": []})

any_data = settings(max_examples=25, deadline=None, database=None, derandomize=True)


def photographs(
    lesions: Sequence[int],
    patients: Sequence[int] = (),
    labels: Sequence[str] = (),
    areas: Sequence[float] = (),
    parts: Sequence[str] = (),
) -> Manifest:
    """An image for every number, which is its lesion; -1 for images without one, of a lesion or of a patient."""
    count = len(lesions)
    ids = [f"image_{index:04d}" for index in range(count)]
    table = {
        "image_id": ids,
        "lesion_id": [f"lesion_{n}" if n >= 0 else i for n, i in zip(lesions, ids, strict=True)],
        "patient_id": [f"patient_{n}" if n >= 0 else "" for n in patients or [-1] * count],
        "label": labels or [""] * count,
        "mask_area": areas or [float("nan")] * count,
        "part": parts or [""] * count,
    }
    return Manifest(Path("set"), pd.DataFrame(table), ())


def singles(count: int) -> Manifest:
    return photographs([-1] * count)


def alike(manifest: Manifest, pairs: Pairs) -> pd.DataFrame:
    """Near-duplicates, given as rows."""
    ids = manifest.table["image_id"].tolist()
    return pd.DataFrame({"image_a": [ids[a] for a, _ in pairs], "image_b": [ids[b] for _, b in pairs]}, dtype=object)


def split(manifest: Manifest, pairs: pd.DataFrame = ALIKE, **options: object) -> Split:
    return draw_split(manifest, SplitConfig(**options), pairs)


@st.composite
def data_sets(draw: st.DrawFn) -> tuple[Manifest, pd.DataFrame]:
    """Up to 40 images with patients, lesions, classes and areas, some of them unknown, and near-duplicates."""
    some = st.integers(-1, 12)
    area = st.floats(0, 1) | st.just(float("nan"))
    rows = draw(st.lists(st.tuples(some, some, st.sampled_from(["", "nv", "mel"]), area), min_size=2, max_size=40))
    known_patients = draw(st.booleans())
    lesions, patients, labels, areas = (list(column) for column in zip(*rows, strict=True))
    manifest = photographs(lesions, patients if known_patients else [-1] * len(rows), labels, areas)
    row = st.integers(0, len(rows) - 1)
    return manifest, alike(manifest, draw(st.lists(st.tuples(row, row), max_size=8)))


def linked(manifest: Manifest, pairs: pd.DataFrame) -> list[tuple[int, int]]:
    """Every two rows that share a lesion, a patient or their looks, found by comparing all with all."""
    table = manifest.table
    near = set(zip(pairs["image_a"], pairs["image_b"], strict=True))
    rows = list(zip(table["image_id"], table["lesion_id"], table["patient_id"], strict=True))
    return [
        (a, b)
        for a, (image, lesion, patient) in enumerate(rows)
        for b, (other, lesion_b, patient_b) in enumerate(rows)
        if lesion == lesion_b or (patient and patient == patient_b) or (image, other) in near
    ]


def groups_by_flooding(manifest: Manifest, pairs: pd.DataFrame) -> list[int]:
    """The least row that each can be reached from."""
    least = list(range(len(manifest)))
    links = linked(manifest, pairs)
    for _ in least:
        for a, b in links:
            least[a] = least[b] = min(least[a], least[b])
    return least


def groups_in(manifest: Manifest, pairs: pd.DataFrame) -> int:
    return len(set(groups_by_flooding(manifest, pairs)))


@given(data_sets())
@any_data
def test_groups_are_chains_of_patient_lesion_and_looks(drawn: tuple[Manifest, pd.DataFrame]) -> None:
    manifest, pairs = drawn
    assert groups_of(manifest.table, pairs).tolist() == groups_by_flooding(manifest, pairs)


@given(data_sets(), st.floats(0.01, 0.99), st.integers(0, 9))
@any_data
def test_no_patient_lesion_or_near_duplicate_is_on_both_sides_and_no_image_is_lost(
    drawn: tuple[Manifest, pd.DataFrame], share: float, seed: int
) -> None:
    manifest, pairs = drawn
    assume(groups_in(manifest, pairs) >= 2)
    found = split(manifest, pairs, val_fraction=share, split_seed=seed)
    ids = manifest.table["image_id"].tolist()
    held = [image in found.val for image in ids]
    assert sorted(found.train + found.val + found.aside) == ids
    assert found.train
    assert found.val
    assert all(held[a] == held[b] for a, b in linked(manifest, pairs))


@given(data_sets(), st.integers(2, 6), st.integers(0, 9))
@any_data
def test_folds_are_disjoint_cover_everything_and_keep_groups_together(
    drawn: tuple[Manifest, pd.DataFrame], folds: int, seed: int
) -> None:
    manifest, pairs = drawn
    assume(groups_in(manifest, pairs) >= folds)
    ids = manifest.table["image_id"].tolist()
    found = [split(manifest, pairs, folds=folds, fold=fold, split_seed=seed) for fold in range(folds)]
    assert all(fold.train and fold.val for fold in found)
    assert all(sorted(fold.train + fold.val) == ids for fold in found)
    assert sorted(image for fold in found for image in fold.val) == ids
    fold_of = [next(number for number, fold in enumerate(found) if image in fold.val) for image in ids]
    assert all(fold_of[a] == fold_of[b] for a, b in linked(manifest, pairs))


@given(data_sets(), st.randoms(use_true_random=False), st.sampled_from([{}, {"folds": 3, "fold": 1}]))
@any_data
def test_the_order_of_rows_and_pairs_does_not_matter(
    drawn: tuple[Manifest, pd.DataFrame], random: Random, options: dict[str, int]
) -> None:
    manifest, pairs = drawn
    assume(groups_in(manifest, pairs) >= 3)
    rows, others = list(range(len(manifest))), list(range(len(pairs)))
    random.shuffle(rows)
    random.shuffle(others)
    shuffled = Manifest(manifest.root, manifest.table.iloc[rows].reset_index(drop=True), ())
    assert split(shuffled, pairs.iloc[others], **options) == split(manifest, pairs, **options)


@given(data_sets(), st.floats(0.1, 0.9))
@any_data
def test_label_fractions_of_any_data_set_lie_inside_each_other(
    drawn: tuple[Manifest, pd.DataFrame], share: float
) -> None:
    manifest, pairs = drawn
    assume(groups_in(manifest, pairs) >= 2)
    found = split(manifest, pairs, val_fraction=share)
    taken = [set(found.labelled(fraction)) for fraction in LABEL_FRACTIONS]
    assert taken[0]
    assert all(small <= large for small, large in pairwise(taken))
    assert taken[-1] == set(found.train)


@given(st.integers(2, 60), st.integers(2, 12), st.integers(0, 3))
@any_data
def test_folds_of_single_images_differ_in_size_by_one_at_most(count: int, folds: int, seed: int) -> None:
    assume(count >= folds)
    sizes = [len(split(singles(count), folds=folds, fold=fold, split_seed=seed).val) for fold in range(folds)]
    assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(1, 50), min_size=2, max_size=12), st.integers(2, 12))
@any_data
def test_no_fold_is_empty_however_unequal_the_groups(sizes: list[int], folds: int) -> None:
    assume(len(sizes) >= folds)
    share = np.array(sizes) / sum(sizes)
    cuts = cuts_of(share.cumsum() - share / 2, folds)
    assert (cuts[0], cuts[-1]) == (0, len(sizes))
    assert all(first < last for first, last in pairwise(cuts))


def test_folds_with_groups_differ_by_less_than_the_largest_group() -> None:
    manifest = photographs(np.repeat(np.arange(60), np.random.default_rng(0).integers(1, 5, 60)).tolist())
    sizes = [len(split(manifest, folds=5, fold=fold).val) for fold in range(5)]
    assert max(sizes) - min(sizes) <= 4


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    first, again, other = (split(singles(100), split_seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert set(first.val) != set(other.val)


def test_the_split_says_its_seed_and_how_it_came_to_be() -> None:
    assert split(singles(10), split_seed=3).seed == 3
    assert split(singles(10), val_fraction=0.3).origin == "hold-out of 30%"
    assert split(singles(10), folds=5, fold=4).origin == "fold 4 of 5"


@pytest.mark.parametrize("share", [0.1, 0.25, 0.3, 0.5, 0.7])
def test_the_share_is_of_the_images(share: float) -> None:
    assert len(split(singles(200), val_fraction=share).val) == round(200 * share)


@given(st.lists(st.integers(1, 9), min_size=2, max_size=20), st.floats(0.01, 0.99))
@any_data
def test_what_is_held_out_is_as_near_to_the_share_as_whole_groups_come(sizes: list[int], share: float) -> None:
    first, last = held_out_stretch(sizes, SplitConfig(val_fraction=share))
    errors = [abs(sum(sizes[:count]) / sum(sizes) - share) for count in range(1, len(sizes))]
    assert first == 0
    assert abs(sum(sizes[:last]) / sum(sizes) - share) == pytest.approx(min(errors))


@pytest.mark.parametrize(("share", "held"), [(0.001, 1), (0.999, 2)])
def test_each_side_has_a_lesion_however_extreme_the_share(share: float, held: int) -> None:
    found = split(photographs([0, 1, 2]), val_fraction=share)
    assert (len(found.val), len(found.train)) == (held, 3 - held)


@pytest.mark.parametrize(
    ("lesions", "options", "said"),
    [
        ([0], {}, "1 lesion cannot be split into 2 parts of training and held-out images; give a data set"),
        ([0, 0, 0], {}, "1 lesion cannot be split into 2 parts of training and held-out images; give a data set"),
        ([0, 0, 1, 2], {"folds": 4}, "3 lesions cannot be split into 4 parts of training and held-out images; give a"),
        ([0, 0, 1, 2], {"folds": 4}, "give a data set with more lesions, or fewer --folds"),
    ],
)
def test_too_few_lesions_are_refused(lesions: list[int], options: dict[str, int], said: str) -> None:
    with pytest.raises(UserError) as caught:
        split(photographs(lesions), **options)
    assert said in str(caught.value)


def test_a_chain_of_near_duplicates_that_holds_all_images_cannot_be_split() -> None:
    manifest = singles(4)
    with pytest.raises(UserError, match="1 lesion cannot be split"):
        split(manifest, alike(manifest, [(0, 1), (2, 1), (3, 2)]))


@pytest.fixture(scope="module")
def thousand() -> Manifest:
    """A thousand lesions, a tenth of them melanomas, with areas of all sizes."""
    rng = np.random.default_rng(1)
    labels = rng.permutation(["nv"] * 900 + ["mel"] * 100).tolist()
    return photographs([-1] * 1000, labels=labels, areas=rng.beta(2, 5, 1000).tolist())


def sides(manifest: Manifest) -> list[tuple[str, ...]]:
    """Every fold of five, and every label fraction from 5 % of what is trained on beside it."""
    folds = [split(manifest, folds=5, fold=fold, split_seed=1) for fold in range(5)]
    return [side for fold in folds for side in (fold.val, *map(fold.labelled, LABEL_FRACTIONS[2:]))]


def test_every_fold_and_label_fraction_holds_the_classes_in_proportion(thousand: Manifest) -> None:
    bare = Manifest(thousand.root, thousand.table.assign(mask_area=float("nan")), ())
    rare = set(bare.table.loc[bare.table["label"] == "mel", "image_id"])
    assert all(abs(len(rare & set(side)) - len(side) / 10) <= 1 for side in sides(bare))


def test_classes_stay_in_proportion_where_areas_are_balanced_as_well(thousand: Manifest) -> None:
    rare = set(thousand.table.loc[thousand.table["label"] == "mel", "image_id"])
    assert all(abs(len(rare & set(side)) - len(side) / 10) <= 2 for side in sides(thousand))


def test_every_fold_and_label_fraction_holds_lesions_of_all_sizes(thousand: Manifest) -> None:
    area = thousand.table.set_index("image_id")["mask_area"]
    errors = [(area[list(side)].mean() - area.mean()) / area.std() * len(side) ** 0.5 for side in sides(thousand)]
    assert np.square(errors).mean() < 0.25  # 1 in samples drawn without regard to area


@pytest.mark.parametrize("parts", [["train", "validation"], ["train", "test"], ["train", "validation", "test"]])
def test_official_parts_are_set_aside_where_there_is_a_training_part(parts: list[str]) -> None:
    manifest = photographs([-1] * 30, parts=(parts * 30)[:30])
    found = split(manifest)
    assert set(found.aside) == set(manifest.table.loc[manifest.table["part"] != "train", "image_id"])
    assert not set(found.aside) & {*found.train, *found.val}


def test_images_of_no_part_are_split_beside_the_official_ones() -> None:
    found = split(photographs([-1] * 6, parts=["train", "", "train", "", "test", ""]))
    assert found.aside == ("image_0004",)


def test_parts_are_no_reason_to_set_images_aside_where_none_is_for_training() -> None:
    found = split(photographs([-1] * 6, parts=["test", "validation"] * 3))
    assert found.aside == ()
    assert len(found.train + found.val) == 6


def test_near_duplicates_of_what_is_set_aside_do_not_matter() -> None:
    manifest = photographs([-1] * 6, parts=["train"] * 5 + ["test"])
    found = split(manifest, alike(manifest, [(0, 5), (1, 5)]))
    assert found == split(manifest)


@pytest.mark.parametrize(
    ("lesions", "patients", "pairs", "said"),
    [
        ([-1] * 4, [-1] * 4, [], "image"),
        ([0, 0, 1, -1], [-1] * 4, [], "lesion"),
        ([-1] * 4, [0, 0, -1, -1], [], "patient"),
        ([-1] * 4, [-1] * 4, [(0, 1)], "near-duplicate"),
        ([0, 0, 1, -1], [0, 0, -1, -1], [(0, 1)], "patient, lesion, near-duplicate"),
    ],
)
def test_the_split_says_what_it_is_grouped_by(lesions: list[int], patients: list[int], pairs: Pairs, said: str) -> None:
    manifest = photographs(lesions, patients)
    assert split(manifest, alike(manifest, pairs)).grouped_by == said
