"""Reading tables of other people: metadata, classes, splits and lists of paths. Everybody reads them here.

A table's separator, encoding and spelling of columns are found out; what a row belongs to is found by the image's id
however it is written. What matches nothing is counted and said.
"""

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dermssl.data.listing import bare_name
from dermssl.errors import UserError, first_ten
from dermssl.wording import counted, folded, spelling_hint

NAMES = {  # what a column means -> how it is called, the surest first; case, spaces and hyphens do not matter
    "image_id": ("image_id", "isic_id", "img_id", "image", "image_name", "imageid", "img", "file_name", "filename",
                 "file", "image_path", "img_path", "path", "name"),
    "mask": ("mask", "masks", "mask_path", "mask_file", "segmentation", "segmentation_path", "ground_truth", "gt",
             "annotation"),
    "lesion_id": ("lesion_id", "lesionid", "lesion"),
    "patient_id": ("patient_id", "patientid", "patient"),
    "label": ("dx", "diagnosis", "label", "class", "diagnosis_3", "diagnosis_2", "diagnosis_1", "clinical_diagnosis"),
    "licence": ("licence", "license", "copyright_license"),
    "site": ("localization", "anatom_site_general", "anatom_site_1", "anatom_site", "site"),
    "age": ("age", "age_approx"),
    "sex": ("sex", "gender"),
    "split": ("split", "part", "fold_name", "subset", "set"),
}  # fmt: skip
PLACEHOLDERS = {
    "", "-", "--", "\u2013", "\u2014", "?", "??", "???", ".", "..", "/", "*", "-1", "na", "n/a", "n.a.", "#n/a", "<na>",
    "nan", "none", "null", "nil", "unk", "unknown", "unbekannt", "inconnu", "not known", "not available",
    "not specified", "missing", "tbd",
}  # fmt: skip
SEPARATORS = (",", ";", "\t", "|")
DOUBLE_BAR = "||"  # of PH2's own table


@dataclass(frozen=True)
class ForeignTable:
    """A table as words."""

    path: Path
    frame: pd.DataFrame
    """Cells without spaces around them; columns in lower case, with `_` for spaces and hyphens."""
    encoding: str
    """Empty where it is UTF-8, as it should be."""

    def column(self, meaning: str) -> str:
        """The column of that meaning; nothing where there is none."""
        return next((name for name in NAMES[meaning] if name in self.frame), "")

    def words(self, meaning: str) -> "pd.Series[str]":
        """What each row says of that meaning: of several such columns the first that says something; '' for nothing."""
        words = [""] * len(self.frame)
        for cells in (self.frame[name].tolist() for name in NAMES[meaning] if name in self.frame):
            words = [word or ("" if is_placeholder(cell) else cell) for word, cell in zip(words, cells, strict=True)]
        return pd.Series(words, dtype=str)


def read_table(path: Path, option: str = "") -> ForeignTable:
    """The table in a file: separated by commas, semicolons, tabs or bars; with what encoding it comes.

    Args:
        path: The file.
        option: What named it, for errors: `--split`.

    Raises:
        UserError: If it cannot be read, is no text, or a row has more cells than the header.
    """
    try:
        text, encoding = decoded_text(path.read_bytes())
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UserError(f"{option} {path}: cannot be read as a table ({why}); give a CSV in UTF-8".strip()) from error
    title = f"{option} {path}".strip()
    rows = cells_of(text, title)
    header = [column_name(cell) for cell in rows[0]] if rows else []
    twice = [name for name, count in Counter(filter(None, header)).items() if count > 1]
    if twice:
        raise UserError(f"{title}: has two columns called {first_ten(twice)}; rename one of each")
    body = [filled(row, len(header), f"{title}: row {line}") for line, row in enumerate(rows[1:], start=2)]
    frame = pd.DataFrame(body, columns=header, dtype=str)
    refuse_line_breaks(frame, title)
    return ForeignTable(path, frame.loc[:, [name for name in header if name]], encoding)


def decoded_text(data: bytes) -> tuple[str, str]:
    """The text of a file, and its encoding where that is not UTF-8."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16"), "UTF-16"
    if b"\x00" in data:
        raise UnicodeError
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return data.decode("cp1252"), "Windows-1252"


def cells_of(text: str, title: str) -> list[list[str]]:
    """The cells of every row that is not empty, without spaces around them."""
    lines = [line for line in text.lstrip("\r\n \t").splitlines(keepends=True) if not line.startswith("#")]
    named = re.fullmatch(r"sep=(.)\s*", lines[0], re.IGNORECASE) if lines else None  # Excel's own first line
    lines = lines[1:] if named else lines
    if lines and lines[0].lstrip().startswith(DOUBLE_BAR):  # PH2's ends with a legend that has no bars
        lines = [line.strip().removeprefix(DOUBLE_BAR).removesuffix(DOUBLE_BAR).replace(DOUBLE_BAR, "|")
                 for line in lines if line.lstrip().startswith(DOUBLE_BAR)]  # fmt: skip
    separator = named[1] if named else max(SEPARATORS, key=lines[0].count) if lines else ","
    try:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    except csv.Error as error:
        raise UserError(f"{title}: cannot be read as a table ({error}); mend it or move it elsewhere") from error
    return [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]


def column_name(cell: str) -> str:
    """A column's name: `Image ID` is `image_id`."""
    return re.sub(r"[\s\-]+", "_", cell.strip().casefold())


