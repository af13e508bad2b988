"""What commands print: columns that stand under each other, in lines of at most a hundred characters."""

import itertools
import textwrap
from collections.abc import Sequence
from math import inf, isfinite, isnan

WIDTH = 100
BARS = "▁▂▃▄▅▆▇█"


def text_table(
    rows: Sequence[Sequence[str]], head: Sequence[str] = (), right: Sequence[int] = (), indent: int = 2
) -> str:
    """A table in lines: each column as wide as its widest cell, two spaces apart; the last is cut where a line is full.

    Args:
        rows: Cells, as many in each row.
        head: Names of the columns, underlined; none without it.
        right: Columns of numbers, which stand to the right.
        indent: Spaces before each line.
    """
    table = [list(head), *map(list, rows)] if head else [list(row) for row in rows]
    if not table:
        return ""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = [table_line(row, widths, right, indent) for row in table]
    if head:
        lines.insert(1, " " * indent + "  ".join("-" * width for width in widths)[: WIDTH - indent])
    return "\n".join(lines)


def table_line(row: Sequence[str], widths: Sequence[int], right: Sequence[int], indent: int) -> str:
    """A row of a table, with an ellipsis where it does not end."""
    cells = [
        cell.rjust(width) if column in right else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    text = (" " * indent + "  ".join(cells)).rstrip()
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def wrapped(text: str, indent: int = 0) -> str:
    """A sentence over several lines; all but the first are indented by two more."""
    return textwrap.fill(
        text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def megabytes(size: float | None) -> str:
    """Megabytes as a person says them: `512 MB`, `1.4 GB`; a dash for none or nan."""
    if size is None or not isfinite(size):
        return "-"
    return f"{size:.0f} MB" if size < 1000 else f"{size / 1000:.1f} GB"


def last_line(text: str, otherwise: str) -> str:
    """The last line of a text that says something; `otherwise` where none does."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), otherwise)


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A curve in a line, lowest to highest value; at most `width` signs, each the mean of its stretch, nan a space."""
    if not values:
        return ""
    count = min(width, len(values))
    cuts = [round(i * len(values) / count) for i in range(count + 1)]
    means = [mean_of_finite(values[first:last]) for first, last in itertools.pairwise(cuts)]
    numbers = [mean for mean in means if not isnan(mean)]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    step = (high - low) / (len(BARS) - 1) or inf
    return "".join(" " if isnan(mean) else BARS[round((mean - low) / step)] for mean in means)


def mean_of_finite(values: Sequence[float]) -> float:
    """Mean of the values that are numbers; nan where none is."""
    numbers = [value for value in values if isfinite(value)]
    return sum(numbers) / len(numbers) if numbers else float("nan")
