"""What a data set's CSV says of its images: lesions, patients, classes, licences."""

from pathlib import Path

import pandas as pd

from dermssl.errors import UserError

IDS = ("image_id", "isic_id")  # of HAM10000 and of the ISIC Archive
COLUMNS = {  # column of the CSV -> of the manifest
    "lesion_id": "lesion_id", "patient_id": "patient_id", "dx": "label", "diagnosis": "label",
    "licence": "licence", "copyright_license": "licence",
}  # fmt: skip


def with_metadata(table: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Adds lesion ids, patient ids, classes and licences; an image without a lesion id is its own lesion."""
    for column in ("lesion_id", "patient_id", "label", "source", "licence"):
        table[column] = ""
    for path in metadata_files(root):
        metadata = read_csv(path)
        metadata = metadata.drop_duplicates(id_column(metadata)).set_index(id_column(metadata))
        for original, column in COLUMNS.items():
            if original in metadata:
                table[column] = table["image_id"].map(metadata[original]).fillna(table[column])
    table["lesion_id"] = table["lesion_id"].where(table["lesion_id"] != "", table["image_id"])
    table["source"] = root.resolve().name
    return table


def metadata_files(root: Path) -> list[Path]:
    """The CSV files with a column of image ids in `root`, and beside it where `root` is an `images` folder."""
    folders = [root, root.resolve().parent] if root.resolve().name == "images" else [root]
    tables = sorted(path for folder in folders for path in folder.glob("*.csv"))
    return [path for path in tables if id_column(read_csv(path, rows=0))]


def id_column(table: pd.DataFrame) -> str:
    """The column that names the images; nothing where none does."""
    return next((name for name in IDS if name in table), "")


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
