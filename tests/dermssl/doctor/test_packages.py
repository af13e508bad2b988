"""Packages that are missing, of other versions, or over one another are told with the command that mends it."""

import sys
from pathlib import Path

import pytest
from planted_machine import only, plant_module, plant_package, states

from dermssl.doctor import packages, versions
from dermssl.doctor.versions import Requirement


@pytest.fixture
def ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which packages are found before all others."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_this_installation_is_good() -> None:
    assert states(packages.examine_packages()) == ["good"]
    assert only(packages.examine_pair).state == "good"
    assert [*packages.examine_albumentations(), *packages.examine_opencv(), *packages.examine_shadows()] == []


def test_a_torchvision_of_another_torch_is_a_fault(ahead: Path) -> None:
    plant_package(ahead, "torchvision", "0.21.0", "numpy", "torch (==2.6.0)")
    seen = only(packages.examine_pair)
    assert seen.state == "fault"
    assert "torchvision 0.21.0 belongs to torch 2.6.0" in seen.text
    assert seen.remedy.endswith("--reinstall torch==2.13.0 torchvision")


def test_a_build_of_the_same_version_belongs_to_it(ahead: Path) -> None:
    plant_package(ahead, "torch", "2.13.0+cpu")
    assert only(packages.examine_pair).state == "good"


@pytest.mark.parametrize("version", ["2.6.2", "2.4"])
def test_a_version_out_of_bounds_is_a_fault(version: str, ahead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [one for one in versions.own_requirements() if one.name in ("pytorch-lightning", "numpy")]
    monkeypatch.setattr(packages, "own_requirements", lambda: wanted)
    plant_package(ahead, "pytorch-lightning", version)
    seen = only(packages.examine_packages)
    assert (seen.state, version in seen.text) == ("fault", True)
    assert "'pytorch-lightning>=2.6,!=2.6.2,!=2.6.3'" in seen.remedy


def test_packages_that_are_missing_are_one_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Requirement("nobody-has-this", ">=1"), Requirement("nor-this", ""), Requirement("numpy", "")]
    monkeypatch.setattr(packages, "own_requirements", lambda: wanted)
    seen = only(packages.examine_packages)
    assert seen.text == "Not installed are nobody-has-this, nor-this."
    assert "'nobody-has-this>=1' 'nor-this'" in seen.remedy


def test_damaged_metadata_are_a_package_that_is_missing(ahead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "own_requirements", lambda: [Requirement("numpy", ">=1.26")])
    (ahead / "numpy-2.0.dist-info").mkdir()
    (ahead / "numpy-2.0.dist-info" / "METADATA").write_text("")
    assert versions.installed_version("numpy") == ""
    assert "Not installed is numpy" in only(packages.examine_packages).text


def test_albumentationsx_is_a_fault(ahead: Path) -> None:
    plant_package(ahead, "albumentationsx", "2.1.0")
    seen = only(packages.examine_albumentations)
    assert seen.state == "fault"
    assert "AGPL" in seen.text
    assert seen.remedy.startswith("python -m pip uninstall --yes albumentationsx albumentations && ")
    assert seen.remedy.endswith("'albumentations>=2.0.8,<2.1'")


def test_a_second_opencv_is_a_note(ahead: Path) -> None:
    plant_package(ahead, "opencv-python", "4.12.0")
    assert only(packages.examine_opencv).state == "note"


def test_a_folder_that_hides_a_library_is_a_fault(ahead: Path) -> None:
    plant_module(ahead, "torch", "raise SystemExit")
    seen = only(packages.examine_shadows)
    assert (seen.state, str(ahead / "torch") in seen.text) == ("fault", True)


def test_another_python_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    assert next(packages.examine_python()).state == "fault"


def test_a_python_that_keeps_no_bytecode_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert [seen.remedy for seen in packages.examine_python()][-1] == "unset PYTHONDONTWRITEBYTECODE"
