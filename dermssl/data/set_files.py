"""The files of a data set, each image with its mask: found in a folder of any layout, or read off a list of paths."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import pandas as pd

from dermssl.data.config import ID, Reading
from dermssl.data.folders import ids_of
from dermssl.data.listing import NOTHING, PassedOver, list_folder
from dermssl.data.metadata import table_files
from dermssl.data.roles import below, image_names, pair_masks, roles_of
from dermssl.data.sources import LIST_ENDINGS
from dermssl.data.tables import ForeignTable, Join, read_table
from dermssl.errors import UserError, first_ten


@dataclass(frozen=True)
class SetFiles:
    """Where the images and masks of a set lie."""

    root: Path
    """What paths are relative to."""
    images: tuple[Path, ...]
    ids: tuple[str, ...]
    """Of the images, in their order."""
    mask_of: Mapping[Path, Path]
    orphans: tuple[Path, ...] = ()
    """Masks without an image of their own."""
    passed_over: PassedOver = NOTHING
    notes: tuple[str, ...] = ()
    """What a person is told of them."""
    listed: Join | None = None
    """The list, and which of its rows is which image; None for a folder."""

    @property
    def kept_as(self) -> str:
        """What the manifest's file is called, so that a list and the folder that it lies in have one each."""
        return "manifest.parquet" if self.listed is None else f"manifest-{self.listed.table.path.name}.parquet"


def is_file_list(place: Path) -> bool:
    """Whether a data set is given as a list of paths and not as a folder."""
    return place.suffix.lower() in LIST_ENDINGS and not place.is_dir()


def set_files_of(place: Path, reading: Reading) -> SetFiles:
    """The files of the set in a folder or list.

    Raises:
        UserError: If there is no image, or two have one id.
    """
    return files_in_list(place) if is_file_list(place) else files_in_folder(place, reading)


def files_in_folder(root: Path, reading: Reading) -> SetFiles:
    """The files of the set in a folder; masks by common names, by a pattern, or from a folder of their own."""
    listing = list_folder(root, table_files(root) if root.is_dir() else ())
    pattern = reading.masks if reading.masks and ID in reading.masks else None
    roles = roles_of(listing.pictures, root, pattern)
    passed_over = listing.passed_over
    mask_of, orphans, aside = roles.mask_of, roles.orphans, roles.neither
    if reading.masks and pattern is None:
        elsewhere = list_folder(Path(reading.masks).resolve())
        aside = (*aside, *mask_of.values(), *orphans)
        mask_of, strays = pair_masks(roles.images, {path: image_names(path) for path in elsewhere.pictures})
        orphans = tuple(strays)
    if not roles.images:
        raise UserError(
            f"{root}: {len(listing.pictures)} masks and no image; give the folder that holds images and masks"
        )
    what = (
        "superpixels, attributes or regions" if reading.masks is None else "called like masks, but not as --masks says"
    )
    passed_over = passed_over.also(what, [below(path, root) for path in aside])
    ids = tuple(ids_of(roles.images, root))
    notes = () if mask_of or not reading.masks else (f"--masks {reading.masks}: gives no image of {root} a mask",)
    return SetFiles(root, roles.images, ids, mask_of, orphans, passed_over, notes)


def files_in_list(path: Path) -> SetFiles:
    """The files that a table names, absolute or relative to it: a column of images, and one of masks if they have some.

    Raises:
        UserError: If it has no column of images, names none, or one twice.
    """
    table = read_table(path, "--data")
    column = path_column(table)
    root = path.parent
    images = [listed_place(cell, root) for cell in table.frame[column]]
    if not images or "" in table.frame[column].tolist():
        raise UserError(f"{path}: {'a row' if images else 'no row'} names an image in column {column}; mend it")
    twice = [str(image) for image, count in Counter(images).items() if count > 1]
    if twice:
        raise UserError(f"{path}: names an image in more than one row ({first_ten(twice)}); keep one row each")
    masks = table.frame[table.column("mask")].tolist() if table.column("mask") else [""] * len(images)
    ids = own_ids(table, column) or ids_of(images, root)
    mask_of = {image: listed_place(mask, root) for image, mask in zip(images, masks, strict=True) if mask}
    listed = Join(table, len(images), pd.Series(ids, dtype=str), ())
    return SetFiles(root, tuple(images), tuple(ids), mask_of, listed=listed)


def path_column(table: ForeignTable) -> str:
    """The column of images' paths.

    Raises:
        UserError: If there is none.
    """
    column = next((name for name in ("image", "image_path", "path", "filename", "file_name", "file", "img", "img_path")
                   if name in table.frame), "")  # fmt: skip
    if not column:
        raise UserError(
            f"{table.path}: has no column of images' paths (it has {first_ten(list(table.frame.columns))}); "
            "call it image, and that of the masks mask"
        )
    return column


def own_ids(table: ForeignTable, column: str) -> list[str]:
    """The ids that a list gives beside the paths; none where it gives none, or one twice."""
    named = next((name for name in ("image_id", "isic_id", "img_id") if name in table.frame and name != column), "")
    ids = table.frame[named].tolist() if named else []
    return ids if len(set(ids)) == len(ids) and "" not in ids else []


def listed_place(cell: str, root: Path) -> Path:
    r"""The file that a cell names, absolute or relative to the list; `\` between folders as well."""
    path = Path(PureWindowsPath(cell).as_posix() if "\\" in cell and "/" not in cell else cell)
    return path if path.is_absolute() else root / path
