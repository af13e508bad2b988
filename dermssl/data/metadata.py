"""What a data set's own tables say of its images: lesions, patients, classes, licences."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dermssl.data.tables import ForeignTable, Join, is_placeholder, joined, read_table
from dermssl.errors import UserError
from dermssl.wording import as_text, counted

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
OWN_TABLE = "fixes.csv"  # of a cleaned copy: what was done, and nothing of images
OWN_NAMES = ("HAM10000_metadata",)  # as it lies in its archive, without a suffix
IMAGES_FOLDER = re.compile(r"(^|[ _\-])(images?|training_input)$", re.IGNORECASE)  # its table may lie beside
COLUMNS = ("lesion_id", "patient_id", "label", "licence")  # of the manifest
BESIDE = ("site", "age", "sex")  # what a map of images is coloured by


def with_metadata(table: pd.DataFrame, root: Path, listed: Join | None = None) -> tuple[str, ...]:
    """Adds lesion ids, patient ids, classes and licences to a manifest's table; an image without lesion id is its own.

    Args:
        table: The manifest's, changed in place.
        root: Folder of the data set.
        listed: The list that names the images, where one does; folders' own tables are then left alone.

    Returns:
        What a person is told: what was joined, what was not, and what counts as unknown.

    Raises:
        UserError: If a table matches no image, or two rows say different things of one.
    """
    joins, notes = ([listed], []) if listed else join_tables(root, table["image_id"].tolist())
    for column in COLUMNS:
        words = joined_words(joins, column)
        table[column] = [words.get(image, "") for image in table["image_id"]]
    for column in ("lesion_id", "patient_id"):
        table[column] = [group_id(word) for word in table[column]]
        notes += note_on_placeholders(joins, column)
    lesions = set(table["lesion_id"])
    own = [f"{image} (image)" if image in lesions else image for image in table["image_id"]]  # not another's lesion
    table["lesion_id"] = table["lesion_id"].where(table["lesion_id"] != "", pd.Series(own, dtype=str))
    table["source"] = as_text(root.resolve().name)
    return tuple(notes)


def join_tables(root: Path, image_ids: Sequence[str]) -> tuple[list[Join], list[str]]:
    """The tables of a set joined with its images, and a sentence on each."""
    tables, notes = metadata_tables(root)
    joins = [joined(table, image_ids) for table in tables]
    matching = [join for join in joins if (join.image_of != "").any()]
    for join in joins:
        is_beside = join.table.path.parent.resolve() != root.resolve()
        if len(join.image_of) and join not in matching and not (is_beside and matching):
            refuse_stranger(join, image_ids)
    notes += [join.sentence + note_on_list(join.table) for join in joins]
    return matching, notes


def note_on_list(table: ForeignTable) -> str:
    """What is said of a table that names masks as well: it may be the list of the set."""
    named = table.column("mask")
    return f"; its column {named} is read where --data is {table.path} itself" if named else ""


def joins_of(place: Path, image_ids: Sequence[str]) -> Sequence[Join]:
    """The tables of the set in a folder, or the list that is the set, joined with some of its images."""
    tables = metadata_tables(place)[0] if place.is_dir() else [read_table(place)]
    return [joined(table, image_ids) for table in tables]


def refuse_stranger(join: Join, image_ids: Sequence[str]) -> None:
    """Stops at a table of which no row matches an image: its lesions would keep nothing together."""
    example = join.strangers[0] if join.strangers else (*join.several, "no row")[0]
    raise UserError(
        f"{join.table.path}: none of its {counted(len(join.image_of), 'row')} matches an image (it has {example}, the "
        f"images are called {image_ids[0]}); correct its column {join.column}, or move it elsewhere"
    )


def joined_words(joins: Sequence[Join], meaning: str) -> dict[str, str]:
    """What tables say of each image that they say anything of.

    Raises:
        UserError: If they say two things of one.
    """
    words: dict[str, tuple[str, Join]] = {}
    for join in joins:
        for image, word in join.words(meaning).items():
            before, where = words.setdefault(str(image), (word, join)) if word else (word, join)
            if before != word:
                raise UserError(
                    f"{join.table.path}: says that the {meaning} of image {image} is {word}, and "
                    f"{'another row' if where is join else where.table.path} says {before}; keep one of the two"
                )
    return {image: word for image, (word, _) in words.items()}


def group_id(word: str) -> str:
    """The id of a lesion or patient, with `1.0` as `1`, as it was; nothing for 0 and words that mean unknown."""
    number = re.fullmatch(r"(\d+)(?:\.0+)?", word)
    if number and not int(number[1]):
        return ""
    return "" if is_placeholder(word) else number[1] if number else word


def note_on_placeholders(joins: Sequence[Join], column: str) -> list[str]:
    """How many images have a word that means nothing for their lesion or patient."""
    notes = []
    for join in joins:
        own = join.table.column(column)
        cells = join.table.frame[own][(join.image_of != "").to_numpy()].tolist() if own else []
        unknown = [cell for cell in cells if not group_id(cell)]
        if unknown:
            words = ", ".join(sorted({word or "empty" for word in unknown})[:4])
            alone = "each counts as a lesion of its own" if column == "lesion_id" else "no patient keeps them together"
            notes.append(
                f"{join.table.path.name}: {own} of {counted(len(unknown), 'image')} is no id ({words}); {alone}"
            )
    return notes


def metadata_tables(root: Path) -> tuple[list[ForeignTable], list[str]]:
    """The tables that say something of images, in `root` or beside it where `root` is a folder of images alone.

    Returns:
        Them, and a sentence on each that is not used.
    """
    tables, notes = [], []
    for path in table_files(root):
        is_text = path.suffix.lower() == ".txt"  # mostly a licence
        try:
            table = read_table(path)
        except UserError:
            if is_text:
                continue
            raise
        if path.name == OWN_TABLE:
            continue
        named, useful = table.column("image_id"), any(table.column(meaning) for meaning in (*COLUMNS, *BESIDE))
        if named and useful:
            tables.append(table)
        elif not is_text:
            lack = "it says nothing of lesions, patients, classes or licences" if named else "no column names images"
            notes.append(f"{path.name}: not used, for {lack} (the columns that are read: docs/data.md, Tables)")
    return tables, notes


def tables_in(root: Path) -> list[Path]:
    """The tables of a set that are read or spoken of; a text that is no table is a file of another kind."""
    return (
        [path for path in table_files(root) if path.suffix.lower() != ".txt" or is_table(path)] if root.is_dir() else []
    )


def is_table(path: Path) -> bool:
    """Whether a text is a table of images."""
    try:
        return bool(read_table(path).column("image_id"))
    except UserError:
        return False


def table_files(root: Path) -> list[Path]:
    """The files that may be tables, in `root` and beside it."""
    place = root.resolve()
    folders = [root, place.parent] if IMAGES_FOLDER.search(place.name) else [root]
    return [
        path for folder in folders for path in sorted(folder.iterdir())
        if (path.suffix.lower() in SUFFIXES or path.name in OWN_NAMES) and path.is_file() and path.name[0] != "."
    ]  # fmt: skip
