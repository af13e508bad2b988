"""The files of a data set, each image with its mask: found in a folder of any layout, or read off a list of paths."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

import pandas as pd

from dermssl.data.config import ID, Reading
from dermssl.data.folders import ids_of
from dermssl.data.listing import NOTHING, SUFFIXES, PassedOver, list_folder
from dermssl.data.metadata import tables_in
from dermssl.data.roles import Roles, below, image_names, pair_masks, roles_of
from dermssl.data.sources import LIST_ENDINGS
from dermssl.data.tables import ForeignTable, Join, is_placeholder, read_table
from dermssl.errors import UserError, first_ten

PATH_COLUMNS = ("image", "image_path", "img_path", "path", "filename", "file_name", "file", "img", "image_name")


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
    if is_file_list(place) and reading.masks:
        raise UserError(f"--masks {reading.masks}: {place} names masks in its column mask; leave --masks out")
    return files_in_list(place) if is_file_list(place) else files_in_folder(place, reading)


def files_in_folder(root: Path, reading: Reading) -> SetFiles:
    """The files of the set in a folder; masks by common names, by a pattern, or from a folder of their own."""
    listing = list_folder(root, tables_in(root))
    if reading.masks and ID not in reading.masks:
        roles = roles_beside(Path(reading.masks).resolve(), listing.pictures, root)
    else:
        roles = roles_of(listing.pictures, root, reading.masks)
    if not roles.images:
        raise UserError(
            f"{root}: {len(listing.pictures)} masks and no image; give the folder that holds images and masks"
        )
    what = "called like masks, but not as --masks says" if reading.masks else "superpixels, attributes or regions"
    passed_over = listing.passed_over.also(what, [below(path, root) for path in roles.neither])
    ids = tuple(ids_of(roles.images, root, ", or say with --masks which are masks"))
    return SetFiles(root, roles.images, ids, roles.mask_of, roles.orphans, passed_over)


def roles_beside(masks: Path, pictures: Sequence[Path], root: Path) -> Roles:
    """The roles of a folder's pictures whose masks lie in a folder of their own; masks by their names are neither."""
    drawn = list_folder(masks).pictures
    own = {path.resolve() for path in drawn}
    roles = roles_of([path for path in pictures if path.resolve() not in own], root)
    mask_of, orphans = pair_masks(roles.images, {path: image_names(path) for path in drawn})
    return Roles(roles.images, mask_of, tuple(orphans), (*roles.neither, *roles.mask_of.values(), *roles.orphans))


def files_in_list(path: Path) -> SetFiles:
    """The files that a table names, absolute or relative to it: a column of images, and one of masks if they have some.

    Raises:
        UserError: If it has no column of images, names none, or one twice.
    """
    table = read_table(path, "--data")
    column = path_column(table)
    root = path.parent
    images = [listed_place(cell, root) for cell in table.frame[column]]
    bare = [row for row, cell in enumerate(table.frame[column], start=2) if not cell]
    if bare or not images:
        raise UserError(f"{path}: {f'row {bare[0]}' if bare else 'no row'} names no image in column {column}; mend it")
    refuse_repeated(path, "an image", images)
    named = table.frame[table.column("mask")].tolist() if table.column("mask") else [""] * len(images)
    masks = ["" if is_placeholder(cell) else cell for cell in named]
    refuse_repeated(path, "a mask", [listed_place(mask, root) for mask in masks if mask])
    ids = own_ids(table, column) or ids_of(images, root)
    mask_of = {image: listed_place(mask, root) for image, mask in zip(images, masks, strict=True) if mask}
    listed = Join(table, column, len(images), pd.Series(ids, dtype=str), ())
    return SetFiles(root, tuple(images), tuple(ids), mask_of, listed=listed)


def refuse_repeated(path: Path, what: str, files: Sequence[Path]) -> None:
    """Stops where a list names one file in two rows, in whatever way."""
    twice = [str(file) for file, count in Counter(file.resolve() for file in files).items() if count > 1]
    if twice:
        raise UserError(f"{path}: names {what} in more than one row ({first_ten(twice)}); keep one row each")


def path_column(table: ForeignTable) -> str:
    """The column of images' paths: of several that could be, the first whose cells end as pictures do.

    Raises:
        UserError: If there is none.
    """
    columns = [name for name in PATH_COLUMNS if name in table.frame]
    paths = [name for name in columns if table.frame[name].str.lower().str.endswith(SUFFIXES).any()]
    column = next(iter(paths or columns), "")
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
