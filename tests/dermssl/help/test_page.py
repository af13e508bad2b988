"""The help says what stands behind an option, what is taken without it, and is as wide as the terminal."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from dermssl.flags import parse
from dermssl.help.page import help_page, typed_option


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Draw something.

    In two paragraphs.
    """

    USUAL: ClassVar[tuple[str, ...]] = ("steps",)
    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m draw --steps 2",)

    out: Path
    """Where."""
    steps: int = 3
    """How often, in
    two lines."""
    quick: bool = True
    """Whether."""
    sizes: tuple[int, ...] = (1, 2)
    """Sides."""
    note: str = field(default="")
    """What else."""


PAGE = """usage: draw [OPTIONS]

Draw something.

In two paragraphs.

options:
  --steps NUMBER            How often, in two lines. (default: 3)

  --config PATH ...         YAML file of these options, or several, of which a later one stands
                            above; flags stand above them all.
  -h, --help, --help-all    Show the usual options, or all of them.

examples:
  python -m draw --steps 2

These are the usual options; --help-all shows all 5.
"""


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


def test_the_usual_page() -> None:
    assert help_page(Drawn, "draw", "", whole=False) == PAGE


def test_the_whole_page_has_every_option_with_its_default() -> None:
    page = help_page(Drawn, "draw", "", whole=True)
    assert "  --out PATH                Where. (must be given)\n" in page
    assert "  --quick/--no-quick        Whether. (default: --quick)\n" in page
    assert "  --sizes NUMBER ...        Sides. (default: 1 2)\n" in page
    assert "  --note WORD               What else.\n" in page
    assert "--help-all shows all" not in page


@pytest.mark.parametrize("columns", ["40", "80", "400"])
def test_no_line_is_wider_than_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    lines = help_page(Drawn, "draw", "word " * 50, whole=True).splitlines()
    assert max(map(len, lines)) <= max(60, min(int(columns), 110))


@pytest.mark.parametrize(
    ("kind", "typed"),
    [
        (int | None, "--it NUMBER"), (float | Literal["auto"], "--it NUMBER | auto"), (bool | None, "--it/--no-it"),
        (Literal["a", "b"], "--it a | b"), (Literal["a", "b"] | None, "--it a | b"),
        (tuple[str, str], "--it WORD WORD"), (tuple[Path, ...], "--it PATH ..."),
        (tuple[Literal["a", "b"], ...], "--it a | b ... (several)"),
    ],
)  # fmt: skip
def test_an_option_is_shown_as_it_is_typed(kind: Any, typed: str) -> None:
    assert typed_option("it", kind) == typed


@pytest.mark.parametrize("flag", ["--help-all", "--help_all"])
def test_all_options_are_asked_for_by_a_flag(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse(Drawn, "draw", [flag])
    assert stop.value.code == 0
    assert "--sizes" in capsys.readouterr().out
