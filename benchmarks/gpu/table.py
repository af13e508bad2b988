"""The kit's tables: gpu.md for people, gpu.json for programs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.gpu.rows import Row
from benchmarks.timing import table
from dermssl.files import write_text

HEADER = ("of what", "figure", "median (least to most)", "goal", "met", "")


def write_tables(folder: Path, rows: Sequence[Row], conditions: Mapping[str, object]) -> None:
    """Writes both, each whole."""
    write_text(folder / "gpu.md", markdown(rows, conditions))
    document = {"conditions": dict(conditions), "rows": [asdict(row) for row in rows]}
    write_text(folder / "gpu.json", json.dumps(document, indent=1) + "\n")


def markdown(rows: Sequence[Row], conditions: Mapping[str, object]) -> str:
    """A table for each part, and where it was measured."""
    facts = "\n".join(f"* {name}: {value}" for name, value in conditions.items())
    pieces = [f"# What this GPU showed\n\n{facts}"]
    for part in dict.fromkeys(row.part for row in rows):
        lines = [cells(row) for row in rows if row.part == part]
        pieces.append(f"## {part[0].upper()}{part[1:]}\n\n{table(HEADER, lines)}")
    return "\n\n".join(pieces) + "\n"


def cells(row: Row) -> list[str]:
    """A row as the table shows it."""
    words = ["" if row.met is None else "yes" if row.met else "no", row.text]
    return [
        word.replace("|", "/").replace("\n", " ") for word in (row.subject, row.what, in_digits(row), row.goal, *words)
    ]


def in_digits(row: Row) -> str:
    """The median with its range: `2610 (2580 to 2644)`; the number alone where the range is nothing."""
    if row.value is None:
        return ""
    if row.least == row.most or row.least is None or row.most is None:
        return short(row.value)
    return f"{short(row.value)} ({short(row.least)} to {short(row.most)})"


def short(value: float) -> str:
    """Three digits that count: 2610, 12.3, 0.96, 2e-05."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"
