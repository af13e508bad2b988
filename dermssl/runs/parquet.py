"""Parquet files: one way to write them, whole, by the one library that is installed for it."""

from pathlib import Path

import pandas as pd

# Where memory is too short to load it, pandas looks for another library and says that this one is not installed.
import pyarrow  # noqa: F401

from dermssl.files import whole_file


def write_parquet(path: Path, table: pd.DataFrame, *, index: bool | None = None) -> None:
    """Writes a table whole.

    Args:
        path: The file.
        table: What is written.
        index: As in pandas: by default an index is kept that is more than a count of the rows.
    """
    with whole_file(path) as part:
        table.to_parquet(part, engine="pyarrow", index=index)
