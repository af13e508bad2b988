"""Versions and what packages demand of them (PEP 440 and 508), as far as our own dependencies need it."""

import re
from importlib import metadata
from math import inf
from pathlib import Path
from typing import NamedTuple

import dermssl

VERSION = re.compile(
    r"v?(?:(?P<epoch>\d+)!)?(?P<release>\d+(?:\.\d+)*)"
    r"(?:[._-]?(?P<stage>a|b|c|rc|alpha|beta|pre|preview)[._-]?(?P<pre>\d*))?"
    r"(?:[._-]?(?P<post>post|rev|r)[._-]?(?P<number>\d*)|-(?P<dash>\d+))?"
    r"(?:[._-]?(?P<dev>dev)[._-]?(?P<night>\d*))?(?:\+(?P<local>.*))?",
    re.IGNORECASE,
)
REQUIREMENT = re.compile(r"\s*([\w.-]+)\s*(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?", re.DOTALL)
STAGES = {"a": 0, "alpha": 0, "b": 1, "beta": 1, "c": 2, "rc": 2, "pre": 2, "preview": 2}
RELEASED = 3
CHECKOUT = Path(dermssl.__file__).resolve().parents[1] / "pyproject.toml"

Order = tuple[int, tuple[int, ...], tuple[float, int], int, float]


class Requirement(NamedTuple):
    """A package, and the versions of it that will do: `>=2.6,<3`."""

    name: str
    versions: str

    @property
    def typed(self) -> str:
        """As an installer takes it, in quotes, for the shell would read `>`."""
        return f"'{self.name}{self.versions}'"


def version_order(version: str) -> Order:
    """What versions are sorted by: epoch, release without zeros at its end, stage, post and development release.

    Raises:
        ValueError: If it is no version.
    """
    match = VERSION.fullmatch(version.strip())
    if match is None:
        raise ValueError(f"'{version}' is no version")
    release = tuple(int(part) for part in match["release"].split("."))
    while release and release[-1] == 0:
        release = release[:-1]
    is_post = match["post"] or match["dash"]
    post = int(match["number"] or match["dash"] or 0) if is_post else -1
    stage = STAGES[match["stage"].lower()] if match["stage"] else -1 if match["dev"] and not is_post else RELEASED
    night = int(match["night"] or 0) if match["dev"] else inf
    return int(match["epoch"] or 0), release, (stage, int(match["pre"] or 0)), post, night


def fits(version: str, versions: str) -> bool:
    """Whether a version is one of `>=2.5,!=2.6.2`, or of `==2.13.*`; `~=` and builds (`+cu130`) as in PEP 440."""
    return all(fits_clause(version, clause.strip()) for clause in versions.split(",") if clause.strip())


def fits_clause(version: str, clause: str) -> bool:
    """The same for one comparison."""
    match = re.fullmatch(r"(~=|===?|!=|<=|>=|<|>)\s*(\S+)", clause)
    if match is None:
        raise ValueError(f"'{clause}' compares no version")
    sign, bound = match[1], match[2]
    if bound.endswith(".*"):
        return begins_as(version, bound[:-2]) == (sign != "!=")
    if sign == "~=":
        return version_order(version) >= version_order(bound) and begins_as(version, bound.rpartition(".")[0])
    ours, theirs = version_order(version), version_order(bound)
    answers = {"<": ours < theirs, "<=": ours <= theirs, ">": ours > theirs, ">=": ours >= theirs}
    return answers.get(sign, (ours == theirs) == (sign != "!="))


def begins_as(version: str, start: str) -> bool:
    """Whether the release of a version begins with these numbers."""
    wanted = [int(part) for part in start.split(".")]
    match = VERSION.fullmatch(version.strip())
    numbers = [int(part) for part in match["release"].split(".")] if match else []
    return (numbers + [0] * len(wanted))[: len(wanted)] == wanted


def parsed_requirement(line: str) -> Requirement | None:
    """The requirement of a line such as `torch (==2.13.0)`; None where it holds under a condition alone."""
    match = REQUIREMENT.fullmatch(line)
    if match is None or match[3]:
        return None
    return Requirement(match[1].lower().replace("_", "-"), match[2].replace(" ", ""))


def own_requirements() -> list[Requirement]:
    """What dermssl demands: by the pyproject.toml of a checkout, else by what its installer has kept."""
    lines: list[str] = []
    if CHECKOUT.is_file():
        import tomllib  # of Python 3.11, and an older one shall be told so

        lines = tomllib.loads(CHECKOUT.read_text(encoding="utf-8"))["project"]["dependencies"]
    else:
        lines = metadata.requires("dermssl") or []
    return [requirement for line in lines if (requirement := parsed_requirement(line)) is not None]


def installed_version(name: str) -> str:
    """The version of a package by what its installer has kept; nothing where it is not there, or that is damaged."""
    try:
        return metadata.version(name) or ""
    except (metadata.PackageNotFoundError, KeyError):
        return ""


def reinstalling(*packages: str) -> str:
    """The command that puts packages in anew; uv, for pip can pair a torch with a torchvision that does not fit it."""
    return f"python -m pip install uv && python -m uv pip install --reinstall {' '.join(packages)}"
