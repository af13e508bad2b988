"""Features as files: parquet and CSV batch by batch, npz through a file of its own, none of them held in memory.

| | ids | features | stages | map |
| parquet | `image_id`, `path` | `features`, a list of float32 of one length | `stage_1` ..., the same | `x`, `y` |
| csv | `image_id`, `path` | `f0` ... | `stage_1_0` ... | `x`, `y` |
| npz | `image_id`, `path` (N,) | `features` (N, C) | `stage_1` ... (N, C) | `x`, `y` (N,) |
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZIP_STORED, ZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]  # (B,) of text or numbers, or (B, C) float32


class FeatureWriter(Protocol):
    """Takes rows, a batch after the other, all with the same columns."""

    def write(self, columns: Columns) -> None:
        """Adds a row a picture."""


@contextmanager
def feature_writer(path: Path, form: str, facts: Mapping[str, object]) -> Iterator[FeatureWriter]:
    """What writes features to `path`.

    Args:
        path: The file; it is written over.
        form: Of FORMATS: .parquet, .npz or .csv.
        facts: What the features are of, for the file's header; a CSV has none.
    """
    with WRITERS[form](path, facts) as writer:
        yield writer


@contextmanager
def parquet_writer(path: Path, facts: Mapping[str, object]) -> Iterator[FeatureWriter]:
    """Row groups of a batch each."""
    writer = ParquetWriter(path, facts)
    try:
        yield writer
    finally:
        if writer.file is not None:
            writer.file.close()


class ParquetWriter:
    """Vectors are lists of one length, which pandas, polars and Arrow read as such."""

    def __init__(self, path: Path, facts: Mapping[str, object]) -> None:
        self.path, self.facts = path, facts
        self.file: pq.ParquetWriter | None = None

    def write(self, columns: Columns) -> None:
        """A row group; the first one says how wide the vectors are."""
        table = pa.table({name: arrow_array(values) for name, values in columns.items()})
        if self.file is None:
            schema = table.schema.with_metadata({"dermssl": json.dumps(dict(self.facts))})
            self.file = pq.ParquetWriter(self.path, schema)
        self.file.write_table(table.cast(self.file.schema))


def arrow_array(values: NDArray[Any]) -> Any:
    """A column, or a column of vectors."""
    if values.ndim == 1:
        return pa.array(values.tolist())
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), values.shape[1])


@contextmanager
def csv_writer(path: Path, _: Mapping[str, object]) -> Iterator[FeatureWriter]:
    """Lines, numbers with as many digits as float32 has."""
    with path.open("w", newline="", encoding="utf-8") as file:
        yield CsvWriter(csv.writer(file))


class CsvWriter:
    """A column a number: `f0`, `f1` and so on of the features, `stage_1_0` of a stage."""

    def __init__(self, lines: Any) -> None:
        self.lines, self.begun = lines, False

    def write(self, columns: Columns) -> None:
        """A line a picture, below a first one of names."""
        if not self.begun:
            self.lines.writerow([name for key, values in columns.items() for name in csv_names(key, values)])
            self.begun = True
        cells = [values[:, None] if values.ndim == 1 else values for values in columns.values()]
        for row in zip(*cells, strict=True):
            self.lines.writerow([as_cell(value) for part in row for value in part])


def csv_names(key: str, values: NDArray[Any]) -> list[str]:
    """The columns of one value, or of a vector."""
    stem = "f" if key == "features" else f"{key}_"
    return [key] if values.ndim == 1 else [f"{stem}{place}" for place in range(values.shape[1])]


def as_cell(value: Any) -> str:
    """A number by the fewest digits that give it back, or a word."""
    return np.format_float_positional(value, trim="0") if isinstance(value, np.floating) else str(value)


@contextmanager
def npz_writer(path: Path, facts: Mapping[str, object]) -> Iterator[FeatureWriter]:
    """Arrays grow as files beside `path`, and are put into it at the end."""
    writer = NpzWriter(path)
    try:
        yield writer
        writer.put_together(facts)
    finally:
        for part in writer.parts.values():
            part.unlink(missing_ok=True)


class NpzWriter:
    """Raw numbers of each array in a file of its own, since an array's header says how many rows follow."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parts: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.words: dict[str, list[str]] = {}

    def write(self, columns: Columns) -> None:
        """Words are kept, numbers go to their files."""
        for name, values in columns.items():
            if values.dtype.kind in "UO":
                self.words.setdefault(name, []).extend(map(str, values))
                continue
            part = self.parts.setdefault(name, self.path.with_name(f"{self.path.name}.{name}"))
            rows = self.shapes.get(name, (0,))[0] + len(values)
            self.shapes[name] = (rows, *values.shape[1:])
            with part.open("ab") as file:
                file.write(np.ascontiguousarray(values, np.float32).tobytes())

    def put_together(self, facts: Mapping[str, object]) -> None:
        """Writes the archive."""
        words = {name: np.array(values) for name, values in self.words.items()} | {"facts": np.array(json.dumps(facts))}
        with ZipFile(self.path, "w", ZIP_STORED, allowZip64=True) as archive:
            for name, array in words.items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)
            for name, part in self.parts.items():
                array = np.memmap(part, np.float32, "r", shape=self.shapes[name])
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)


WRITERS: Mapping[str, Callable[[Path, Mapping[str, object]], Any]] = {
    ".parquet": parquet_writer, ".csv": csv_writer, ".npz": npz_writer,
}  # fmt: skip
