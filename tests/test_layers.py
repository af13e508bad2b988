"""Arrows point down only, and what parses options imports nothing heavy."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dermssl", "pretrain", "finetune", "probe", "compare")
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}
MAY_IMPORT = {  # beside itself
    "dermssl": set(),
    "pretrain": {"dermssl"},
    "finetune": {"dermssl"},
    "probe": {"dermssl"},
    "compare": {"dermssl", "pretrain", "finetune", "probe"},
}
WORDS = {"compare.study.factors", "compare.study.rules"}  # what the options of a study are made of
ROOMS = ("statistics", "tables", "page")  # of compare, each above the one before
LIGHT = {"tyro", "yaml"} | set(sys.stdlib_module_names)
PARSING = [name for name in MODULES if name.endswith(("config", ".__main__"))] + [
    "dermssl.flags",
    "dermssl.errors",
    "dermssl.data.sources",
    "finetune.predict",
    "finetune.ensemble",
    "finetune.export",
    "finetune.preview",
]


@cache
def imports(name: str, *, everywhere: bool) -> frozenset[str]:
    """What a module imports; only what its import runs, unless `everywhere`."""
    tree = ast.parse(MODULES[name].read_text())
    nodes = ast.walk(tree) if everywhere else at_import(tree)
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by a relative name"
            origin = str(node.module)
            found |= {full if (full := f"{origin}.{alias.name}") in MODULES else origin for alias in node.names}
    return frozenset(found)


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: those of functions and of `if __name__` do not."""
    yield node
    for child in ast.iter_child_nodes(node):
        of_main = isinstance(child, ast.If) and "__name__" in ast.unparse(child.test)
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not of_main:
            yield from at_import(child)


def reached(name: str) -> set[str]:
    """Every module that importing `name` imports, those of other people by their first name."""
    found: set[str] = set()
    ahead = [name]
    while ahead:
        here = ahead.pop()
        for other in imports(here, everywhere=False):
            ours = other in MODULES
            label = other if ours else other.partition(".")[0]
            if label not in found:
                found.add(label)
                ahead += [other] if ours else []
    return found


@pytest.mark.parametrize("name", MODULES)
def test_arrows_point_down_only(name: str) -> None:
    package = name.partition(".")[0]
    others = {other.partition(".")[0] for other in imports(name, everywhere=True)} & set(PACKAGES)
    assert others - {package} <= MAY_IMPORT[package]


@pytest.mark.parametrize("name", PARSING)
def test_parsing_options_imports_nothing_heavy(name: str) -> None:
    assert {other for other in reached(name) if other not in MODULES} <= LIGHT


@pytest.mark.parametrize("name", [name for name in MODULES if name.endswith((".config", "_config"))])
def test_a_config_stands_at_the_bottom_of_its_package(name: str) -> None:
    package = name.partition(".")[0]
    below = {other for other in imports(name, everywhere=True) if other.partition(".")[0] == package}
    assert {other for other in below - WORDS if not other.endswith("_config")} == set()


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_nothing_below_the_run_imports_the_run(package: str) -> None:
    importers = {name for name in MODULES if f"{package}.run" in imports(name, everywhere=True)}
    top = {f"{package}.__main__", f"{package}.commands"} & set(MODULES)
    assert {name for name in importers if name.startswith(package)} <= top
    assert importers & top


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("compare.") and name.count(".") > 1])
def test_the_rooms_of_compare_stand_on_one_another(name: str) -> None:
    room = name.split(".")[1]
    others = {other.split(".")[1] for other in imports(name, everywhere=True) if other.count(".") > 1}
    reached_rooms = others & set(ROOMS)
    assert not others & {"run", "commands"}
    assert room not in ROOMS or reached_rooms <= set(ROOMS[: ROOMS.index(room) + 1])
    assert room not in ROOMS or not others & {"execution", "overview"}


@pytest.mark.parametrize("name", MODULES)
def test_a_file_is_named_by_what_it_holds(name: str) -> None:
    assert name.rpartition(".")[2] not in {"utils", "util", "helpers", "helper", "base", "common", "misc", "manager"}


def test_the_graph_of_imports_is_seen_at_all() -> None:
    assert {"torch", "dermssl.weights.encoder", "dermssl.files"} <= reached("finetune.run")
