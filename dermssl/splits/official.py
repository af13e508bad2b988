"""Splits that somebody else has drawn: the challenges' own, and files."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from dermssl.data.manifest import Manifest
from dermssl.data.tables import ImageNames, read_table
from dermssl.errors import UserError, first_ten
from dermssl.splits.config import DRAWN, FOLDERS, OFFICIAL, SPLITS, SplitConfig
from dermssl.splits.drawn import Split, draw_split
from dermssl.splits.near_duplicates import near_pairs
from dermssl.wording import spelling_hint

ISIC2017 = Path(__file__).with_name("isic2017.csv")  # of the images of ISIC 2018's training set; ids, no pictures
AS_GIVEN = "as given"  # what a split of somebody else says of how its images belong together
SPLIT_FILE = "a split is JSON with lists of image ids under train and val, or a CSV with the columns image_id and split"
SIDES = {"train": "train", "training": "train", "val": "val", "validation": "val", "test": "test"}


def split_of(manifest: Manifest, options: SplitConfig) -> Split:
    """The split that the options ask for.

    Raises:
        UserError: If it is no split, names images that are not there, or the set is too small for it.
    """
    if options.split == DRAWN:
        return draw_split(manifest, options, near_pairs(manifest))
    if options.split in OFFICIAL:
        return official_split(manifest, options.split)
    if options.split == FOLDERS:
        return folders_split(manifest)
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
            f"--split {name}: {manifest.place} has no image of the {' and '.join(absent)} part; "
            f"`python -m dermssl download isic2018 --parts train,{held}` fetches them, "
            "or give --split a file of your own"
        )
    aside = tuple(sorted(set(table["image_id"]) - set(sides["train"]) - set(sides[held])))
    return Split(0, AS_GIVEN, sides["train"], sides[held], aside, name)


def folders_split(manifest: Manifest) -> Split:
    """The split that folders called train, val and test say; test images are left aside where there are val ones.

    Raises:
        UserError: If no folder says who trains, or who is held out.
    """
    part = manifest.table["part"]
    held = "validation" if (part == "validation").any() else "test"
    counts = {name: int((part == name).sum()) for name in ("train", held)}
    if not all(counts.values()):
        absent = " and no ".join("train" if name == "train" else "val or test" for name in counts if not counts[name])
        raise UserError(
            f"--split {FOLDERS}: {manifest.place} has no {absent} folder with images; put images into folders called "
            "train, val and test, or leave --split out"
        )
    sides = [tuple(sorted(manifest.table.loc[part == name, "image_id"])) for name in ("train", held)]
    aside = tuple(sorted(set(manifest.table["image_id"]) - {*sides[0], *sides[1]}))
    return Split(0, AS_GIVEN, sides[0], sides[1], aside, f"folders, {held} images held out")


def isic2017() -> Mapping[str, str]:
    """The part of ISIC 2017 that an image belonged to, for those that ISIC 2018 trains on."""
    with ISIC2017.open(newline="") as file:
        return {row["image_id"]: row["part"] for row in csv.DictReader(file)}


def read_split(path: Path, manifest: Manifest) -> Split:
    """Reads a split: JSON with lists of ids under `train` and `val`, or a table with columns `image_id` and `split`.

    Raises:
        UserError: If it cannot be read as one, has an id on both sides, or names images that the data set has not.
    """
    sides, strangers = sides_of_images(path, manifest)
    on_both = sorted(set(sides["train"]) & set(sides["val"]))
    empty = [side for side, images in sides.items() if not images]
    if strangers:
        raise UserError(
            f"--split {path}: {len(strangers)} of its ids have no image in {manifest.place}, or could be several "
            f"({first_ten(strangers)}); remove them from it, or give --data the folder that holds them"
        )
    if on_both or empty:
        twice = f"{len(on_both)} ids are on both sides ({first_ten(on_both)})"
        fault = twice if on_both else f"no image under {empty[0]}"
        raise UserError(f"--split {path}: {fault}; a split has images to train on and other images that are held out")
    aside = tuple(sorted(set(manifest.table["image_id"]) - {*sides["train"], *sides["val"]}))
    return Split(0, AS_GIVEN, tuple(sides["train"]), tuple(sides["val"]), aside, path.name)


def sides_of_images(path: Path, manifest: Manifest) -> tuple[dict[str, list[str]], list[str]]:
    """The images on either side of a split file, and the ids in it that are no image here, or could be several."""
    names = ImageNames(manifest.table["image_id"])
    sides: dict[str, list[str]] = {}
    strangers = []
    for side, ids in sides_in(path).items():
        matches = [names.matching(word) for word in ids]
        sides[side] = unique(image for match in matches if len(match) == 1 for image in match)
        strangers += [word for word, match in zip(ids, matches, strict=True) if len(match) != 1]
    return sides, sorted(strangers)


def sides_in(path: Path) -> dict[str, list[str]]:
    """The ids under `train` and `val` of a file, each once, in its order.

    Raises:
        UserError: If it is no split file.
    """
    if path.is_dir():
        raise UserError(f"--split {path}: a folder; {SPLIT_FILE}")
    if not path.is_file():
        hint = spelling_hint(str(path), SPLITS)
        raise UserError(f"--split {path}: no such file; give a split file, or one of {', '.join(SPLITS)}{hint}")
    return sides_of_json(path) if path.suffix.lower() == ".json" else sides_of_table(path)


def sides_of_json(path: Path) -> dict[str, list[str]]:
    """The ids of each side in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UserError(f"--split {path}: no JSON ({error}); {SPLIT_FILE}") from error
    lists = content if isinstance(content, dict) else {}
    absent = [side for side in ("train", "val") if not isinstance(lists.get(side), list)]
    if absent:
        raise UserError(f"--split {path}: has no list of image ids under {' and '.join(absent)}; {SPLIT_FILE}")
    return {side: unique(map(str, lists[side])) for side in ("train", "val")}


def sides_of_table(path: Path) -> dict[str, list[str]]:
    """The ids of each side in a table; with validation and test images both, the test images are left aside."""
    table = read_table(path, "--split")
    absent = [meaning for meaning in ("image_id", "split") if not table.column(meaning)]
    if absent:
        raise UserError(
            f"--split {path}: has no column {' and no column '.join(absent)} (it has "
            f"{first_ten(list(table.frame.columns)) or 'none'}); {SPLIT_FILE}"
        )
    words = table.frame[table.column("split")].str.lower()
    side = words.map(SIDES)
    held = "val" if (side == "val").any() else "test"
    ids = table.frame[table.column("image_id")]
    return {name: unique(ids[side == word].tolist()) for name, word in (("train", "train"), ("val", held))}


def unique(words: Iterable[str]) -> list[str]:
    """Each word once, in the order of its first coming."""
    return list(dict.fromkeys(words))
