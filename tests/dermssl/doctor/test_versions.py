"""Versions are compared as packaging does it, which the doctor cannot ask."""

from itertools import product

import pytest
from packaging.requirements import Requirement as Theirs
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from dermssl.doctor.versions import fits, own_requirements, parsed_requirement, version_order

VERSIONS = (
    "0.21", "2.5.9", "2.6", "2.6.0", "2.6.0+cu130", "2.6.1", "2.6.0rc1", "2.6.0.dev20250101", "2.6.0a2", "2.6.0b1",
    "2.6.post1", "2.6.2", "2.6.10", "2.13.0", "3", "1!0.1", "2.6.0rc1.dev3",
)  # fmt: skip
BOUNDS = (
    ">=2.6", ">2.5.9", "<=2.6.2", "<2.13", "==2.6.0", "==2.6.*", "!=2.6.*", "!=2.6.2,!=2.6.10", "~=2.6.1", "~=2.5",
    ">=2.6,<3", ">=2.0.8,<2.1", "",
)  # fmt: skip


def test_versions_are_sorted_as_packaging_sorts_them() -> None:
    public = {version: Version(Version(version).public) for version in VERSIONS}
    wrong = [
        pair
        for pair in product(VERSIONS, VERSIONS)
        if (version_order(pair[0]) < version_order(pair[1])) != (public[pair[0]] < public[pair[1]])
    ]
    assert wrong == []


def test_bounds_hold_as_packaging_holds_them() -> None:
    # Of releases alone: packaging passes over those that come before or behind one, which nobody forbids here.
    released = [version for version in VERSIONS if not Version(version).is_prerelease and "post" not in version]
    pairs = [*product(released, BOUNDS)]
    assert [pair for pair in pairs if fits(*pair) != SpecifierSet(pair[1]).contains(pair[0])] == []


@pytest.mark.parametrize(
    "line", ["torch (==2.13.0)", "torch>=2.6", "pillow (!=8.3.*,>=5.3.0)", "numpy", "uvicorn[standard] >=0.2"]
)
def test_a_requirement_is_read_as_packaging_reads_it(line: str) -> None:
    read = parsed_requirement(line)
    assert read is not None
    assert (read.name, SpecifierSet(read.versions)) == (Theirs(line).name, Theirs(line).specifier)


def test_what_is_required_under_a_condition_is_left_out() -> None:
    assert parsed_requirement("scipy ; extra == 'scipy'") is None


def test_a_word_is_no_version() -> None:
    with pytest.raises(ValueError, match="'newest' is no version"):
        version_order("newest")


def test_what_dermssl_demands_is_read_from_its_checkout() -> None:
    demands = {demand.name: demand.versions for demand in own_requirements()}
    assert demands["albumentations"] == ">=2.0.8,<2.1"
    assert "ray" not in demands