def refuse_line_breaks(frame: pd.DataFrame, title: str) -> None:
    """Stops where an id or a class holds a line break: a stray quote has swallowed the rows behind it."""
    meanings = [meaning for meaning in NAMES if meaning not in ("image_id", "mask")]  # names of files may hold one
    for name in (name for meaning in meanings for name in NAMES[meaning] if name in frame):
        broken = [row for row, cell in enumerate(frame[name], start=2) if "\n" in cell]
        if broken:
            raise UserError(
                f"{title}: row {broken[0]} holds a line break in column {name}; a quote is not closed there"
            )


def filled(row: Sequence[str], width: int, title: str) -> Sequence[str]:
    """A row as wide as the header."""
    if any(row[width:]):
        raise UserError(f"{title} has {len(row)} cells and the header {width}; quote what holds the separator")
    return [*row, *[""] * (width - len(row))][:width]


def is_placeholder(word: str) -> bool:
    """Whether a word says that nothing is known: empty, unknown, NA, -, none."""
    return word.casefold() in PLACEHOLDERS


def needed_column(table: ForeignTable, column: str, option: str) -> str:
    """A column by its name, as a person spells it.

    Raises:
        UserError: If there is none.
    """
    if column_name(column) in table.frame:
        return column_name(column)
    columns = [str(name) for name in table.frame.columns]
    hint = spelling_hint(column, columns) or f"; it has {first_ten(columns) or 'none'}"
    raise UserError(f"{option} {table.path}: has no column '{column}'{hint}")


class ImageNames:
    """The images of a data set, found by their id however a table writes it."""

    def __init__(self, image_ids: Iterable[str]) -> None:
        self.exact: set[str] = set()
        self.folded: defaultdict[str, set[str]] = defaultdict(set)
        self.numbers: defaultdict[int, set[str]] = defaultdict(set)
        for image in image_ids:
            self.exact.add(image)
            last = image.rpartition("/")[2]
            for name in {folded(image), folded(last)}:
                self.folded[name].add(image)
            if digits := re.search(r"\d+$", last):
                self.numbers[int(digits[0])].add(image)

    def is_exact(self, word: str) -> bool:
        """Whether a word is an id as it stands, but for a picture's ending."""
        return word in self.exact or bare_name(word) in self.exact

    def matching(self, word: str) -> set[str]:
        """The images that a word may mean: one, none, or several that it does not tell apart.

        The word is an id in any case, with or without a picture's ending, or a path, or the number that an id ends in.
        """
        if word in self.exact:
            return {word}
        name = bare_name(word)
        if name in self.exact:
            return {name}
        parts = folded(name).split("/")
        for start in range(len(parts)):  # the longest end of a path that is an id
            if images := self.folded.get("/".join(parts[start:])):
                return images
        number = re.fullmatch(r"(\d+)(\.0+)?", name)
        return self.numbers.get(int(number[1]), set()) if number else set()


@dataclass(frozen=True)
class Join:
    """Which rows of a table belong to which images."""

    table: ForeignTable
    column: str
    """The column that names the images."""
    images: int
    """Images there are."""
    image_of: "pd.Series[str]"
    """Row -> image id; '' where the row matches none."""
    several: tuple[str, ...]
    """Ids that do not tell images apart."""

    def words(self, meaning: str) -> "pd.Series[str]":
        """What the rows that match say of that meaning, by image id; '' where they say nothing."""
        matched = (self.image_of != "").to_numpy()
        return self.table.words(meaning)[matched].set_axis(pd.Index(self.image_of[matched]))

    @property
    def strangers(self) -> list[str]:
        """What the other rows call their images."""
        ids = self.table.frame[self.column]
        return ids[(self.image_of == "") & ~ids.isin(self.several)].tolist()

    @property
    def sentence(self) -> str:
        """What was joined with what."""
        have = f"{self.image_of[self.image_of != ''].nunique():,} of {counted(self.images, 'image')} have a row"
        parts = [have]
        if self.strangers:
            parts.append(f"{counted(len(self.strangers), 'row')} {'match' if len(self.strangers) > 1 else 'matches'} "
                         f"no image (first: {self.strangers[0]})")  # fmt: skip
        if self.several:
            parts.append(f"{counted(len(self.several), 'id')} could be several images and count for none "
                         f"(first: {self.several[0]})")  # fmt: skip
        guess = f" (read as {self.table.encoding})" if self.table.encoding else ""
        return f"{self.table.path.name}: {', '.join(parts)}{guess}"


def joined(table: ForeignTable, image_ids: Sequence[str]) -> Join:
    """Finds the image of each row; of several columns that could name it, by the one that names most images exactly."""
    names = ImageNames(image_ids)
    columns = [name for name in NAMES["image_id"] if name in table.frame]
    exact = {name: sum(names.is_exact(word) for word in table.frame[name].tolist()) for name in columns}
    column = max(columns, key=exact.__getitem__)
    ids = table.frame[column].tolist()
    matches = [names.matching(word) for word in ids]
    image_of = pd.Series([next(iter(match)) if len(match) == 1 else "" for match in matches], dtype=str)
    several = [word for word, match in zip(ids, matches, strict=True) if len(match) > 1]
    return Join(table, column, len(image_ids), image_of, tuple(dict.fromkeys(several)))
