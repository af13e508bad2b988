"""A cleaned copy of a data set, and the list of what was done; the set itself is only read."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from dermssl.data.decoding import EIGHT_BITS, StoredPicture, decode, rgb, turned
from dermssl.data.images import Pixels, grey_of, read_rgb
from dermssl.data.manifest import Manifest
from dermssl.data.masks import Labels, Lesion, lesion_of, mask_problem, stored_labels
from dermssl.data.metadata import BESIDE, joined_words, joins_of
from dermssl.data.roles import file_at, image_id_of
from dermssl.errors import UserError
from dermssl.files import need_room, whole_folder

LEAST_SOFT = 5  # labels from which edges may be soft; of fewer, each is a class
EDGE = 0.05  # most share of grey pixels that lie further than three from the outline
PLATEAU = 0.005  # most share of grey pixels whose neighbours are all the same
THRESHOLD = 128  # grey values above are lesion
GREY_MODES = ("L", "1", "P", "I;16", "I", "F", "")
PART_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
UNLABELLED = ".unlabelled"  # hidden from a look at the whole copy, which would miss masks; `pretrain --data` takes it
ACTION_COLUMNS = ["image_id", "kind", "action"]
TERMS = ("LICENSE*", "LICENCE*", "ATTRIBUTION*")

Action = tuple[str, str, str]  # of DONE


@dataclass(frozen=True)
class MendedMask:
    """A mask made usable, 0 or 255, and what was done to it; no mask where nothing usable is left."""

    mask: Pixels | None
    kind: str = ""
    action: str = ""


def refuse_place(place: Path, data: Path) -> None:
    """Stops where a cleaned copy would lie in the set, the set in it, or over something."""
    ours, theirs = place.resolve(), data.resolve()
    if ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
        raise UserError(f"--fix {place}: one of it and {data} lies in the other; give a folder of its own")
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise UserError(f"--fix {place}: is not empty; give a folder that does not exist")


def write_cleaned_copy(place: Path, manifest: Manifest, pairs: pd.DataFrame) -> pd.DataFrame:
    """Writes the cleaned copy, which appears whole or not at all; returns what was done, a row an action.

    Args:
        place: Folder of the copy; see `refuse_place`.
        manifest: The data set.
        pairs: Near-duplicates, as `near_pairs` gives them; kept, and listed.

    Raises:
        UserError: If no image is whole, or the disk is too full.
    """
    table = manifest.table
    need_room(place, int(2 * (table["size"].sum() + table["mask_size"].sum())), "the cleaned copy")
    kept, actions = images_to_keep(table)
    if kept.empty:
        raise UserError(f"--fix {place}: none of the {len(table)} images can be read; fetch {manifest.place} again")
    names, has_parts = flat_names(kept["image_id"].tolist()), kept["part"].nunique() > 1
    with whole_folder(place) as part:
        for _, row in kept.iterrows():
            actions += write_image(
                part, manifest, row, place_in_copy(names[row["image_id"]], row["part"] if has_parts else "")
            )
        actions += [(image_id_of(Path(path)), "mask without image", f"{path} left out") for path in manifest.orphans]
        actions += near_duplicate_actions(pairs, set(kept["image_id"]))
        done = pd.DataFrame(actions, columns=ACTION_COLUMNS)
        done.to_csv(part / "fixes.csv", index=False)
        write_metadata(part, manifest, kept, names)
        for term in TERMS:
            for file in manifest.root.glob(term):
                shutil.copyfile(file, part / file.name)
    return done


def images_to_keep(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Action]]:
    """The rows to keep, and why the others are left out: broken images, and all but one of equal bytes."""
    broken = table["fault"].isin(["unreadable", "truncated"])
    actions: list[Action] = [(row["image_id"], row["fault"], "left out") for row in table[broken].to_dict("records")]
    whole = table[~broken]
    # the best of equal bytes is the one with a sound mask, then one with any mask, then the first by name
    worth = whole.assign(poor=(whole["mask_path"] == "") * 2 + (whole["fault"] != ""))
    best = worth.sort_values(["poor", "image_id"]).groupby("sha256")["image_id"].transform("first").reindex(whole.index)
    second = best != whole["image_id"]
    doubles = zip(whole.loc[second, "image_id"], best[second], strict=True)
    actions += [(again, "duplicate bytes", f"left out, same as {first}") for again, first in doubles]
    return whole[~second], actions


def write_image(part: Path, manifest: Manifest, row: "pd.Series[str]", place: str) -> list[Action]:
    """Writes one image with its mask, or among the unlabelled where the set has masks and it has no usable one."""
    mended = mended_mask(manifest, row) if row["mask_path"] else MendedMask(None)
    unlabelled = manifest.has_masks and mended.mask is None
    images = part / (UNLABELLED if unlabelled else "images")
    actions = copy_image(file_at(manifest.root, row["path"]), images / place, row)
    if mended.mask is not None:
        target = part / "masks" / f"{place}_segmentation.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_png(target, mended.mask)
    if mended.kind:
        actions.append((row["image_id"], mended.kind, mended.action))
    elif unlabelled:
        actions.append((row["image_id"], "image without mask", f"moved to {UNLABELLED}"))
    return actions


def place_in_copy(name: str, part: str) -> str:
    """Where an image goes below `images`: the official parts of a set keep folders of their own."""
    return f"{PART_FOLDERS[part]}/{name}" if part else name


def flat_names(image_ids: Sequence[str]) -> dict[str, str]:
    """Image ids as file names, folders as a prefix; of two that would have one name, the second gets a number."""
    names: dict[str, str] = {}
    for image in sorted(image_ids, key=lambda image: ("/" in image, image)):
        name, count = image.replace("/", "__"), 1
        while name in names.values():
            count += 1
            name = f"{image.replace('/', '__')}_{count}"
        names[image] = name
    return names


def copy_image(source: Path, target: Path, row: "pd.Series[str]") -> list[Action]:
    """Copies an image byte for byte where it lies upright in RGB, else writes the same pixels anew, as PNG."""
    target.parent.mkdir(parents=True, exist_ok=True)
    kinds = ["EXIF-rotated"] * (int(row["orientation"]) != 1) + ["wrong mode"] * (row["mode"] != "RGB")
    if not kinds:
        shutil.copyfile(source, target.parent / (target.name + source.suffix.lower()))
        return []
    write_png(target.parent / f"{target.name}.png", np.ascontiguousarray(read_rgb(source)[..., ::-1]))
    return [(row["image_id"], kind, "written upright in RGB as PNG, the same pixels") for kind in kinds]


def mended_mask(manifest: Manifest, row: "pd.Series[str]") -> MendedMask:
    """The image's mask as 0 and 255, mended where it can be."""
    fault = row["fault"]
    if fault in ("mask unreadable", "mask size"):
        return MendedMask(None, fault, f"image moved to {UNLABELLED}")
    stored = decode(file_at(manifest.root, row["mask_path"]).read_bytes())
    lesion, rewritten = lesion_or_edges(stored, stored_labels(stored), manifest.lesion_value)
    if lesion is None:
        return MendedMask(None, fault or "mask values", f"{rewritten}; image moved to {UNLABELLED}")
    turn = {"mask transposed": "transposed back, which is a guess: look at it",
            "mask unturned": f"turned as EXIF turns its image ({row['orientation']})"}.get(fault, "")  # fmt: skip
    if turn:
        lesion = lesion.T if fault == "mask transposed" else turned(lesion, int(row["orientation"])).astype(np.bool_)
    coloured = "" if row["mask_mode"] in GREY_MODES else f"mask written as grey, was {row['mask_mode']}"
    action = ", ".join(filter(None, [turn, rewritten, coloured]))
    kind = fault or ("mask values" if rewritten else "wrong mode" if coloured else "")
    return MendedMask(np.ascontiguousarray(lesion.astype(np.uint8) * 255), kind, action)


