"""Findings of a data check: the kinds there are, and how each is read off the manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from dermssl.appearance.covariates import THRESHOLDS
from dermssl.data.manifest import Manifest, teaches_nothing
from dermssl.data.roles import image_id_of
from dermssl.errors import UserError
from dermssl.splits.official import sides_of_images

TINY = 64  # pixels of the shorter side
FULL = 0.98  # share of the picture
INVERTED = 0.95  # share of the frame
GREY_MODES = ["L", "1", "P", "I;16", "I", "F", ""]  # of masks
DARK, FLAT = 24, 2  # grey values of 64 fields: the lightest, and from the darkest to the lightest
COLUMNS = ["kind", "severity", "image_id", "path", "detail", "beside"]

Severity = Literal["error", "warning", "note"]
Table = pd.DataFrame  # of COLUMNS, or of a manifest's


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding: how bad it is, and why it matters and what to do in one sentence."""

    severity: Severity
    """error: a fine-tuning refuses the set; warning: look at it; note: a covariate to know of."""
    why: str


SEVERITY_AND_WHY: Mapping[str, tuple[Severity, str]] = {
    "unreadable": ("error", "The file is no picture or cannot be opened; fetch it again, or leave it out."),
    "truncated": ("error", "The end of the file is missing, which some readers fill with grey; fetch it again."),
    "mask unreadable": ("error", "Without its mask an image teaches a segmentation nothing; fetch the mask again."),
    "mask size": ("error", "A mask of another size marks other pixels than the lesion's; export it anew."),
    "mask transposed": ("error", "Height and width are swapped, so the outline lies across the lesion; turn it."),
    "mask unturned": ("error", "EXIF turns the image and the mask was drawn before, so it lies elsewhere; turn it."),
    "mask values": ("error", "A mask says lesion or skin; other values leave open which: threshold it, or name one."),
    "empty masks": ("error", "All masks, or nearly all, are empty, or all full: nothing can be learnt; export anew."),
    "image without mask": ("error", "The set has masks, this image has none; move it to a pool for pretraining."),
    "mask without image": ("error", "Nothing belongs to this mask, often a name misspelt; rename or remove it."),
    "lesion across split": ("error", "What is trained on shows up again in the score; draw the split by lesion."),
    "lesion across parts": ("warning", "Official parts share a lesion, so scores flatter; keep it on one side."),
    "duplicate bytes": ("warning", "The same file counts twice, and may lie on both sides of a split; keep one."),
    "near-duplicate": ("warning", "One photograph or one lesion twice; keep such pairs on one side of a split."),
    "wrong mode": ("warning", "Not RGB (or a mask not grey): programs convert it in different ways; re-encode it."),
    "EXIF-rotated": ("warning", "Programs that ignore EXIF see it turned against its mask; store it upright."),
    "turned unlike its mask": ("warning", "The mask fits better once turned as EXIF turns the image; look at it."),
    "lost rows": ("warning", "The lower rows repeat one, as where a JPEG's end was lost and closed; fetch it again."),
    "dark or flat": ("warning", "Nearly black, or of one shade: 12 bits stored in 16, or a failed export; look at it."),
    "tiny": ("warning", f"The shorter side has under {TINY} pixels, mostly a thumbnail; look for the original."),
    "empty mask": ("warning", "No pixel is lesion: right for plain skin, an export that failed everywhere else."),
    "full mask": ("warning", "All is lesion: right for a close-up, else an inverted mask; look at it."),
    "looks inverted": ("warning", "The frame is lesion, the middle not: mostly skin and lesion swapped; look at it."),
    "like a mask": ("warning", "An image of two grey values is mostly a mask by another name; say so with --masks."),
    "several regions": ("warning", "One lesion is mostly one region; specks are slips of a hand or a program."),
    "holes": ("warning", "A lesion has skin inside it only rarely; holes mostly come from thresholding."),
    "mask at the border": ("note", "The frame cuts the lesion: its shape and area are not those of the whole."),
    "dark corners": ("note", "A round eyepiece shows, by which a network can tell cameras and clinics apart."),
    "ruler": ("note", "Rulers are laid beside suspicious lesions, so a network may read the ruler."),
    "sticker": ("note", "Coloured discs occur with benign lesions only in some archives: a shortcut to learn."),
}  # fmt: skip
KINDS = {name: FindingKind(severity, why) for name, (severity, why) in SEVERITY_AND_WHY.items()}


@dataclass(frozen=True)
class FindingRule:
    """How a kind is read off the manifest, and its detail in words, into which the row's values are filled."""

    kind: str
    holds: Callable[[Table], "pd.Series[bool]"]
    detail: str


