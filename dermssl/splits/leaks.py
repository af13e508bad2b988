"""The leak firewall: held-out images, the same skin or near-duplicates of them, must not be among those trained on."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dermssl.data.manifest import Manifest
from dermssl.data.roles import file_at
from dermssl.errors import UserError
from dermssl.files import sha256_of
from dermssl.log import warn
from dermssl.splits.config import OnLeak
from dermssl.splits.fingerprints import look_alikes, looks_of
from dermssl.splits.near_duplicates import confirm
from dermssl.weights.seen import SEEN_COLUMNS

COLUMNS = ["trained_on", "held_out", "why"]
WHY = ("same file", "same image id", "same lesion", "same patient", "near-duplicate")
ACCESSION = re.compile(r"(ISIC_\d{7}|(HAM|IL|IP)_\d{7})")  # an archive's numbers mean one thing everywhere
SURE = 40  # bits; look-alikes this near are taken for duplicates where no file is left to confirm them by
SHOWN = 20


@dataclass(frozen=True)
class Verdict:
    """What the firewall found, and what was done about it."""

    pairs: pd.DataFrame  # COLUMNS, a row a pair of images
    held_out: int
    action: str
    """clean, dropped, allowed, or unknown where an encoder does not say what it has seen."""

    @property
    def dropped(self) -> tuple[str, ...]:
        """The images to leave out of training."""
        return tuple(sorted(set(self.pairs["trained_on"]))) if self.action == "dropped" else ()

    @property
    def summary(self) -> dict[str, object]:
        """For result.json: how many images on either side leak, for which reasons, and what was done."""
        reasons = self.pairs["why"].value_counts()
        return {
            "action": self.action,
            "held_out": self.held_out,
            "leaking_held_out": self.pairs["held_out"].nunique(),
            "leaking_training": self.pairs["trained_on"].nunique(),
            "pairs": {why: int(reasons[why]) for why in WHY if why in reasons},
        }

    def sentence(self, training: str) -> str:
        """What the log says of it; `training` names the images that could have leaked, such as "the 320 that train"."""
        if self.action == "unknown":
            return (f"the encoder's file does not list all images that it was pretrained on, so nobody can say whether "
                    f"any of the {self.held_out} held-out images is among them")  # fmt: skip
        if self.action == "clean":
            return (f"none of the {self.held_out} held-out images, and no near-duplicate, lesion or patient of theirs, "
                    f"is among {training}")  # fmt: skip
        counts = self.summary
        outcome = {
            "dropped": "the former were left out (--on_leak drop)",
            "allowed": "the former were trained on all the same (--on_leak allow)",
        }
        return (f"{counts['leaking_training']} of {training} and {counts['leaking_held_out']} of the {self.held_out} "
                f"held-out images share a file, a lesion or a patient, or are near-duplicates; "
                f"{outcome[self.action]}")  # fmt: skip


def guard(pairs: pd.DataFrame, held_out: int, on_leak: OnLeak, where: str, remedy: str = "") -> Verdict:
    """What to do about leaks: nothing where there are none, else what the user said.

    Args:
        pairs: What `leaking_pairs` gives.
        held_out: How many images are held out.
        on_leak: What the user said.
        where: The training images, in words.
        remedy: What to do instead of dropping, where dropping is no longer possible.

    Raises:
        UserError: If there are leaks and the user has not said what to do, or said what cannot be done.
    """
    if pairs.empty:
        return Verdict(pairs, held_out, "clean")
    if on_leak == "allow":
        return Verdict(pairs, held_out, "allowed")
    if on_leak == "drop" and not remedy:
        return Verdict(pairs, held_out, "dropped")
    warn(pairs.head(SHOWN).to_string(index=False))
    if len(pairs) > SHOWN:
        warn(f"... and {len(pairs) - SHOWN} more pairs")
    raise UserError(
        f"{where}: {pairs['trained_on'].nunique()} training images show what {pairs['held_out'].nunique()} of the "
        f"{held_out} held-out images show (the pairs and why are listed above); "
        f"{remedy or '--on_leak drop leaves them out of training'}, and --on_leak allow trains on them all the same"
    )


def leaking_pairs(training: pd.DataFrame, root: Path, held: Manifest) -> pd.DataFrame:
    """Every pair of a training image and a held-out one that are not strangers, with the first reason of WHY.

    Args:
        training: Rows with the columns SEEN_COLUMNS.
        root: Folder of their paths; those that are gone are judged by their looks alone.
        held: The held-out images.
    """
    one_set = root.resolve() == held.root.resolve()
    file = shared_pairs(training, held.table, "sha256", lambda digest: digest[:16])
    meaning = str if one_set else accession
    image, *groups = (
        shared_pairs(training, held.table, column, meaning) for column in ("image_id", "lesion_id", "patient_id")
    )
    near_duplicates = near_duplicates_across(training, root, held)
    parts = [file, image, *groups, near_duplicates]
    pairs = [part.assign(why=why) for part, why in zip(parts, WHY, strict=True)]
    return pd.concat(pairs, ignore_index=True).drop_duplicates(["trained_on", "held_out"], ignore_index=True)[COLUMNS]


def accession(name: str) -> str:
    """An archive's number, without folders before it; nothing for `img_001`, which may be anybody's."""
    number = name.rpartition("/")[2]
    return number if ACCESSION.fullmatch(number) else ""


def shared_pairs(
    training: pd.DataFrame, held: pd.DataFrame, column: str, meaning: Callable[[str], str]
) -> pd.DataFrame:
    """Pairs of images whose entries in `column` have the same `meaning`; where that is nothing, they are none."""
    sides = []
    for table in (training, held):
        side = pd.DataFrame({"image": table["image_id"], "key": [meaning(entry) for entry in table[column]]}, dtype=str)
        sides.append(side[side["key"] != ""])
    pairs = sides[0].merge(sides[1], on="key")
    return pd.DataFrame({"trained_on": pairs["image_x"], "held_out": pairs["image_y"]})


def near_duplicates_across(training: pd.DataFrame, root: Path, held: Manifest) -> pd.DataFrame:
    """Near-duplicates of held-out images among those that train, confirmed by their pictures where both files exist."""
    readable = training[training["phash"] != ""].reset_index(drop=True)
    held_out = held.table[held.table["phash"] != ""].reset_index(drop=True)
    pairs = look_alikes(looks_of(readable), looks_of(held_out))
    files = [file_at(root, path) for path in readable["path"]]
    present = {row: is_file(files[row], readable["sha256"].iloc[row]) for row in set(pairs["a"])}
    on_disk = np.array([present[row] for row in pairs["a"]], bool)
    confirmed = confirm(pairs[on_disk], files, [file_at(held.root, path) for path in held_out["path"]])
    without_file = pairs[~on_disk & (pairs["distance"] <= SURE).to_numpy()]
    duplicates = pd.concat([confirmed, without_file])
    ids = readable["image_id"].to_numpy(), held_out["image_id"].to_numpy()
    return pd.DataFrame({"trained_on": ids[0][duplicates["a"]], "held_out": ids[1][duplicates["b"]]})


def is_file(path: Path, sha256: str) -> bool:
    """Whether the file is there, and no other has taken its place."""
    return path.is_file() and sha256_of(path)[:16] == sha256[:16]


def seen_rows(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What an encoder file keeps of the images that it was trained on: SEEN_COLUMNS, a row an image."""
    rows = pd.concat([table[SEEN_COLUMNS] for table in tables], ignore_index=True)
    return rows.assign(sha256=rows["sha256"].str[:16]).drop_duplicates(["sha256", "image_id"], ignore_index=True)
