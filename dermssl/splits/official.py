"""Splits that somebody else has drawn: the challenges' own, and files."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.errors import UserError, first_ten
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import Split, draw_split
from dermssl.splits.near_duplicates import near_pairs

OFFICIAL = {  # name -> the part that is held out; the training part trains
    "isic2018": "test", "isic2018-validation": "validation", "isic2017": "test", "isic2017-validation": "validation",
}  # fmt: skip
ISIC2017 = Path(__file__).with_name("isic2017.csv")  # of the images of ISIC 2018's training set; ids, no pictures
AS_GIVEN = "as given"  # what a split of somebody else says of how its images belong together
SIDES = {"train": "train", "training": "train", "val": "val", "validation": "val", "test": "test"}


def split_of(manifest: Manifest, options: SplitConfig) -> Split:
    """The split that the options ask for.

    Raises:
        UserError: If it is no split, names images that are not there, or the set is too small for it.
    """
    if options.split == "drawn":
        return draw_split(manifest, options, near_pairs(manifest))
    if options.split in OFFICIAL:
        return official_split(manifest, options.split)
    return read_split(Path(options.split), manifest)


def official_split(manifest: Manifest, name: str) -> Split:
    """The challenge's own split of the images that are here: by its folders, or for 2017 by their ids.

    Raises:
        UserError: If one side has no image here.
    """
    table = manifest.table
    part = table["part"]
    if (
        name.startswith("isic2017") and not table["path"].str.contains(r"ISIC[-_]?2017").any()
    ):  # folders of another challenge
        part = table["image_id"].map(isic2017()).fillna("")
    held = OFFICIAL[name]
    sides = {side: tuple(sorted(table.loc[part == side, "image_id"])) for side in ("train", held)}
    absent = [side for side, images in sides.items() if not images]
    if absent:
        raise UserError(
            f"--split {name}: {manifest.root} has no image of the {' and '.join(absent)} part; "
            f"`python -m dermssl download isic2018 --parts train,{held}` fetches them, "
            "or give --split a file of your own"
        )
    aside = tuple(sorted(set(table["image_id"]) - set(sides["train"]) - set(sides[held])))
    return Split(0, AS_GIVEN, sides["train"], sides[held], aside, name)


def isic2017() -> Mapping[str, str]:
    """The part of ISIC 2017 that an image belonged to, for those that ISIC 2018 trains on."""
    with ISIC2017.open(newline="") as file:
        return {row["image_id"]: row["part"] for row in csv.DictReader(file)}


def read_split(path: Path, manifest: Manifest) -> Split:
    """Reads a split: JSON with lists of ids under `train` and `val`, or a CSV with columns `image_id` and `split`.

    Raises:
        UserError: If it cannot be read as one, has an id on both sides, or names images that the data set has not.
    """
    sides = sides_in(path)
    image_ids = set(manifest.table["image_id"])
    strangers = sorted({*sides["train"], *sides["val"]} - image_ids)
    on_both = sorted(set(sides["train"]) & set(sides["val"]))
    empty = [side for side, images in sides.items() if not images]
    if strangers:
        raise UserError(
            f"--split {path}: {len(strangers)} of its ids have no image in {manifest.root} ({first_ten(strangers)}); "
            "remove them from it, or give --data the folder that holds them"
        )
    if on_both or empty:
        twice = f"{len(on_both)} ids are on both sides ({first_ten(on_both)})"
        fault = twice if on_both else f"no image under {empty[0]}"
        raise UserError(f"--split {path}: {fault}; a split has images to train on and other images that are held out")
    aside = tuple(sorted(image_ids - {*sides["train"], *sides["val"]}))
    return Split(0, AS_GIVEN, tuple(sides["train"]), tuple(sides["val"]), aside, path.name)


def sides_in(path: Path) -> dict[str, list[str]]:
    """The ids under `train` and `val` of a file, each once, in its order."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        sides = sides_of_csv(text) if path.suffix == ".csv" else json.loads(text)
        return {side: unique(map(str, sides[side])) for side in ("train", "val")}
    except FileNotFoundError:
        names = ", ".join(["drawn", *OFFICIAL])
        raise UserError(f"--split {path}: no such file; give a split file, or one of {names}") from None
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise UserError(
            f"--split {path}: not a split ({type(error).__name__}: {error}); it is JSON with lists of image ids under "
            "train and val, or a CSV with the columns image_id and split"
        ) from error


def sides_of_csv(text: str) -> dict[str, list[str]]:
    """The ids of each side in a CSV; with validation and test images both, the test images are left aside."""
    table = pd.DataFrame(csv.DictReader(text.splitlines()))
    side = table["split"].str.strip().str.lower().map(SIDES)
    held = "val" if (side == "val").any() else "test"
    return {name: table.loc[side == word, "image_id"].tolist() for name, word in (("train", "train"), ("val", held))}


def unique(words: Iterable[str]) -> list[str]:
    """Each word once, in the order of its first coming."""
    return list(dict.fromkeys(words))