RULES = [
    FindingRule("unreadable", lambda table: table["fault"] == "unreadable", "{problem}"),
    FindingRule("truncated", lambda table: table["fault"] == "truncated", "{problem}"),
    FindingRule("mask unreadable", lambda table: table["fault"] == "mask unreadable", "{problem}"),
    FindingRule("mask size", lambda table: table["fault"] == "mask size", "{problem}"),
    FindingRule("mask transposed", lambda table: table["fault"] == "mask transposed", "{problem}"),
    FindingRule("mask unturned", lambda table: table["fault"] == "mask unturned", "{problem}"),
    FindingRule("mask values", lambda table: table["fault"] == "mask values", "{problem}"),
    FindingRule("turned unlike its mask", lambda table: table["mask_unturned"] == 1, "EXIF orientation {orientation}"),
    FindingRule("lost rows", lambda table: table["lost_rows"] > 0, "the last {lost_rows:.0%} of its rows repeat one"),
    FindingRule("dark or flat", lambda table: darkness(table).notna(), "{width} x {height} pixels, mode {mode}"),
    FindingRule("wrong mode", lambda table: ~table["mode"].isin(["RGB", ""]), "image is {mode}"),
    FindingRule(
        "wrong mode",
        lambda table: ~table["mask_mode"].isin(GREY_MODES),
        "mask is {mask_mode}",
    ),
    FindingRule("EXIF-rotated", lambda table: table["orientation"] != 1, "EXIF orientation {orientation}"),
    FindingRule("tiny", lambda table: shorter(table).between(1, TINY - 1), "{width} x {height} pixels"),
    FindingRule("empty mask", lambda table: table["mask_area"] == 0, "no lesion pixel"),
    FindingRule("full mask", lambda table: table["mask_area"] > FULL, "lesion is {mask_area:.1%} of the picture"),
    FindingRule(
        "looks inverted",
        lambda table: (table["mask_border"] > INVERTED) & (table["mask_area"] < 1),
        "{mask_border:.0%} of the frame is lesion and the middle is not",
    ),
    FindingRule("like a mask", lambda table: table["two_valued"] == 1, "the image has two grey values alone"),
    FindingRule("several regions", lambda table: table["mask_components"] > 1, "{mask_components} regions"),
    FindingRule("holes", lambda table: table["mask_holes"] > 0, "holes in the mask: {mask_holes}"),
    FindingRule(
        "mask at the border", lambda table: table["mask_border"] > 0, "{mask_border:.0%} of the frame is lesion"
    ),
]


def darkness(table: Table) -> "pd.Series[float]":
    """The lightest of 64 fields of each picture that is nearly black or of one shade, grey values; nan for others."""
    tones = [np.frombuffer(bytes.fromhex(digits), np.uint8).astype(int) for digits in table["tones"]]
    lightest = [grey.max() if len(grey) and (grey.max() < DARK or np.ptp(grey) < FLAT) else np.nan for grey in tones]
    return pd.Series(lightest, index=table.index, dtype=float)


def shorter(table: Table) -> "pd.Series[int]":
    """The shorter side of each image, pixels; 0 where it cannot be read."""
    return table[["width", "height"]].min(axis=1)


