"""Splits: who trains and who is held out. Whatever shows the same skin stays together; the rest is kept in proportion.

One order serves all: groups (a patient, a lesion, near-duplicates) are shuffled within their stratum (class and area of
the lesion) and the strata are dealt evenly. Every stretch of that order is then a stratified sample, so that a
hold-out, a fold and a label fraction are each a stretch of it.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from dermssl.data.manifest import Manifest
from dermssl.errors import UserError
from dermssl.files import short_hash, write_json
from dermssl.splits.config import SplitConfig
from dermssl.wording import counted

FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
AREAS = 5  # classes of lesion area, with equally many groups each

Groups = NDArray[np.int64]  # (N,), equal numbers belong together


@dataclass(frozen=True)
class Split:
    """Image ids that train and that are held out; no patient, lesion or near-duplicate is on both sides.

    `train` is in the order in which label fractions take it: 10 % is the head of 50 %.
    """

    seed: int
    grouped_by: str
    train: tuple[str, ...]
    val: tuple[str, ...]
    aside: tuple[str, ...] = ()
    """Neither: the official validation and test images of a set whose training images are split."""
    origin: str = ""
    """How it came to be: drawn, a fold, an official one, or a file."""
    groups: int = 0
    """How many groups the images are in that stay together; 0 where somebody else has drawn the split."""

    @property
    def hash(self) -> str:
        """Ten hex digits of the ids on either side, in the order of label fractions."""
        return short_hash([self.train, sorted(self.val)])

    def labelled(self, fraction: float) -> tuple[str, ...]:
        """The first `fraction` of the training images, at least one; nested, so 1 % lies inside 10 %."""
        return self.train[: max(1, math.ceil(fraction * len(self.train) - 1e-9))]

    def without(self, image_ids: Sequence[str]) -> "Split":
        """The split with these images out of the training side."""
        gone = set(image_ids)
        return replace(self, train=tuple(image for image in self.train if image not in gone))

    def of_images(self, *images: Collection[str]) -> "Split":
        """The split of the images that are in every one of these; whole where none is given."""
        if not images:
            return self
        there = set(images[0]).intersection(*images[1:])
        train, val = (tuple(image for image in side if image in there) for side in (self.train, self.val))
        return replace(self, train=train, val=val)

    def write(self, path: Path, fractions: Sequence[float] = FRACTIONS) -> None:
        """Writes the split file, with its hash and how many images each label fraction takes."""
        counts = {str(fraction): len(self.labelled(fraction)) for fraction in fractions}
        write_json(path, asdict(self) | {"hash": self.hash, "label_fractions": counts})


def groups_of(table: pd.DataFrame, pairs: pd.DataFrame) -> Groups:
    """Which images belong together: by patient, by lesion, or by a chain of near-duplicates.

    Args:
        table: The manifest's.
        pairs: Near-duplicates, as columns `image_a` and `image_b`.

    Returns:
        A number an image; the least row of its group.
    """
    row_of = {image: row for row, image in enumerate(table["image_id"])}
    links = [(row_of[a], row_of[b]) for a, b in zip(pairs["image_a"], pairs["image_b"], strict=True)]
    for column in ("patient_id", "lesion_id"):
        names = table[column].to_numpy() if column in table else np.array([""] * len(table))
        first: dict[str, int] = {}
        links += [(first.setdefault(name, row), row) for row, name in enumerate(names) if name]
    ends = np.array(links, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(len(table), len(table)))
    labels = connected_components(graph, directed=False)[1]
    least = np.full(labels.max() + 1, len(table))
    np.minimum.at(least, labels, np.arange(len(table)))
    return least[labels].astype(np.int64)


def strata_of(table: pd.DataFrame, groups: Groups) -> "pd.Series[str]":
    """The stratum of each group: the class of its first image and a fifth of the groups by mean lesion area."""
    by_group = table.assign(group=groups).groupby("group")
    classes = by_group["label"].first() if "label" in table else pd.Series("", index=sorted(set(groups)))
    area = by_group["mask_area"].mean() if "mask_area" in table else pd.Series(np.nan, index=classes.index)
    fifth = (area.rank(method="first", pct=True) * AREAS).fillna(0).apply(math.ceil)
    strata: pd.Series[str] = classes.fillna("").astype(str) + " " + fifth.astype(str)
    return strata


def dealt_groups(table: pd.DataFrame, groups: Groups, seed: int) -> list[list[str]]:
    """The image ids of every group, in an order of which each stretch holds all strata in proportion.

    A stratum of n groups is spread over [0, 1) at even distances from a random start; the groups are taken as they lie.
    The order of the table's rows does not matter.
    """
    ids = table["image_id"].to_numpy()
    members: dict[int, list[str]] = {}
    for group, image in zip(groups.tolist(), ids.tolist(), strict=True):
        members.setdefault(group, []).append(image)
    name_of = {group: min(images) for group, images in members.items()}
    rng = np.random.default_rng([seed, 0x5711])
    placed: list[tuple[float, str, int]] = []
    strata = strata_of(table, groups)
    for _, stratum in sorted(strata.groupby(strata)):
        inside = sorted(stratum.index, key=lambda group: name_of[group])
        places = (rng.permutation(len(inside)) + rng.random()) / len(inside)
        placed += [(place, name_of[group], group) for place, group in zip(places.tolist(), inside, strict=True)]
    return [sorted(members[group]) for _, _, group in sorted(placed)]


def draw_split(manifest: Manifest, options: SplitConfig, pairs: pd.DataFrame) -> Split:
    """A hold-out, or the fold that `options` ask for, of the images that no official part has set aside.

    Raises:
        UserError: If there are fewer groups than sides or folds.
    """
    table = manifest.table
    official = table["part"].isin(["validation", "test"]) & bool((table["part"] == "train").any())
    candidates = table[~official].sort_values("image_id", ignore_index=True)
    inside = pairs[pairs["image_a"].isin(candidates["image_id"]) & pairs["image_b"].isin(candidates["image_id"])]
    stacks = dealt_groups(candidates, groups_of(candidates, inside), options.split_seed)
    parts = max(2, options.folds)
    if len(stacks) < parts:
        lesions = f"{len(stacks)} lesion{'s' if len(stacks) != 1 else ''}"
        remedy = "give a data set with more lesions" + (", or fewer --folds" if options.folds > 2 else "")
        raise UserError(
            f"{manifest.place}: {lesions} cannot be split into {parts} parts of training and held-out images; {remedy}"
        )
    first, last = held_out_stretch([len(stack) for stack in stacks], options)
    val = tuple(image for stack in stacks[first:last] for image in stack)
    train = tuple(image for stack in [*stacks[last:], *stacks[:first]] for image in stack)
    how = f"fold {options.fold} of {options.folds}" if options.folds else f"hold-out of {options.val_fraction:.0%}"
    return Split(
        options.split_seed, grouped_by(candidates, inside), train, val, tuple(table.loc[official, "image_id"]), how,
        len(stacks),
    )  # fmt: skip


def held_out_stretch(sizes: Sequence[int], options: SplitConfig) -> tuple[int, int]:
    """The groups to hold out, as first and last but one: as near the wanted share of images as whole groups come."""
    ends = np.cumsum(sizes) / sum(sizes)
    if not options.folds:
        held = int(np.abs(ends - options.val_fraction).argmin()) + 1
        return 0, min(max(1, held), len(sizes) - 1)
    cuts = cuts_of(ends - np.array(sizes) / sum(sizes) / 2, options.folds)
    return cuts[options.fold], cuts[options.fold + 1]


def cuts_of(middles: NDArray[np.float64], folds: int) -> list[int]:
    """Where each fold begins and the last ends: a group belongs where its middle lies, and no fold is empty."""
    cuts = [int(np.searchsorted(middles, fold / folds)) for fold in range(folds)] + [len(middles)]
    for fold in range(1, folds):
        cuts[fold] = max(cuts[fold], cuts[fold - 1] + 1)
    for fold in range(folds - 1, 0, -1):
        cuts[fold] = min(cuts[fold], cuts[fold + 1] - 1)
    return cuts


def grouped_by(table: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """What keeps images together here, in words."""
    kinds = [
        ("patient", "patient_id" in table and bool((table["patient_id"] != "").any())),
        ("lesion", bool((table["lesion_id"] != table["image_id"]).any())),
        ("near-duplicate", len(pairs) > 0),
    ]
    return ", ".join(kind for kind, applies in kinds if applies) or "image"


def groups_in_words(table: pd.DataFrame, pairs: pd.DataFrame) -> str:
    """What keeps the images of a manifest's table together, and in how many groups."""
    return together(grouped_by(table, pairs), len(set(groups_of(table, pairs).tolist())), len(table))


def together(kinds: str, groups: int, images: int) -> str:
    """By what images are kept together, and in how many groups: the words of every log and report."""
    if kinds == "image":
        return "every image by itself, for no lesion, patient or near-duplicate links any two"
    named = [kind for kind in kinds.split(", ") if kind != "near-duplicate"]
    what = [f"images of one {' or '.join(named)}"] * bool(named) + ["near-duplicates"] * ("near-duplicate" in kinds)
    return f"{' and '.join(what)} together ({groups:,} groups of {counted(images, 'image')})"


def limited_split(split: Split, limit: int | None) -> Split:
    """The heads of both sides, in their proportion and at least one of each: what is held out stays held out."""
    count = len(split.train) + len(split.val)
    if limit is None or limit >= count:
        return split
    held = min(max(1, round(limit * len(split.val) / count)), limit - 1)
    return replace(split, train=split.train[: limit - held], val=split.val[:held])
