"""Findings reach the documents from the tables, and nothing else in the documents moves."""

from pathlib import Path

import pytest

from compare.publish.documents import fill_between_markers
from dermssl.errors import UserError


def test_only_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("above\n<!-- findings: begin -->\nold\n<!-- findings: end -->\nbelow\n")
    fill_between_markers(page, "findings", "new")
    assert page.read_text() == "above\n<!-- findings: begin -->\nnew\n<!-- findings: end -->\nbelow\n"


def test_filling_twice_is_filling_once(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("<!-- findings: begin -->\n<!-- findings: end -->\n")
    fill_between_markers(page, "findings", "new")
    once = page.read_text()
    fill_between_markers(page, "findings", "new")
    assert page.read_text() == once


def test_a_page_without_markers_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("no place for a finding\n")
    with pytest.raises(UserError, match=r"README.md: has no '<!-- findings: begin -->'"):
        fill_between_markers(page, "findings", "new")
    assert page.read_text() == "no place for a finding\n"
