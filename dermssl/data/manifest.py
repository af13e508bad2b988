"""The manifest: one table of what a data set holds, built once and kept, so that every command sees the same."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermssl.data.folders import ids_of, pair_masks, part_of
from dermssl.data.images import find_pictures
from dermssl.data.masks import OTHER_ENDING, is_mask
from dermssl.data.measurements import ManifestRow, measure_files
from dermssl.data.metadata import with_metadata
from dermssl.errors import UserError, first_ten
from dermssl.files import short_hash, whole_file

COLUMNS = {  # column -> type
    "image_id": "str", "path": "str", "size": "int64", "mtime": "int64", "sha256": "str",
    "width": "int64", "height": "int64", "mode": "str", "orientation": "int64", "phash": "str", "tones": "str",
    "part": "str",
    "lesion_id": "str", "patient_id": "str", "label": "str", "source": "str", "licence": "str",
    "mask_path": "str", "mask_size": "int64", "mask_mtime": "int64", "mask_sha256": "str", "mask_mode": "str",
    "mask_values": "int64", "mask_area": "float64", "mask_components": "int64", "mask_holes": "int64",
    "mask_border": "float64", "fault": "str", "problem": "str",
}  # fmt: skip
KEY = ["path", "size", "mtime", "mask_path", "mask_size", "mask_mtime"]


@dataclass(frozen=True)
class Manifest:
    """What `root` holds: a row an image, in the order of the image ids."""

    root: Path
    table: pd.DataFrame
    orphans: tuple[str, ...]
    """Masks without an image of their own, as paths below `root`."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def hash(self) -> str:
        """Twelve hex digits that change with any image, mask or id, and with nothing else."""
        content = self.table[["image_id", "lesion_id", "sha256", "mask_sha256"]]
        return short_hash(content.values.tolist(), 12)

    @property
    def has_masks(self) -> bool:
        """Whether any image has one."""
        return bool((self.table["mask_path"] != "").any())

    def paths(self, column: str = "path") -> list[Path]:
        """The files of that column, absolute where `root` is."""
        return [self.root / path for path in self.table[column]]

    def rows(self, image_ids: Sequence[str]) -> list[int]:
        """The rows of these images."""
        row_of = {image: row for row, image in enumerate(self.table["image_id"])}
        return [row_of[image] for image in image_ids]

    def take(self, image_ids: Sequence[str]) -> "Manifest":
        """The rows of these images, in the order given."""
        taken = self.table.set_index("image_id", drop=False).loc[list(image_ids)]
        return Manifest(self.root, taken.reset_index(drop=True), ())


def read_manifest(root: Path, keep_in: Path | None = None, masks_in: Path | None = None) -> Manifest:
    """The manifest of the data set in `root`, from what was kept where files have not changed since.

    Layouts: ISIC challenge folders, HAM10000, `images/` and `masks/`, or images at any depth; a mask is known by its
    folder (`masks`, `..._GroundTruth`, `..._segmentations`) or its ending (`_segmentation`, `_mask`). A `metadata.csv`
    (or any other CSV with a column of image ids) in `root` or beside it gives lesion ids, patient ids and classes.

    Args:
        root: Folder of the data set.
        keep_in: Folder that keeps the table; `kept_folder(root)` by default.
        masks_in: Folder of masks that lie elsewhere; every picture in it is one, and those in `root` are left alone.

    Raises:
        UserError: If the folder is missing or empty, or two files have the same path as id.
    """
    files = find_pictures(root)
    images = [path for path in files if not is_mask(path, root) and not OTHER_ENDING.search(path.stem)]
    if not images:
        raise UserError(f"{root}: {len(files)} masks and no image; give the folder that holds images and masks")
    inside = [path for path in files if is_mask(path, root)]
    mask_files = inside if masks_in is None else find_pictures(masks_in.resolve())
    masks, strays = pair_masks(images, [path for path in mask_files if not OTHER_ENDING.search(path.stem)])
    file = (keep_in or kept_folder(root)) / "manifest.parquet"
    rows = [row_of(image, masks.get(image), root) for image in images]
    table = pd.DataFrame(complete(rows, kept_rows(file), root))
    table["image_id"] = ids_of(images, root)
    table["part"] = [part_of(image, root) for image in images]
    table = with_metadata(table, root).sort_values("image_id", ignore_index=True)
    table = table[list(COLUMNS)].astype(COLUMNS)
    with whole_file(file) as part:
        table.to_parquet(part)
    return Manifest(root, table, tuple(below(path, root) for path in strays))


def kept_folder(root: Path) -> Path:
    """Where the manifest and the pixels of `root` are kept: `root/.dermssl`, or the user's cache for a read-only set.

    Read-only goes by the owner's permission bit, so that it holds for the superuser of a container as well.
    """
    if os.environ.get("DERMSSL_CACHE"):
        home = Path(os.environ["DERMSSL_CACHE"])
    elif root.stat().st_mode & 0o200 and os.access(root, os.W_OK):
        return root / ".dermssl"
    else:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dermssl"
    return home / f"{root.resolve().name}-{short_hash(str(root.resolve()))}"


def row_of(image: Path, mask: Path | None, root: Path) -> ManifestRow:
    """What a look at the directory tells of an image and its mask."""
    stat = stat_of(image)
    row: ManifestRow = {"path": str(image.relative_to(root)), "size": stat.st_size, "mtime": stat.st_mtime_ns}
    row |= {"mask_path": "", "mask_size": 0, "mask_mtime": 0}
    if mask is not None:
        stat = stat_of(mask)
        row |= {"mask_path": below(mask, root), "mask_size": stat.st_size, "mask_mtime": stat.st_mtime_ns}
    return row


def below(path: Path, root: Path) -> str:
    """The path below `root`, or as it is where it lies elsewhere: joined to `root`, either leads to the file."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def stat_of(path: Path) -> os.stat_result:
    """Size and time of a file; those of the link itself where it points to nothing, which reading then tells."""
    return path.stat() if path.exists() else path.lstat()


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
    rows: list[ManifestRow], earlier: Mapping[tuple[object, ...], ManifestRow], root: Path
) -> list[ManifestRow]:
    """The rows with everything that takes reading the files, which is done once a file, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda row: earlier.get(tuple(row[key] for key in KEY)) or measured_row(row, root), rows))


def measured_row(row: ManifestRow, root: Path) -> ManifestRow:
    """A row with what reading its files tells."""
    return row | measure_files(root, str(row["path"]), str(row["mask_path"]))


def refuse_problems(manifest: Manifest, *, masks: bool) -> None:
    """Stops before any training where files are broken, with all kinds of findings at once and ten culprits of each.

    Args:
        manifest: The data set.
        masks: Whether every image needs a mask, and every mask an image.
    """
    table, findings = manifest.table, []
    broken = table[table["problem"] != ""]
    if not masks:
        broken = broken[broken["width"] == 0]
    if len(broken):
        culprits = [f"{row.path}: {row.problem}" for row in broken.itertuples()]
        findings.append(f"{len(broken)} images with a file that cannot be used ({first_ten(culprits)})")
    if masks:
        bare = table.loc[table["mask_path"] == "", "path"].tolist()
        if bare:
            findings.append(f"{len(bare)} images without a mask ({first_ten(bare)})")
        if manifest.orphans:
            findings.append(
                f"{len(manifest.orphans)} masks without an image of their own ({first_ten(manifest.orphans)})"
            )
    if findings:
        raise UserError(
            f"{manifest.root}: {'; '.join(findings)}; mend or remove these files "
            f"(python -m dermssl check {manifest.root} lists them all)"
        )