def findings_of(manifest: Manifest, pairs: Table, scores: Table, split: Mapping[str, str] | None) -> Table:
    """All findings, worst first: a row a finding and image.

    Args:
        manifest: The data set.
        pairs: Near-duplicates, as `near_pairs` gives them.
        scores: Scores of the covariates, a row an image in the manifest's order; nan where an image cannot be read.
        split: The side of each image in a split file; None where none is given.
    """
    table = manifest.table
    sides = table["part"] if split is None else table["image_id"].map(split).fillna("")
    findings = [finding_rows(rule.kind, table[rule.holds(table)], rule.detail) for rule in RULES]
    for name, least in THRESHOLDS.items():
        present = (scores[name] >= least).to_numpy()
        findings.append(finding_rows(name, table[present].join(scores[name]), f"score {{{name}:.2f}}"))
    findings += [
        unpaired_findings(manifest),
        empty_findings(manifest),
        duplicate_findings(table),
        near_duplicate_findings(table, pairs),
    ]
    findings += [leak_findings(table, pairs, sides, "lesion across parts" if split is None else "lesion across split")]
    order = {name: place for place, name in enumerate(KINDS)}
    whole = pd.concat([part for part in findings if len(part)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)
    return whole.sort_values("kind", key=lambda kinds: kinds.map(order), kind="stable", ignore_index=True)


def finding_rows(kind: str, table: Table, detail: str, beside: str = "") -> Table:
    """A finding of `kind` for each row of a table; its values fill in `detail`, its column `beside` names a partner."""
    rows = [
        (
            kind,
            KINDS[kind].severity,
            row["image_id"],
            row["path"],
            detail.format_map(row),
            row[beside] if beside else "",
        )
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def unpaired_findings(manifest: Manifest) -> Table:
    """Images without a mask, where the set has masks at all, and masks without an image."""
    table = manifest.table
    bare = table[(table["mask_path"] == "") & manifest.has_masks]
    alone = pd.DataFrame({"image_id": [image_id_of(Path(path)) for path in manifest.orphans], "path": manifest.orphans})
    return pd.concat([
        finding_rows("image without mask", bare, "no mask has the image's name"),
        finding_rows("mask without image", alone, "no image without a mask has the mask's name"),
    ])  # fmt: skip


def empty_findings(manifest: Manifest) -> Table:
    """The empty masks of a set in which there is next to nothing else."""
    empty = manifest.table["mask_area"] == 0
    if not teaches_nothing(manifest):
        return finding_rows("empty masks", manifest.table[:0], "")
    what = f"{int(empty.sum())} of {len(manifest)} are empty" if empty.any() else f"all {len(manifest)} are full"
    return finding_rows("empty masks", manifest.table[empty] if empty.any() else manifest.table, what)


def duplicate_findings(table: Table) -> Table:
    """Files with the bytes of another; each tells the first of its group."""
    readable = table[table["sha256"] != ""]
    groups = readable.groupby("sha256")["image_id"]
    again = readable.assign(first=groups.transform("first"), count=groups.transform("size")).query("count > 1")
    again = again.sort_values(["first", "image_id"])
    return finding_rows("duplicate bytes", again, "one of {count} files with the bytes of {first}", "first")


def near_duplicate_findings(table: Table, pairs: Table) -> Table:
    """Both images of each pair of near-duplicates whose bytes differ."""
    by_id = table.set_index("image_id", drop=False)
    rows = []
    for pair in pairs.itertuples():
        a, b = by_id.loc[str(pair.image_a)], by_id.loc[str(pair.image_b)]
        if a["sha256"] != b["sha256"]:
            same = ", one lesion" if a["lesion_id"] == b["lesion_id"] else ""
            likeness = f"similarity {pair.similarity:.2f}{same}"
            rows += [("near-duplicate", "warning", x["image_id"], x["path"], f"with {y['image_id']}: {likeness}",
                      y["image_id"]) for x, y in ((a, b), (b, a))]  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def leak_findings(table: Table, pairs: Table, sides: "pd.Series[str]", kind: str) -> Table:
    """Images whose lesion, bytes or near-duplicate lies on another side as well."""
    placed = table.assign(side=sides)[sides.to_numpy() != ""]
    by_id = placed.set_index("image_id")["side"]
    links = [linked(placed, "lesion_id"), linked(placed[placed["sha256"] != ""], "sha256")]
    links += [pairs[["image_a", "image_b"]].set_axis(["image_id", "beside"], axis=1),
              pairs[["image_b", "image_a"]].set_axis(["image_id", "beside"], axis=1)]  # fmt: skip
    related = pd.concat([link.astype(str) for link in links])
    related = related[related["image_id"].isin(by_id.index) & related["beside"].isin(by_id.index)]
    related = related.assign(here=related["image_id"].map(by_id), there=related["beside"].map(by_id))
    leaks = (
        related.query("here != there")
        .drop_duplicates("image_id")
        .merge(table[["image_id", "path"]], on="image_id", sort=True)
    )
    return finding_rows(kind, leaks, "in {here}; {beside} is in {there}", "beside")


def linked(placed: Table, column: str) -> Table:
    """Each image with the first of its group that lies on another side, as `image_id` and `beside`."""
    pairs = []
    for _, group in placed.groupby(column):
        if group["side"].nunique() > 1:
            elsewhere = {side: group.loc[group["side"] != side, "image_id"].iloc[0] for side in group["side"].unique()}
            pairs += [(row.image_id, elsewhere[row.side]) for row in group.itertuples()]
    return pd.DataFrame(pairs, columns=["image_id", "beside"])


def read_sides(path: Path, manifest: Manifest) -> dict[str, str]:
    """The side of each image in a split file.

    Raises:
        UserError: If it is no split file, or names no image of this set.
    """
    images_by_side, _ = sides_of_images(path, manifest)
    sides = {image: side for side, images in images_by_side.items() for image in images}
    if not sides:
        raise UserError(
            f"--split {path}: none of its ids is an image of {manifest.place}; give the split of this data set"
        )
    return sides
