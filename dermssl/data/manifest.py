"""The manifest: one table of what a data set holds, built once and kept, so that every command sees the same."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import pandas as pd

from dermssl.data.config import AS_NAMED, Reading
from dermssl.data.folders import part_of
from dermssl.data.kept import kept_folder
from dermssl.data.listing import NOTHING, PassedOver
from dermssl.data.masks import Lesion, read_lesion
from dermssl.data.measurements import ManifestRow, measure_files
from dermssl.data.metadata import with_metadata
from dermssl.data.roles import below, file_at
from dermssl.data.set_files import set_files_of
from dermssl.errors import UserError, first_ten
from dermssl.files import short_hash
from dermssl.runs.control_group import usable_cores
from dermssl.runs.parquet import write_parquet
from dermssl.wording import counted

COLUMNS = {  # column -> type
    "image_id": "str", "path": "str", "size": "int64", "mtime": "int64", "sha256": "str",
    "width": "int64", "height": "int64", "mode": "str", "orientation": "int64", "phash": "str", "tones": "str",
    "two_valued": "int64", "lost_rows": "float64", "part": "str",
    "lesion_id": "str", "patient_id": "str", "label": "str", "source": "str", "licence": "str",
    "mask_path": "str", "mask_size": "int64", "mask_mtime": "int64", "mask_sha256": "str", "mask_mode": "str",
    "mask_values": "int64", "mask_area": "float64", "mask_components": "int64", "mask_holes": "int64",
    "mask_border": "float64", "mask_unturned": "int64", "lesion_value": "str", "fault": "str", "problem": "str",
}  # fmt: skip
KEY = ["path", "size", "mtime", "mask_path", "mask_size", "mask_mtime", "lesion_value"]
EMPTY = 0.95  # share of empty masks from which a set teaches nothing

REMEDIES = (  # faults -> what they are, and what helps
    (("unreadable", "truncated"), "a file that cannot be used", "fetch it again, or move it elsewhere"),
    (("mask unreadable",), "a mask that cannot be used", "fetch it again, or move image and mask elsewhere"),
    (("mask size",), "a mask of another size", "export it anew, or move image and mask elsewhere"),
    (("mask unturned", "mask transposed"), "a mask that is turned",
     "`check --fix FOLDER` writes a copy with it turned back"),
    (("mask values",), "a mask that does not say which pixels are lesion",
     "or move image and mask elsewhere"),
)  # fmt: skip


@dataclass(frozen=True)
class Manifest:
    """What `root` holds: a row an image, in the order of the image ids."""

    root: Path
    table: pd.DataFrame
    orphans: tuple[str, ...]
    """Masks without an image of their own, as paths below `root`."""
    passed_over: PassedOver = NOTHING
    """Files that are no images of the set."""
    notes: tuple[str, ...] = ()
    """What every command says of how the set was read: tables that were joined, ids that are none."""
    lesion_value: float | None = None
    """The value of masks that means lesion; None for all but 0."""
    listed: Path | None = None
    """The list that names the files; None for a folder."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any image, mask or id, and with nothing else."""
        content = self.table[["image_id", "lesion_id", "sha256", "mask_sha256"]].values.tolist()
        return short_hash(content if self.lesion_value is None else [self.lesion_value, content], 12)

    @property
    def place(self) -> Path:
        """What a person gives to have this set read: its folder, or its list."""
        return self.listed or self.root

    @property
    def has_masks(self) -> bool:
        """Whether any image has one."""
        return bool((self.table["mask_path"] != "").any())

    @property
    def native_sizes(self) -> list[tuple[int, int]]:
        """Height and width of each image, pixels."""
        return list(zip(self.table["height"].tolist(), self.table["width"].tolist(), strict=True))

    def paths(self, column: str = "path") -> list[Path]:
        """The files of that column, absolute where `root` is."""
        return [file_at(self.root, path) for path in self.table[column]]

    def rows(self, image_ids: Sequence[str]) -> list[int]:
        """The rows of these images."""
        row_of = {image: row for row, image in enumerate(self.table["image_id"])}
        return [row_of[image] for image in image_ids]

    def take(self, image_ids: Sequence[str]) -> "Manifest":
        """The rows of these images, in the order given."""
        taken = self.table.set_index("image_id", drop=False).loc[list(image_ids)]
        return replace(self, table=taken.reset_index(drop=True), orphans=(), passed_over=NOTHING, notes=())

    def lesion(self, row: int) -> Lesion:
        """The lesion of the image in this row, (H, W) booleans, of the image's native size."""
        return read_lesion(file_at(self.root, str(self.table["mask_path"].iat[row])), self.lesion_value)

    def sentences(self, *, masks: bool = True) -> tuple[str, ...]:
        """What a person is told of how the set was read; without `masks`, those are among the files passed over."""
        taken = [*self.table.loc[self.table["mask_path"] != "", "mask_path"], *self.orphans] if not masks else []
        passed_over = self.passed_over.also("taken for masks", sorted(taken))
        return tuple(filter(None, (passed_over.sentence, *self.notes, self.note_on_masks_as_images)))

    @property
    def note_on_masks_as_images(self) -> str:
        """What is said of images that look like masks whose names do not tell; nothing where there are none."""
        alike = self.table.loc[self.table["two_valued"] == 1, "path"].tolist()
        if not alike:
            return ""
        count = f"{counted(len(alike), 'image')} of two grey values alone, as masks have (first: {alike[0]})"
        return f"{count}; if they are masks, say with --masks how they are named"


