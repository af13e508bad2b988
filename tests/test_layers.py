"""The house is made of rooms: what stands on what, how many files a room holds, and that a name has one home."""

import ast
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = {  # what each stands on, beside itself; and its rooms and files, each standing on those before it alone
    "dermssl": (
        [],
        ["signals", "log", "system_errors", "errors", "bounds", "wording", "parallel", "parts", "files",
         "places", "web_page", "shipped", "yaml_words", "help", "flag_types", "flags", "runs", "weights",
         "synthetic", "download", "exchange", "training", "data", "scores", "appearance", "splits", "features",
         "check", "doctor", "completion", "__main__", "console"],
    ),
    "pretrain": (
        ["dermssl"],
        [
            "config", "recipes", "dense_recipes", "known_methods", "pool", "pull", "views", "shared", "methods",
            "doctor", "run", "__main__",
        ],
    ),
    "finetune": (
        ["dermssl"],
        ["options", "augmentation", "losses", "scoring", "page", "preview", "network", "export", "predict", "training",
         "run", "ensemble", "__main__"],
    ),
    "probe": (
        ["dermssl"],
        ["config", "features", "given_features", "scores", "maps", "embed", "remarks", "run", "__main__"],
    ),
    "compare": (
        ["dermssl", "pretrain", "finetune", "probe"],
        ["text", "study", "statistics", "estimates", "records", "tables", "command_line", "execution", "figures",
         "forecast", "page", "publish", "status", "run", "commands", "__main__"],
    ),
}  # fmt: skip
MOST = 18  # Python files in a folder
DOORS = {"run", "main"}  # what every command has, each its own
VAGUE = {"utils", "util", "helpers", "helper", "base", "common", "misc", "manager"}
LIGHT = {"yaml"} | set(sys.stdlib_module_names)
LIGHT_TOO = {
    "dermssl.flags",
    "dermssl.errors",
    "dermssl.log",
    "dermssl.system_errors",
    "dermssl.bounds",
    "dermssl.places",
    "dermssl.shipped",
    "dermssl.console",
    "dermssl.doctor.run",
    "dermssl.data.sources",
    "finetune.ensemble",
    "compare.command_line",
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


@cache
def tree(name: str) -> ast.Module:
    """The module as its syntax."""
    return ast.parse(MODULES[name].read_text())


@cache
def imports(name: str, *, everywhere: bool) -> frozenset[str]:
    """What a module imports; only what its import runs, unless `everywhere`."""
    nodes = ast.walk(tree(name)) if everywhere else at_import(tree(name))
    modules = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by a relative name"
            origin = str(node.module)
            modules |= {full if (full := f"{origin}.{alias.name}") in MODULES else origin for alias in node.names}
    return frozenset(modules)


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is imported: those of functions and of `if __name__` do not."""
    yield node
    for child in ast.iter_child_nodes(node):
        of_main = isinstance(child, ast.If) and "__name__" in ast.unparse(child.test)
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not of_main:
            yield from at_import(child)


def ours(name: str) -> set[str]:
    """The modules of this project that a module imports anywhere."""
    return set(imports(name, everywhere=True)) & set(MODULES)


def reached(name: str) -> set[str]:
    """Every module that importing `name` imports, those of other people by their first name."""
    labels: set[str] = set()
    ahead = [name]
    while ahead:
        for other in imports(ahead.pop(), everywhere=False):
            label = other if other in MODULES else other.partition(".")[0]
            if label not in labels:
                labels.add(label)
                ahead += [other] if other in MODULES else []
    return labels


def package_of(name: str) -> str:
    """The package that a module is in."""
    return name.partition(".")[0]


def room_of(name: str) -> str:
    """The room, or the file at the root of its package, that a module is; empty for the package itself."""
    return [*name.split("."), ""][1]


def stands(name: str) -> int:
    """The place of a module's room in the order of its package; the package itself stands below all."""
    rooms = PACKAGES[package_of(name)][1]
    return rooms.index(room_of(name)) if room_of(name) else -1


def test_every_room_and_file_stands_in_the_order() -> None:
    there = {(package_of(name), room_of(name)) for name in MODULES if room_of(name)}
    assert there == {(package, room) for package, (_, rooms) in PACKAGES.items() for room in rooms}


def test_arrows_between_packages_point_down_only() -> None:
    up = {
        (name, other)
        for name in MODULES
        for other in ours(name)
        if package_of(other) not in [package_of(name), *PACKAGES[package_of(name)][0]]
    }
    assert up == set()


def test_arrows_between_rooms_point_down_only() -> None:
    up = {
        (name, other)
        for name in MODULES
        for other in ours(name)
        if package_of(name) == package_of(other) and stands(other) > stands(name)
    }
    assert up == set()


def test_no_circle_of_modules() -> None:
    left = {name: ours(name) - {name} for name in MODULES}
    while free := [name for name, below in left.items() if not below & left.keys()]:
        for name in free:
            del left[name]
    assert left == {}


def test_no_folder_holds_more_files_than_one_sees_at_a_glance() -> None:
    folders = Counter(path.parent for top in (*PACKAGES, "tests", "benchmarks") for path in (ROOT / top).rglob("*.py"))
    assert {str(folder.relative_to(ROOT)): count for folder, count in folders.items() if count > MOST} == {}


def test_a_public_name_has_one_home() -> None:
    homes = defaultdict(list)
    for name in MODULES:
        for node in tree(name).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(name)
    assert {word: where for word, where in homes.items() if len(where) > 1 and word not in DOORS} == {}


def test_options_and_doors_import_nothing_heavy() -> None:
    parsing = {
        name for name in MODULES if name.endswith(("config", ".__main__")) or name.startswith("finetune.options")
    }
    heavy = {
        name: strangers
        for name in parsing | LIGHT_TOO
        if (strangers := {other for other in reached(name) if other not in MODULES} - LIGHT)
    }
    assert heavy == {}


def test_options_stand_at_the_bottom_of_their_package() -> None:
    bottom = {"compare.study.factors", "compare.study.rules"}  # what the options of a study are made of
    options = {name for name in MODULES if name.endswith("config") or name.startswith("finetune.options")}
    above = {
        (name, other)
        for name in options
        for other in ours(name)
        if package_of(other) == package_of(name) and other not in options | bottom | LIGHT_TOO
    }
    assert above == set()


def test_a_file_is_named_by_what_it_holds() -> None:
    assert {name for name in MODULES if name.rpartition(".")[2] in VAGUE} == set()


def test_the_graph_of_imports_is_seen_at_all() -> None:
    assert {"torch", "dermssl.weights.encoder", "dermssl.files"} <= reached("finetune.run")
    assert stands("dermssl.data.images") > stands("dermssl.files") > stands("dermssl") == -1
