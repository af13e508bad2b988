"""What an encoder file keeps of the images that it was trained on: a table in the header, read as a stranger's."""

import base64
import io
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from dermssl.errors import UserError
from dermssl.weights.tensor_file import read_text, readable

SEEN_COLUMNS = ["image_id", "path", "lesion_id", "patient_id", "sha256", "phash", "tones"]
MOST = 10_000_000  # images; a table of a few bytes can unfold into any number of equal rows
HEXADECIMAL = {  # digits of a picture's looks (`dermssl.splits.fingerprints`); none for one that could not be read
    "sha256": re.compile(r"[0-9a-f]*"),
    "phash": re.compile(r"[0-9a-f]{64}|"),
    "tones": re.compile(r"[0-9a-f]{128}|"),
}


def packed(table: pd.DataFrame) -> str:
    """A table as parquet in letters, which is what a safetensors header can hold."""
    return base64.b64encode(table.to_parquet(engine="pyarrow", compression="zstd", index=False)).decode()


def read_seen(path: Path) -> pd.DataFrame | None:
    """What the file keeps of the images that its encoder was trained on; None where it says nothing of them.

    Raises:
        UserError: If what it says is damaged, or no such table.
    """
    text = read_text(path, "seen")
    if text is None:
        return None
    with readable(path):
        content = base64.b64decode(text, validate=True)
        if pq.ParquetFile(io.BytesIO(content)).metadata.num_rows > MOST:
            raise ValueError(f"its list of images is longer than {MOST:,}")
        table = pd.read_parquet(io.BytesIO(content))
    fault = fault_in(table)
    if fault:
        raise UserError(
            f"{path}: its list of the images that it was trained on {fault}, so leaks could not be found; "
            "copy the file or make it again"
        )
    return table


def fault_in(table: pd.DataFrame) -> str:
    """What is wrong with a list of images, in words; nothing where it is one."""
    absent = [column for column in SEEN_COLUMNS if column not in table]
    if absent:
        return f"has no column '{absent[0]}'"
    if table.empty:
        return "is empty"
    for column in SEEN_COLUMNS:
        if not all(isinstance(entry, str) for entry in table[column]):
            return f"has entries in '{column}' that are no text"
        pattern = HEXADECIMAL.get(column)
        if pattern and not all(map(pattern.fullmatch, table[column])):
            return f"has entries in '{column}' that are no digits of a picture"
    return ""
