"""The manifest: one table of what a data set holds, built once and kept, so that every command sees the same."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermssl.errors import UserError, first_ten
from dermssl.files import short_hash, whole_file
from dermssl.images import difference_hash, find_pictures, verify
from dermssl.masks import OTHER_ENDING, complaint, components, image_id_of, is_mask, read_values

COLUMNS = {  # column -> type; None stands where a thing is not known
    "image_id": "str", "path": "str", "size": "int64", "mtime": "int64", "sha256": "str",
    "width": "int64", "height": "int64", "dhash": "str",
    "lesion_id": "str", "patient_id": "str", "label": "str", "source": "str", "licence": "str",
    "mask_path": "str", "mask_size": "int64", "mask_mtime": "int64", "mask_sha256": "str",
    "mask_area": "float64", "mask_components": "int64", "problem": "str",
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

    def take(self, image_ids: Sequence[str]) -> "Manifest":
        """The rows of these images, in the order given."""
        taken = self.table.set_index("image_id", drop=False).loc[list(image_ids)]
        return Manifest(self.root, taken.reset_index(drop=True), ())


def read_manifest(root: Path, keep_in: Path | None = None) -> Manifest:
    """The manifest of the data set in `root`, from what was kept where files have not changed since.

    Layouts: ISIC challenge folders, HAM10000, `images/` and `masks/`, or images at any depth; a mask is known by its
    folder (`masks`, `..._GroundTruth`, `..._segmentations`) or its ending (`_segmentation`, `_mask`). A `metadata.csv`
    (or any other CSV with an `image_id` column) in `root` or beside it gives lesion ids, patient ids and classes.

    Args:
        root: Folder of the data set.
        keep_in: Folder that keeps the table; `kept_folder(root)` by default.

    Raises:
        UserError: If the folder is missing or empty, or two files have the same path as id.
    """
    files = find_pictures(root)
    images = [path for path in files if not is_mask(path, root) and not OTHER_ENDING.search(path.stem)]
    if not images:
        raise UserError(f"{root}: {len(files)} masks and no image; give the folder that holds both")
    masks, strays = paired(
        images, [path for path in files if is_mask(path, root) and not OTHER_ENDING.search(path.stem)]
    )
    kept = (keep_in or kept_folder(root)) / "manifest.parquet"
    rows = [row_of(image, masks.get(image), root) for image in images]
    table = pd.DataFrame(complete(rows, known_rows(kept), root))
    table["image_id"] = ids_of(images, root)
    table = with_metadata(table, root).sort_values("image_id", ignore_index=True)
    table = table[list(COLUMNS)].astype(COLUMNS)
    with whole_file(kept) as part:
        table.to_parquet(part)
    return Manifest(root, table, tuple(str(path.relative_to(root)) for path in strays))


def paired(images: Sequence[Path], masks: Sequence[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """The mask of each image that has one, and the masks that are left over.

    By name; where several images have it, the mask is that of the one nearest in the tree: `a/masks/1.png` belongs to
    `a/images/1.jpg` and not to `b/images/1.jpg`.
    """
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for image in images:
        named[image.stem].append(image)
    pairs: dict[Path, Path] = {}
    strays = []
    for mask in masks:
        candidates = named.get(image_id_of(mask), [])
        nearest = max(candidates, key=lambda image: len(os.path.commonpath([image, mask])), default=None)
        if nearest is None or nearest in pairs:
            strays.append(mask)
        else:
            pairs[nearest] = mask
    return pairs, strays


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
    where = str(root.resolve())
    return home / f"{root.resolve().name}-{short_hash(where)}"


Row = dict[str, object]


def row_of(image: Path, mask: Path | None, root: Path) -> Row:
    """What a look at the directory tells of an image and its mask."""
    stat = stat_of(image)
    row: Row = {"path": str(image.relative_to(root)), "size": stat.st_size, "mtime": stat.st_mtime_ns}
    row |= {"mask_path": "", "mask_size": 0, "mask_mtime": 0}
    if mask is not None:
        stat = stat_of(mask)
        row |= {"mask_path": str(mask.relative_to(root)), "mask_size": stat.st_size, "mask_mtime": stat.st_mtime_ns}
    return row


def stat_of(path: Path) -> os.stat_result:
    """Size and time of a file; those of the link itself where it points to nothing, which reading then tells."""
    return path.stat() if path.exists() else path.lstat()


def known_rows(kept: Path) -> Mapping[tuple[object, ...], Row]:
    """The rows of an earlier look, by what must not have changed; none where the table is damaged or another version's.

    Rows with a problem are not among them: a file that was unreadable may be readable now and look the same.
    """
    try:
        table = pd.read_parquet(kept)
    except (OSError, ValueError):  # absent, or no parquet any more: everything is read anew
        return {}
    if list(table.columns) != list(COLUMNS):
        return {}
    whole = table[table["problem"] == ""]
    rows: list[Row] = [{str(key): value for key, value in row.items()} for row in whole.to_dict("records")]
    return {tuple(row[key] for key in KEY): row for row in rows}


def complete(rows: list[Row], known: Mapping[tuple[object, ...], Row], root: Path) -> list[Row]:
    """The rows with everything that takes reading the files, which is done once a file, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda row: known.get(tuple(row[key] for key in KEY)) or row | measure(row, root), rows))


