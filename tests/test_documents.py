"""The documents are true: what they link to exists, and so do the files, names and rooms that they tell of."""

import ast
import re
from pathlib import Path
from pkgutil import resolve_name

import pytest
from pages import (
    ARCHITECTURE,
    CONTRIBUTING,
    DOCS,
    PAGES,
    README,
    ROOT,
    SECURITY,
    anchors,
    links,
    rows,
    spans,
    typed,
    words,
)
from test_layers import PACKAGES

FOLDERS = (*PACKAGES, "configs", "docs", "tests", "notebooks", "benchmarks", "pictures")
ROOMS = {str(path.parent.relative_to(ROOT)) for package in PACKAGES for path in (ROOT / package).rglob("__init__.py")}
TABLE = {row[0].strip("`"): row for row in rows(ARCHITECTURE) if len(row) == 3 and row[0].strip("`") in ROOMS}
"""Rows of the rooms, in the order of the page."""
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


@every_page
def test_every_relative_link_leads_to_a_file_and_its_anchor_to_a_heading(path: Path) -> None:
    broken = []
    for link in links(path):
        place, _, anchor = link.partition("#")
        target = path.parent / place if place else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@every_page
def test_every_file_that_is_named_exists(path: Path) -> None:
    named = [word for word in words(path) if re.fullmatch(rf"(?:{'|'.join(FOLDERS)})/[\w./-]*\w", word)]
    real = [word for word in named if not re.search(r"[A-Z]{3}", word)]
    assert [word for word in real if not (ROOT / word).exists()] == []


@every_page
def test_every_module_and_function_that_is_named_exists(path: Path) -> None:
    dotted = [match[0] for word in words(path) if (match := re.match(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+", word))]
    dotted += [
        ".".join(pair)
        for pair in re.findall(
            r"from ((?:compare|dermssl|finetune|pretrain|probe)[\w.]*) import (\w+)", path.read_text()
        )
    ]
    real = [name for name in dotted if not name.endswith((".sbatch", ".yaml"))]
    assert [name for name in real if not resolves(name)] == []


def resolves(name: str) -> bool:
    """Whether `dermssl.runs.seal.broken` is a module or what a module has."""
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


@every_page
def test_what_is_said_to_stand_in_a_file_stands_in_it(path: Path) -> None:
    """Such as `METHODS` (`pretrain/known_methods.py`), or `Counts` in `dermssl/scores/counts.py`."""
    pairs = re.findall(r"`(\w+)`\s+(?:in\s+|\()`([\w/]+\.py)`", path.read_text())
    assert [pair for pair in pairs if not re.search(rf"\b{pair[0]}\b", (ROOT / pair[1]).read_text())] == []


def test_the_index_names_every_document() -> None:
    index = DOCS / "README.md"
    assert {path.name for path in DOCS.glob("*.md")} - {index.name} - set(links(index)) == set()


@pytest.mark.parametrize("page", [README, DOCS / "README.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_the_page_on_security_is_found(page: Path) -> None:
    assert SECURITY.name in {Path(link).name for link in links(page)}


def test_every_path_that_contributing_names_exists() -> None:
    inside = [path.name for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    named = [
        span for span in spans(CONTRIBUTING) if re.fullmatch(r"[\w.-]*/[\w./-]*|[\w-]+\.(?:py|md|toml|lock|yaml)", span)
    ]
    ours = [
        span for span in named if not span.startswith(("../", ".venv/", "build/"))
    ]  # beside the checkout, and what make writes
    assert [span for span in ours if not (ROOT / span).exists() and span not in inside] == []
    assert len(ours) > 5


def test_every_room_has_a_row_and_every_row_a_room() -> None:
    listed = [row[0].strip("`") for row in rows(ARCHITECTURE) if row[0].strip("`").partition("/")[0] in PACKAGES]
    assert sorted(listed) == sorted(ROOMS)


def test_the_rows_of_the_rooms_stand_in_the_order_of_the_rooms() -> None:
    order = [f"{package}/{room}" for package, (_, rooms_and_files) in PACKAGES.items() for room in rooms_and_files]
    assert [room for room in TABLE if "/" in room] == [room for room in order if room in ROOMS]


def test_a_room_stands_on_the_rooms_that_its_row_names() -> None:
    differ = {}
    for room in (room for room in ROOMS if "/" in room):
        package = room.partition("/")[0]
        below = {f"{package}/{name}" for name in re.findall(r"`(\w+)`", TABLE[room][2])}
        differ[room] = below ^ {name for name in imported(room) if name.partition("/")[0] == package and "/" in name}
    assert {room: names for room, names in differ.items() if names} == {}


def imported(room: str) -> set[str]:
    """The other rooms whose modules those of a room import."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / room).glob("*.py")]
    modules = [
        f"{node.module}.{alias.name}"
        for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    ]  # fmt: skip
    parents = {str(parent) for module in modules for parent in Path(module.replace(".", "/")).parents}
    return (parents & ROOMS) - {room}


@every_page
def test_a_page_names_no_place_of_a_machine_and_no_package_index(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"(?<![\w.:/~])/(?:home|root|work|tmp|Users|mnt)/", text) == []
    assert re.findall(r"index-url|find-links|/simple\b", text) == []


@every_page
def test_every_make_target_that_is_named_exists(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = {word for line in typed(path) if line.startswith("make ") for word in line.split()[1:] if "=" not in word}
    assert wanted - targets == set()
