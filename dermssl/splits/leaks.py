"""The leak firewall: held-out images, the same skin or near-duplicates of them, must not be among those trained on."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.errors import UserError
from dermssl.files import sha256_of
from dermssl.splits.config import OnLeak
from dermssl.splits.fingerprints import alike, looks_of
from dermssl.splits.near_duplicates import confirm

SEEN = ["image_id", "path", "lesion_id", "patient_id", "sha256", "phash", "tones"]
COLUMNS = ["trained_on", "held_out", "why"]
WHY = ("same file", "same image id", "same lesion", "same patient", "near-duplicate")
ACCESSION = re.compile(r"(ISIC_\d{7}|(HAM|IL|IP)_\d{7})")  # an archive's numbers mean one thing everywhere
SURE = 40  # bits; look-alikes this near are taken for duplicates where no file is left to confirm them by
SHOWN = 20


@dataclass(frozen=True)
class Verdict:
    """What the firewall found, and what was done about it."""

    found: pd.DataFrame  # COLUMNS, a row a pair of images
    held_out: int
    action: str
    """clean, dropped, allowed, or unknown where an encoder does not say what it has seen."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """The images to leave out of training."""
        return tuple(sorted(set(self.found["trained_on"]))) if self.action == "dropped" else ()

    @property
    def summary(self) -> dict[str, object]:
        """For result.json: how many images on either side leak, for which reasons, and what was done."""
        reasons = self.found["why"].value_counts()
        return {
            "action": self.action,
            "held_out": self.held_out,
            "leaking_held_out": self.found["held_out"].nunique(),
            "leaking_training": self.found["trained_on"].nunique(),
            "pairs": {why: int(reasons[why]) for why in WHY if why in reasons},
        }

    def __str__(self) -> str:
        if self.action == "unknown":
            return "leaks: the encoder's file does not say which images it has seen, so nothing could be crossed"
        counts = self.summary
        if self.action == "clean":
            return f"leaks: none into {self.held_out} held-out images"
        return (f"leaks: {counts['leaking_training']} images share file, id, lesion, patient or looks with "
                f"{counts['leaking_held_out']} of {self.held_out} held-out images: {self.action}")  # fmt: skip


def guard(found: pd.DataFrame, held_out: int, on_leak: OnLeak, where: str, remedy: str = "") -> Verdict:
    """What to do about leaks: nothing where there are none, else what the user said.

    Args:
        found: Of `crossed`.
        held_out: How many images are held out.
        on_leak: What the user said.
        where: The training images, in words.
        remedy: What to do instead of dropping, where dropping is no longer possible.

    Raises:
        UserError: If there are leaks and the user has not said what to do, or said what cannot be done.
    """
    if found.empty:
        return Verdict(found, held_out, "clean")
    if on_leak == "allow":
        return Verdict(found, held_out, "allowed")
    if on_leak == "drop" and not remedy:
        return Verdict(found, held_out, "dropped")
    print(found.head(SHOWN).to_string(index=False), flush=True)
    if len(found) > SHOWN:
        print(f"... and {len(found) - SHOWN} more pairs", flush=True)
    raise UserError(
        f"{where}: {found['trained_on'].nunique()} training images leak into {found['held_out'].nunique()} of "
        f"{held_out} held-out images (table above); {remedy or '--on-leak drop leaves them out of training'}, "
        "and --on-leak allow trains on them all the same"
    )


def crossed(training: pd.DataFrame, root: Path, held: Manifest) -> pd.DataFrame:
    """Every pair of a training image and a held-out one that are not strangers, with the first reason of WHY.

    Args:
        training: Rows with the columns SEEN.
        root: Folder of their paths; those that are gone are judged by their looks alone.
        held: The held-out images.
    """
    one_set = root.resolve() == held.root.resolve()
    file = shared(training, held.table, "sha256", lambda digest: digest[:16])
    meaning = str if one_set else accession
    image, *groups = (
        shared(training, held.table, column, meaning) for column in ("image_id", "lesion_id", "patient_id")
    )
    near = near_across(training, root, held)
    found = [part.assign(why=why) for part, why in zip([file, image, *groups, near], WHY, strict=True)]
    return pd.concat(found, ignore_index=True).drop_duplicates(["trained_on", "held_out"], ignore_index=True)[COLUMNS]


def accession(name: str) -> str:
    """An archive's number, without folders before it; nothing for `img_001`, which may be anybody's."""
    number = name.rpartition("/")[2]
    return number if ACCESSION.fullmatch(number) else ""


def shared(training: pd.DataFrame, held: pd.DataFrame, column: str, meaning: Callable[[str], str]) -> pd.DataFrame:
    """Pairs of images whose entries in `column` have the same `meaning`; where that is nothing, they are none."""
    sides = []
    for table in (training, held):
        side = pd.DataFrame({"image": table["image_id"], "key": [meaning(entry) for entry in table[column]]}, dtype=str)
        sides.append(side[side["key"] != ""])
    pairs = sides[0].merge(sides[1], on="key")
    return pd.DataFrame({"trained_on": pairs["image_x"], "held_out": pairs["image_y"]})


def near_across(training: pd.DataFrame, root: Path, held: Manifest) -> pd.DataFrame:
    """Near-duplicates, confirmed by their pictures where both are there."""
    there = training[training["phash"] != ""].reset_index(drop=True)
    kept = held.table[held.table["phash"] != ""].reset_index(drop=True)
    pairs = alike(looks_of(there), looks_of(kept))
    files = [root / path for path in there["path"]]
    same = {row: is_file(files[row], there["sha256"].iloc[row]) for row in set(pairs["a"])}
    present = np.array([same[row] for row in pairs["a"]], bool)
    confirmed = confirm(pairs[present], files, [held.root / path for path in kept["path"]])
    sure = pairs[~present & (pairs["distance"] <= SURE).to_numpy()]
    both = pd.concat([confirmed, sure])
    ids = there["image_id"].to_numpy(), kept["image_id"].to_numpy()
    return pd.DataFrame({"trained_on": ids[0][both["a"]], "held_out": ids[1][both["b"]]})


def is_file(path: Path, sha256: str) -> bool:
    """Whether the file is there, and no other has taken its place."""
    return path.is_file() and sha256_of(path)[:16] == sha256[:16]


def seen_by(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What an encoder file keeps of the images that it was trained on: SEEN, a row an image."""
    rows = pd.concat([table[SEEN] for table in tables], ignore_index=True)
    return rows.assign(sha256=rows["sha256"].str[:16]).drop_duplicates(["sha256", "image_id"], ignore_index=True)