def measure(row: Row, root: Path) -> Row:
    """Size, hashes and problems of an image and its mask."""
    found: Row = {"sha256": "", "width": 0, "height": 0, "dhash": "", "problem": ""}
    found |= {"mask_sha256": "", "mask_area": float("nan"), "mask_components": 0}
    try:
        data = (root / str(row["path"])).read_bytes()
        picture = verify(data)
    except OSError as error:
        return found | {"problem": f"unreadable or truncated ({error.strerror or error})"}
    found |= {
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "dhash": difference_hash(picture),
    }
    return found | (measure_mask(root / str(row["mask_path"]), picture.size) if row["mask_path"] else {})


def measure_mask(path: Path, image_size: tuple[int, int]) -> Row:
    """Hash, area share and components of a mask, or what is wrong with it."""
    try:
        data = path.read_bytes()
        verify(data)
    except OSError as error:
        return {"problem": f"mask {path.name} is unreadable or truncated ({error.strerror or error})"}
    found: Row = {"mask_sha256": hashlib.sha256(data).hexdigest()}
    values = read_values(path)
    if values is None:
        return found | {"problem": f"mask {path.name} is unreadable"}
    height, width = values.shape
    if (width, height) != image_size:
        turned = "; transpose it or fix its EXIF orientation" if (height, width) == image_size else ""
        size = f"mask is {width} x {height} but its image is {image_size[0]} x {image_size[1]}"
        return found | {"problem": size + turned}
    wrong = complaint(values)
    if wrong:
        return found | {"problem": wrong}
    return found | {"mask_area": float((values > 0).mean()), "mask_components": components(values > 0)}


def ids_of(images: Sequence[Path], root: Path) -> list[str]:
    """File names without suffix where these tell the images apart, else paths below `root` without suffix."""
    stems = [path.stem for path in images]
    if len(set(stems)) == len(stems):
        return stems
    ids = [str(path.relative_to(root).with_suffix("")) for path in images]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise UserError(f"{root}: two files have the name {first_ten(twice)}; rename or remove one of each")
    return ids


def with_metadata(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Adds lesion ids, patient ids and classes from the data set's CSV; an image without one is its own lesion."""
    for column in ("lesion_id", "patient_id", "label", "source", "licence"):
        table[column] = ""
    columns = {"lesion_id": "lesion_id", "patient_id": "patient_id", "dx": "label", "licence": "licence"}
    for path in metadata_files(root):
        given = read_csv(path).drop_duplicates("image_id").set_index("image_id")
        for theirs, ours in columns.items():
            if theirs in given:
                table[ours] = table["image_id"].map(given[theirs]).fillna(table[ours])
    table["lesion_id"] = table["lesion_id"].where(table["lesion_id"] != "", table["image_id"])
    table["source"] = root.resolve().name
    return table


def metadata_files(root: Path) -> list[Path]:
    """The CSV files with an `image_id` column in `root`, and beside it where `root` is an `images` folder."""
    folders = [root, root.resolve().parent] if root.resolve().name == "images" else [root]
    found = sorted(path for folder in folders for path in folder.glob("*.csv"))
    return [path for path in found if "image_id" in read_csv(path, rows=0)]


def read_csv(path: Path, rows: int | None = None) -> pd.DataFrame:
    """The first rows of a CSV, or all, as words; nothing where the file is empty.

    Raises:
        UserError: If it is no text, or no table.
    """
    try:
        return pd.read_csv(path, dtype=str, nrows=rows)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except ValueError as error:
        raise UserError(f"{path}: not a CSV table in UTF-8 ({error}); mend it or move it elsewhere") from error


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
        findings.append(f"{len(broken)} broken ({first_ten(culprits)})")
    if masks:
        bare = table.loc[table["mask_path"] == "", "path"].tolist()
        if bare:
            findings.append(f"{len(bare)} images without a mask ({first_ten(bare)})")
        if manifest.orphans:
            findings.append(
                f"{len(manifest.orphans)} masks without an image of their own ({first_ten(manifest.orphans)})"
            )
    if findings:
        raise UserError(f"{manifest.root}: {'; '.join(findings)}; mend or remove these files")
