"""What metadata says of licences, planted: no GPL and no unknown licence comes in unseen."""

from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from audit import licences
from audit.licences import TOOL, Licence, Package, judged, licence_of, lines


class Planted(Distribution):
    """A package that states what it is told to."""

    def __init__(self, name: str, *fields: tuple[str, str], requires: tuple[str, ...] = ()) -> None:
        self.fields = Message()
        for key, value in (("Name", name), *fields):
            self.fields[key] = value
        self._requires = list(requires)

    @property
    def metadata(self) -> Message:  # type: ignore[override]
        return self.fields

    @property
    def requires(self) -> list[str]:
        return self._requires

    def read_text(self, filename: str) -> None:
        return None

    def locate_file(self, path: object) -> Path:
        return Path(str(path))


PRODUCT = Planted("dermssl", ("License-Expression", "MIT"), ("Provides-Extra", "ray"),
                  requires=("near>=1", "far; extra == 'ray'"))  # fmt: skip


def one(*fields: tuple[str, str], name: str = "near") -> Package:
    return next(package for package in judged([PRODUCT, Planted(name, *fields)]) if package.name == name)


@pytest.mark.parametrize(
    ("said", "licence"),
    [
        ("MIT", Licence.FREE),
        ("Apache-2.0 WITH LLVM-exception AND (BSD-2-Clause OR GPL-2.0-only)", Licence.FREE),
        ("GPL-3.0-or-later", Licence.FORBIDDEN),
        ("MIT AND GPL-2.0-only", Licence.FORBIDDEN),
        ("MIT AND (BSD-3-Clause AND (AGPL-3.0-only OR SSPL-1.0))", Licence.FORBIDDEN),
        ("MIT OR GPL-2.0-only AND AGPL-3.0-only", Licence.FREE),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", Licence.TOLD),
        ("LGPL-2.1-or-later", Licence.TOLD),
        ("GNU Lesser General Public License v3 (LGPLv3)", Licence.TOLD),
        ("GNU LIBRARY GENERAL PUBLIC LICENSE", Licence.TOLD),
        ("GNU General Public License v2 or later (GPLv2+)", Licence.FORBIDDEN),
        ("GNU Affero General Public License v3", Licence.FORBIDDEN),
        ("Mozilla Public License 2.0 (MPL 2.0)", Licence.TOLD),
        ("CC-BY-NC-4.0", Licence.FORBIDDEN),
        ("BSD 3-Clause License", Licence.FREE),
        ("Permission is limited", Licence.UNKNOWN),
        ("UNKNOWN", Licence.UNKNOWN),
        ("", Licence.UNKNOWN),
    ],
)
def test_a_licence_is_known_by_its_words(said: str, licence: Licence) -> None:
    assert licence_of(said) == licence


def test_the_expression_is_believed_before_the_older_fields() -> None:
    assert not one(("License-Expression", "MIT"), ("License", "GPL-3.0")).is_refused


def test_classifiers_tell_where_a_text_stands_for_the_licence() -> None:
    package = one(
        ("License", "Copyright (c) 2026\nPermission"), ("Classifier", "License :: OSI Approved :: MIT License")
    )
    assert package.licence == Licence.FREE


def test_two_classifiers_hold_both() -> None:
    both = [
        ("Classifier", f"License :: OSI Approved :: {name}") for name in ("MIT License", "GNU General Public License")
    ]
    assert one(*both).is_refused


@pytest.mark.parametrize("fields", [[], [("License", "GPL-3.0")], [("License", "mine")]])
def test_a_forbidden_or_unknown_licence_is_refused_and_named(fields: list[tuple[str, str]]) -> None:
    package = one(*fields)
    assert package.is_refused
    assert "refused: near (linked) states" in lines([package])[-1]


def test_a_reason_lets_a_package_stay_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(licences.REASONS, "near", "its authors sold us another licence")  # type: ignore[index]
    package = one(("License", "GPL-3.0"))
    assert not package.is_refused
    assert "by a reason: near: its authors sold us another licence" in lines([package])


@pytest.mark.parametrize(("name", "refused"), [("near", True), ("far", True), ("apart", False)])
def test_a_tool_of_development_is_one_only_while_nothing_links_it(
    name: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(licences.REASONS, name, TOOL)  # type: ignore[index]
    assert one(("License", "GPL-3.0"), name=name).is_refused == refused


def test_nothing_that_is_installed_is_refused() -> None:
    assert [line for line in lines(judged(distributions())) if line.startswith("refused")] == []