def lesion_or_edges(stored: StoredPicture, labels: Labels, lesion_value: float | None) -> tuple[Lesion | None, str]:
    """The lesion, thresholded where only its edges are soft, and what was done to it; or None, and why."""
    problem = mask_problem(labels, lesion_value)
    if not problem:
        is_plain = labels.kind == "values" and set(labels.distinct.tolist()) <= {0, 255}
        return lesion_of(labels, lesion_value), "" if is_plain else "written as 0 and 255"
    shades = shades_of(stored, labels)
    if len(labels.distinct) >= LEAST_SOFT and shades is not None and is_blurred(shades):
        return shades > THRESHOLD, f"thresholded above {THRESHOLD}"
    return None, problem


def shades_of(stored: StoredPicture, labels: Labels) -> Pixels | None:
    """The labels as grey values from 0 to 255, as they were judged; of colours the picture's own; None of others."""
    if labels.kind == "colours":
        return grey_of(rgb(stored)) if stored.mode in EIGHT_BITS else None
    if labels.kind.startswith("indices") or not np.isfinite(labels.distinct).all() or labels.distinct[0] < 0:
        return None
    values = labels.values.astype(np.float64)
    white = 255.0 if labels.values.dtype == np.uint8 else float(values.max())
    shades: Pixels = np.rint(values * (255 / white)).astype(np.uint8)
    return shades


