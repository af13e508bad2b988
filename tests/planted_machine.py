"""Faults to plant: packages that only their metadata know of, libraries that break, programs that answer."""

from collections.abc import Iterable
from pathlib import Path

from dermssl.doctor.observation import Examination, Observation


def plant_package(folder: Path, name: str, version: str, *requires: str) -> None:
    """Metadata of a package, as an installer leaves them."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def plant_module(folder: Path, name: str, code: str) -> None:
    """A library of this code."""
    (folder / name).mkdir(parents=True)
    (folder / name / "__init__.py").write_text(code)


def plant_program(folder: Path, name: str, code: str) -> None:
    """A program of the shell."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{code}\n")
    (folder / name).chmod(0o755)


def states(seen: Iterable[Observation]) -> list[str]:
    return [observation.state for observation in seen]


def only(examine: Examination) -> Observation:
    """The one thing that an examination sees."""
    (observation,) = examine()
    return observation
