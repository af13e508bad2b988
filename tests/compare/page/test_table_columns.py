from pathlib import Path
from typing import Any

import pytest

from compare.page.table_columns import COLUMNS
from compare.records.study import read_study
from compare.tables.all_tables import all_tables


class Recorder(dict[str, Any]):
    """A row that has every column, and remembers which ones it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return 1.0

    def get(self, key: str, default: Any = None) -> Any:
        return self[key]

    def __contains__(self, key: object) -> bool:
        return True


@pytest.fixture(scope="module")
def headings(whole_study: Path) -> dict[str, set[str]]:
    return {name: set(table.columns) for name, table in all_tables(read_study(whole_study), draws=50).items()}


def test_every_column_of_the_report_is_one_of_its_table(headings: dict[str, set[str]]) -> None:
    strangers = {}
    for name in COLUMNS.keys() & headings.keys():
        for column in COLUMNS[name]:
            row = Recorder()
            column.text(row)
            column.by(row)
            if row.asked - headings[name]:
                strangers[name, column.title] = row.asked - headings[name]
    assert strangers == {}