def read_manifest(place: Path, reading: Reading = AS_NAMED, *, keep_in: Path | None = None) -> Manifest:
    """The manifest of a data set, from what was kept where files have not changed since.

    Args:
        place: Its folder, in one of the layouts of docs/data.md; or a CSV of paths.
        reading: What a person says of it: how masks are named, which of their values is lesion.
        keep_in: Folder that keeps the table; `kept_folder(root)` by default.

    Raises:
        UserError: If it is missing or empty, two files have the same path as id, or a table does not fit its images.
    """
    files = set_files_of(place, reading)
    file = (keep_in or kept_folder(files.root)) / files.kept_as
    rows = [row_of(image, files.mask_of.get(image), files.root) for image in files.images]
    rows = [row | {"lesion_value": reading.lesion_value or ""} for row in rows]
    table = pd.DataFrame(complete(rows, kept_rows(file), files.root, reading.lesion))
    table["image_id"] = list(files.ids)
    table["part"] = [part_of(path) for path in table["path"]]
    notes = with_metadata(table, files.root, files.listed)
    table = table.sort_values("image_id", ignore_index=True)[list(COLUMNS)].astype(COLUMNS)
    write_parquet(file, table)
    refuse_value_of_none(table, reading)
    orphans = tuple(below(path, files.root) for path in files.orphans)
    listed = place if files.listed else None
    return Manifest(files.root, table, orphans, files.passed_over, notes, reading.lesion, listed)


def refuse_value_of_none(table: pd.DataFrame, reading: Reading) -> None:
    """Stops where the value that is said to be lesion occurs in no mask."""
    areas = table["mask_area"].dropna()
    if reading.lesion_value is not None and len(areas) and not areas.any():
        raise UserError(f"--lesion_value {reading.lesion_value}: occurs in none of {counted(len(areas), 'mask')}; give "
                        "a value that does, or leave it out to see them")  # fmt: skip


def refuse_masks_of_none(masks: str | None, *manifests: Manifest) -> None:
    """Stops where masks are said to be named in a way that no file is."""
    if masks is not None and not any(manifest.has_masks for manifest in manifests):
        places = " and ".join(dict.fromkeys(str(manifest.place) for manifest in manifests))
        raise UserError(f"--masks {masks}: gives no image of {places} a mask; correct it, or leave it out")


def row_of(image: Path, mask: Path | None, root: Path) -> ManifestRow:
    """What a look at the directory tells of an image and its mask."""
    size, mtime = size_and_time(image)
    row: ManifestRow = {"path": below(image, root), "size": size, "mtime": mtime}
    row |= {"mask_path": "", "mask_size": 0, "mask_mtime": 0}
    if mask is not None:
        size, mtime = size_and_time(mask)
        row |= {"mask_path": below(mask, root), "mask_size": size, "mask_mtime": mtime}
    return row


