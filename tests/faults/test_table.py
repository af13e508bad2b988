"""The table of docs/results/faults.md: it tells of every kind of fault that is tried, and of no other."""

import re

import pandas as pd
from faults.table import COLUMNS, as_markdown, kinds
from faults.tally import Tally
from pages import DOCS, rows

PAGE = DOCS / "results" / "faults.md"


def kind_of(cell: str) -> str:
    return cell.removesuffix(" (a sample)")


def test_the_page_says_what_is_tried_of_each_kind() -> None:
    told = {cells[0]: cells[1] for cells in rows(PAGE) if len(cells) == 2 and cells[0] in kinds()}
    assert told == kinds()


def test_the_page_has_figures_of_every_kind_and_none_went_wrong() -> None:
    counts = [cells for cells in rows(PAGE) if len(cells) == len(COLUMNS) and cells[0] != COLUMNS[0]]
    assert {kind_of(cells[0]) for cells in counts if not cells[0].startswith("-")} == set(kinds())
    assert {cells[COLUMNS.index("wrong")] for cells in counts if not cells[0].startswith("-")} == {"0"}


def test_the_page_on_reliability_tells_of_no_more_trials_than_there_were() -> None:
    tried = sum(int(cells[1]) for cells in rows(PAGE) if len(cells) == len(COLUMNS) and cells[1].isdigit())
    told = re.search(r"([\d ]+?)\s+trials\s+of (\d+) kinds", (DOCS / "reliability.md").read_text())
    assert told is not None
    assert 0.9 * tried <= int(told[1].replace(" ", "")) <= tried
    assert int(told[2]) == len(kinds())


def test_a_row_tells_the_code_and_the_machine_and_neither_its_name_nor_a_folder() -> None:
    row = Tally("kill", right=2).row
    assert set(COLUMNS) <= set(row)
    assert re.fullmatch(r"([0-9a-f]{10})?(, changed)?", str(row["commit"]))
    assert re.fullmatch(r"[^/]*, \d+ cores", str(row["machine"]))


def test_a_kind_with_two_seeds_has_two_rows_and_a_sample_is_marked() -> None:
    found = pd.DataFrame([Tally("kill", right=2).row | {"seed": seed, "whole": bool(seed)} for seed in (0, 1)])
    lines = [line for line in as_markdown(found).splitlines() if re.match(r"\| kill( \(a sample\))? \| 2 ", line)]
    assert [kind_of(line.split(" | ")[0].removeprefix("| ")) for line in lines] == ["kill", "kill"]
    assert lines[0].startswith("| kill (a sample) |")