def is_blurred(values: Pixels) -> bool:
    """Whether what lies between black and white is only the edge between them: few pixels off it, and no plateau.

    A class of its own is a plateau: inside it, every neighbour has the same middle value.
    """
    if values.max() < 247:
        return False
    square = np.ones((3, 3), np.uint8)
    lesion = (values > THRESHOLD).astype(np.uint8)
    rim = cv2.dilate(lesion, square, iterations=3) != cv2.erode(lesion, square, iterations=3)
    grey_off_it = (values > 8) & (values < 247) & ~rim
    even = cv2.dilate(values, square) == cv2.erode(values, square)
    plateau = (values > 0) & (values < 255) & even
    return bool(grey_off_it.mean() < EDGE and plateau.mean() < PLATEAU)


def near_duplicate_actions(pairs: pd.DataFrame, kept: set[str]) -> list[Action]:
    """Near-duplicates of which both are still there."""
    both = pairs[pairs["image_a"].isin(kept) & pairs["image_b"].isin(kept)]
    return [(a, "near-duplicate", f"kept, as {b}; splits keep the two together")
            for a, b in zip(both["image_a"], both["image_b"], strict=True)]  # fmt: skip


def write_metadata(part: Path, manifest: Manifest, kept: pd.DataFrame, names: Mapping[str, str]) -> None:
    """Writes what the source's metadata knew, under the columns that commands read."""
    known = kept[["image_id", "lesion_id", "patient_id", "label", "licence"]].rename(columns={"label": "dx"})
    own = [f"{image} (image)" for image in known["image_id"]]  # of images whose lesion nobody named
    known = known.assign(
        lesion_id=known["lesion_id"].where(
            (known["lesion_id"] != known["image_id"]) & (known["lesion_id"] != pd.Series(own, index=known.index)), ""
        )
    )
    joins = joins_of(manifest.place, manifest.table["image_id"].tolist())
    for name in BESIDE:
        words = joined_words(joins, name)
        known[name] = [words.get(image, "") for image in known["image_id"]]
    known = known.assign(image_id=known["image_id"].map(names))
    known.loc[:, [column for column in known if (known[column] != "").any()]].to_csv(part / "metadata.csv", index=False)


def write_png(path: Path, pixels: Pixels) -> None:
    """Writes a PNG, BGR or grey."""
    _, data = cv2.imencode(".png", pixels)
    path.write_bytes(data.tobytes())
