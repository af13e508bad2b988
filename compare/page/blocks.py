"""What a report is made of: sections of tables, figures and sentences, the same for the page and for Markdown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import Literal

import numpy as np
import pandas as pd

from compare.figures.drawing import SvgDrawing, percent
from dermssl.wording import duration

Row = Mapping[str, object]
Look = Literal["", "arm", "pair", "verdict", "code", "error", "same"]


@dataclass(frozen=True)
class Column:
    """A column as a reader sees it: its title, the text of a cell, and what the column is sorted by."""

    title: str
    text: Callable[[Row], str]
    by: Callable[[Row], float | str]
    left: bool = False
    look: Look = ""
    """arm: with its colour; pair: two arms, kept together; verdict: in its colour; code: a hash; same: yes or no."""


@dataclass(frozen=True)
class Table:
    """A table of the report; `groups` are its rows under a title each, or one group under ''."""

    name: str
    caption: str
    columns: Sequence[Column]
    groups: Mapping[str, Sequence[Row]]
    short: bool = True
    """Whether it stands in report.md as well."""
    folded: str = ""
    """What the line says that opens it; a table without one is open."""


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its caption."""

    drawing: SvgDrawing
    caption: str


@dataclass(frozen=True)
class Section:
    """A section of the report; `special` names a part that a template of its own draws, such as the gallery."""

    id: str
    title: str
    blocks: Sequence[Table | FigureBlock | str] = field(default=())
    special: str = ""
    short: str = ""
    """Its name in the line of contents, where the title is long."""

    @property
    def brief(self) -> list[Table | str]:
        """What of it stands in report.md: its sentences and its short tables."""
        blocks = [
            block for block in self.blocks if isinstance(block, str) or (isinstance(block, Table) and block.short)
        ]
        return blocks if any(isinstance(block, Table) for block in blocks) else []


def single_group_table(name: str, caption: str, frame: pd.DataFrame, columns: Sequence[Column]) -> Table:
    """A table of one group, of the columns that say something in at least one row."""
    rows = table_rows(frame)
    kept = [column for column in columns if any(column.text(row) not in ("", NONE) for row in rows)]
    return Table(name, caption, kept, {"": rows})


def table_rows(frame: pd.DataFrame) -> list[Row]:
    """The rows of a table, each by column."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


NONE = "–"  # noqa: RUF001 - the dash of an empty table cell


def points(difference: float, sign: bool = True) -> str:
    """A share of IoU as points with one decimal: 0.013 is '+1.3'; '–' where there is none."""
    if not isfinite(difference):
        return NONE
    rounded = round(100 * difference, 1) + 0.0  # no "-0.0"
    return f"{rounded:+.1f}" if sign else f"{rounded:.1f}"


def decimals(value: float, digits: int = 3) -> str:
    """A number with that many decimals and thousands apart; '–' where there is none."""
    return f"{value:,.{digits}f}" if isfinite(value) else NONE


def whole_percent(value: float) -> str:
    """A share in whole percent, and never 0 or 100 for what is not; '–' where there is none."""
    if not isfinite(value):
        return NONE
    return "< 1 %" if 0 < value < 0.005 else "> 99 %" if 0.995 < value < 1 else f"{100 * value:.0f} %"


def p_value(value: float) -> str:
    """Three decimals, '< 0.001' below them; '–' where there is none."""
    return NONE if not isfinite(value) else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def plain_number(value: float) -> str:
    """A number in as few letters as it takes: 0.0003 is '0.0003', 100000 is '100,000'; '–' where there is none."""
    return NONE if not isfinite(value) else f"{value:,.0f}" if value >= 1000 else f"{Decimal(f'{value:.3g}'):f}"


def fraction_label(fraction: float) -> str:
    """A label fraction; 'all' where rows are pooled over several."""
    return percent(fraction) if isfinite(fraction) else "all"


def time_taken(seconds: float) -> str:
    """Seconds as a reader says them, '5 h 10 min'; '–' where there are none."""
    return duration(seconds, NONE)


def enumerated(words: Sequence[str]) -> str:
    """Words as a sentence lists them: 'a, b and c'."""
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + "".join(words[-1:])


def number_column(key: str, title: str, as_text: Callable[[float], str] = plain_number) -> Column:
    """A column of numbers; None and nan are '–'."""
    return Column(title, lambda row: as_text(cell_number(row.get(key))), lambda row: cell_number(row.get(key)))


def word_column(key: str, title: str, look: Look = "", names: Mapping[str, str] | None = None) -> Column:
    """A column of words; `names` says some of them otherwise."""

    def text(row: Row) -> str:
        value = row.get(key)
        word = "" if value is None or value != value else str(value)
        return (names or {}).get(word, word)

    return Column(title, text, text, left=True, look=look)


def interval_column(title: str, as_text: Callable[[float], str], low: str = "low", high: str = "high") -> Column:
    """Both ends of an interval, sorted by the lower one."""

    def text(row: Row) -> str:
        ends = cell_number(row.get(low)), cell_number(row.get(high))
        return f"{as_text(ends[0])} to {as_text(ends[1])}" if isfinite(ends[0]) and isfinite(ends[1]) else NONE

    return Column(title, text, lambda row: cell_number(row.get(low)))


def cell_number(value: object) -> float:
    """A cell as a number, nan where it is none."""
    return float(value) if isinstance(value, int | float | np.integer | np.floating) else float("nan")
