"""The kit's findings: a row each, written down as soon as it is known."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure, or a sentence in place of one."""

    part: str
    subject: str
    """Of what, such as `simclr on resnet50, 224 px, batch 256`."""
    what: str
    """The figure's name and unit."""
    value: float | None = None
    least: float | None = None
    most: float | None = None
    goal: str = ""
    """The goal in words; empty where there is none."""
    met: bool | None = None
    """Whether the goal is met; None where there is none, or no figure."""
    text: str = ""
    """A sentence: what went wrong, or what the figure does not say."""


@dataclass(frozen=True)
class Goal:
    """A bound of a figure, with what is hoped for beyond it."""

    bound: float
    at_least: bool = True
    stretch: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether the figure is on the right side of the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        more = f", stretch {self.stretch:g}" if self.stretch is not None else ""
        return f"at {'least' if self.at_least else 'most'} {self.bound:g}{more}"


def figure(where: tuple[str, str], what: str, values: Sequence[float], goal: Goal | None = None, text: str = "") -> Row:
    """A row of the median of some values, with the least and the largest; a sentence in its place where there are none.

    Args:
        where: Part and subject.
        what: Name and unit.
        values: One a round.
        goal: What the median is held against.
        text: A sentence beside it.
    """
    part, subject = where
    words = str(goal) if goal is not None else ""
    if not values:
        return Row(part=part, subject=subject, what=what, goal=words, text=text or "It was not measured.")
    median = statistics.median(values)
    met = None if goal is None else goal.met_by(median)
    return Row(part=part, subject=subject, what=what, value=median, least=min(values), most=max(values), goal=words,
               met=met, text=text)  # fmt: skip


def ratios(rates: Mapping[str, Sequence[float]], side: str, peer: str) -> list[float]:
    """How many times the peer's rate, turn by turn; none where one of the two was not measured."""
    return [ours / theirs for ours, theirs in zip(rates.get(side, ()), rates.get(peer, ()), strict=False)]


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Adds rows to a file of JSON lines: what is there stays there if the process is stopped."""
    with file.open("a", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(asdict(row)) + "\n")


def read_rows(file: Path) -> list[Row]:
    """The rows of a file; a last line that was cut short by a kill is left out."""
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            rows.append(Row(**json.loads(line)))
        except ValueError:
            continue
    return rows