def size_and_time(path: Path) -> tuple[int, int]:
    """Bytes and nanoseconds of a file; zeros where there is none, or a link to nothing, which reading then tells."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def kept_rows(file: Path) -> Mapping[tuple[object, ...], ManifestRow]:
    """The rows of an earlier look, by what must not have changed; none where the table is damaged or another version's.

    Rows with a problem are not among them: a file that was unreadable may be readable now and look the same.
    """
    try:
        table = pd.read_parquet(file)
    except (OSError, ValueError):  # absent, or no parquet any more: everything is read anew
        return {}
    if list(table.columns) != list(COLUMNS):
        return {}
    whole = table[table["problem"] == ""]
    rows: list[ManifestRow] = [{str(key): value for key, value in row.items()} for row in whole.to_dict("records")]
    return {tuple(row[key] for key in KEY): row for row in rows}


def complete(
    rows: list[ManifestRow],
    earlier: Mapping[tuple[object, ...], ManifestRow],
    root: Path,
    lesion_value: float | None,
) -> list[ManifestRow]:
    """The rows with everything that takes reading the files, which is done once a file, on all cores."""

    def completed(row: ManifestRow) -> ManifestRow:
        kept = earlier.get(tuple(row[key] for key in KEY))
        return kept or row | measure_files(root, str(row["path"]), str(row["mask_path"]), lesion_value)

    with ThreadPoolExecutor(usable_cores()) as pool:
        return list(pool.map(completed, rows))


def refuse_problems(manifest: Manifest, *, masks: bool) -> None:
    """Stops before any training where files are broken, with all kinds of findings at once and ten culprits of each.

    Args:
        manifest: The data set.
        masks: Whether every image needs a mask, and every mask an image.

    Raises:
        UserError: With what to do about each kind.
    """
    table = manifest.table
    broken = table[table["problem"] != ""] if masks else table[table["width"] == 0]
    findings = [
        f"{counted(len(rows), 'image')} with {what} ({first_ten(told_once(rows))}; {remedy})"
        for faults, what, remedy in REMEDIES
        if len(rows := broken[broken["fault"].isin(faults)])
    ]
    if masks:
        findings += unpaired(manifest)
        if teaches_nothing(manifest):
            empty = int((table["mask_area"] == 0).sum())
            what = f"{empty} of {len(table)} masks are empty" if empty else f"all {len(table)} masks are full"
            findings.append(f"{what}, so that there is nothing to learn (export them anew)")
    if findings:
        listing = f"python -m dermssl check {quote(str(manifest.place))} lists them all"
        raise UserError(f"{manifest.place}: {'; '.join(findings)}; {listing}")


def told_once(rows: pd.DataFrame) -> list[str]:
    """What is wrong with these rows, each sentence once with the files that it is true of."""
    return [f"{first_ten(alike['path'].tolist())}: {problem}" for problem, alike in rows.groupby("problem", sort=False)]


def unpaired(manifest: Manifest) -> list[str]:
    """What is wrong with images without a mask and masks without an image."""
    bare, orphans = manifest.table.loc[manifest.table["mask_path"] == "", "path"].tolist(), manifest.orphans
    findings = []
    if bare:
        remedy = "move them elsewhere, or say with `--masks` how masks are named"
        findings.append(f"{counted(len(bare), 'image')} without a mask ({first_ten(bare)}; {remedy})")
    if orphans:
        findings.append(f"{counted(len(orphans), 'mask')} without an image ({first_ten(orphans)}; rename or move them)")
    return findings


def teaches_nothing(manifest: Manifest) -> bool:
    """Whether all masks that can be read are empty, or all but a few; or all of them full."""
    areas = manifest.table["mask_area"].dropna()
    return len(areas) > 0 and bool((areas == 0).mean() >= EMPTY or (areas == 1).all())
