"""Every option of every command stands in a group of the help, wherever its class declares it."""

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from test_document_commands import parse
from test_help import CONFIGS

from dermssl.help.groups import ALONE, GROUPS, MEMBERS, group_of, grouped, usual_options
from pretrain.config import PretrainConfig
from pretrain.known_methods import METHODS, recipe_of

SHORT = 10  # options that one list may hold
EVERY: dict[str, type[Any]] = CONFIGS | {f"pretrain --method {method}": recipe_of(method) for method in METHODS}
every_command = pytest.mark.parametrize("command", EVERY)


@every_command
def test_every_option_stands_in_one_group(command: str) -> None:
    config = EVERY[command]
    members = [name for group in grouped(config).values() for name in group]
    assert sorted(members) == sorted(field.name for field in dataclasses.fields(config))


@every_command
def test_only_a_short_help_is_one_list(command: str) -> None:
    assert len(grouped(EVERY[command]).get(ALONE, [])) <= SHORT


@every_command
def test_the_usual_options_are_options(command: str) -> None:
    config = EVERY[command]
    usual, names = usual_options(config), [field.name for field in dataclasses.fields(config)]
    assert [name for name in usual if name not in names] == []
    assert len({*usual}) == len(usual)


def test_the_groups_are_those_of_the_help() -> None:
    assert {*MEMBERS} <= {*GROUPS}


def test_what_people_type_first_stands_first() -> None:
    tuning = grouped(CONFIGS["finetune"])
    assert [*tuning][:3] == ["weights", "data", "network"]
    assert tuning["weights"][:2] == ["init", "encoder"]
    assert tuning["network"][0] == "decoder"
    assert grouped(CONFIGS["pretrain"])["method"][0] == "method"


@dataclass(frozen=True, kw_only=True)
class Added(PretrainConfig):
    """A method, with an option that nobody has placed."""

    surprise: int = 3
    """A number."""


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """A command, with one option that the table knows and one that it does not."""

    REST: ClassVar[str] = "training"

    out: Path = Path("out")
    """A folder."""
    surprise: int = 3
    """A number."""


def test_a_new_option_lands_in_a_group_by_itself() -> None:
    assert group_of(Added, "surprise") == "method"
    assert "surprise" in usual_options(Added)
    assert group_of(Added, "lr") == "training"
    assert [group_of(Mixed, name) for name in ("out", "surprise")] == ["output", "training"]


@pytest.mark.parametrize(
    "line", sorted({line for config in EVERY.values() for line in getattr(config, "EXAMPLES", ())})
)
def test_the_examples_of_the_help_parse(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "configs").symlink_to(Path(__file__).parents[3] / "configs")
    monkeypatch.chdir(tmp_path)
    parse(*(word for word in shlex.split(line)[2:] if word != "--help-all"))
