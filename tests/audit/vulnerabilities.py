"""Known vulnerabilities of the locked versions: by pip-audit where its service answers, or from a file of OSV's."""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

PIP_AUDIT = "pip-audit==2.10.1"  # in an environment of its own: it brings 16 packages, one of which changes our bars
CANARY = ("django", "1.11")  # has many: a service that knows of none does not answer, whatever it says
ACCEPTED: Mapping[str, str] = {}  # an id, and why it does not reach us
SECONDS = 300
Pins = list[tuple[str, str]]


@dataclass
class Answer:
    """What is known of the pins."""

    source: str
    asked: int = 0
    unanswered: str = ""
    """Why nothing is known of some or all of them; empty where all were answered."""
    known: list[str] = field(default_factory=list)
    """A line a vulnerability."""


def locked(path: Path) -> Pins:
    """Names and versions of a lock file; a package may have one for each version of Python."""
    return re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE)


def rounds(pins: Pins) -> Iterator[Pins]:
    """The pins in lists that hold no package twice, as pip-audit wants them."""
    while pins:
        first = dict(reversed(pins))
        yield sorted(first.items())
        pins = [pin for pin in pins if pin not in first.items()]


def by_pip_audit(pins: Pins) -> Answer:
    """Asks pip-audit's service; one that cannot be had, or is not to be believed, leaves all of them unanswered."""
    answer = Answer("pip-audit", len(pins))
    for some in rounds(pins):
        answer.known += [
            line(entry["name"], entry["version"], one["id"], one.get("aliases", []), one.get("fix_versions", []))
            for entry in ask(dict([CANARY, *some]), answer) for one in entry.get("vulns", [])
        ]  # fmt: skip
        if answer.unanswered:
            break
    return answer


def ask(pins: Mapping[str, str], answer: Answer) -> list[dict[str, Any]]:
    """What pip-audit says of each pin but the canary; notes in `answer` why it says nothing."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in pins.items()))
        words = [sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", PIP_AUDIT, "pip-audit", "--no-deps",
                 "--disable-pip", "--progress-spinner", "off", "--format", "json", "-r", str(requirements)]  # fmt: skip
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=SECONDS)
            entries: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        except subprocess.TimeoutExpired:
            answer.unanswered = f"pip-audit had not ended after {SECONDS} s"
        except (ValueError, KeyError):
            answer.unanswered = f"pip-audit said: {(done.stderr.strip() or 'nothing').splitlines()[-1][:200]}"
        else:
            answer.unanswered = doubt(entries)
            return [entry for entry in entries if entry["name"] != CANARY[0]]
    return []


def doubt(entries: list[dict[str, Any]]) -> str:
    """Why an answer is not to be believed: pip-audit says 'No known vulnerabilities' of what its service never saw."""
    skipped = [entry["name"] for entry in entries if "skip_reason" in entry and entry["name"] != CANARY[0]]
    if skipped:
        return f"its service knows nothing of {len(skipped)} of {len(entries) - 1} packages (first: {skipped[0]})"
    if not any(entry["name"] == CANARY[0] and entry.get("vulns") for entry in entries):
        return f"its service knows no vulnerability of {' '.join(CANARY)}, which has many"
    return ""


def by_osv(path: Path, pins: Pins) -> Answer:
    """Reads a file of OSV's: a zip with a JSON a vulnerability, as OSV exports them, one JSON, or a list of them."""
    versions, known, read = defaultdict(list), list[str](), 0
    for name, version in pins:
        versions[canonicalize_name(name)].append(version)
    for entry in entries_of(path):
        parts = [part for part in entry["affected"] if part.get("package", {}).get("ecosystem") == "PyPI"]
        read += bool(parts)
        for affected in [] if "withdrawn" in entry else parts:
            name = canonicalize_name(affected["package"]["name"])
            known += [
                line(name, version, entry["id"], entry.get("aliases", []), fixes(affected))
                for version in versions.get(name, []) if is_affected(version, affected)
            ]  # fmt: skip
    if not read:
        raise ValueError("it holds no vulnerability of PyPI's packages")
    return Answer(f"{path} ({read} entries)", len(pins), known=known)


def entries_of(path: Path) -> Iterator[dict[str, Any]]:
    """The vulnerabilities of a file."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json"))
    else:
        content = json.loads(path.read_text())
        yield from content if isinstance(content, list) else [content]


def is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    """Whether a version is listed, or lies in a range: from `introduced` on, before `fixed`, up to `last_affected`."""
    if version in affected.get("versions", []):
        return True
    ranges = [part["events"] for part in affected.get("ranges", []) if part["type"] != "GIT"]
    try:
        return any(lies_in(Version(version), events) for events in ranges)
    except InvalidVersion:
        return True  # of a version that cannot be compared it is told, rather than not


def lies_in(version: Version, events: list[Mapping[str, str]]) -> bool:
    """Whether the last event at or below a version leaves it affected."""
    begun = [Version(event["introduced"]) for event in events if "introduced" in event]
    fixed = [Version(event["fixed"]) for event in events if "fixed" in event]
    last = [Version(event["last_affected"]) for event in events if "last_affected" in event]
    start = max((one for one in begun if one <= version), default=None)
    if start is None:
        return False
    return not any(start < one <= version for one in fixed) and not any(start <= one < version for one in last)


def fixes(affected: Mapping[str, Any]) -> list[str]:
    """The versions that are said to be free of it."""
    events = [event for part in affected.get("ranges", []) if part["type"] != "GIT" for event in part["events"]]
    return [event["fixed"] for event in events if "fixed" in event]


def line(name: str, version: str, identity: str, aliases: list[str], fixed: list[str]) -> str:
    """One vulnerability, in words; one that is accepted is told with its reason."""
    names = [identity, *aliases]
    reason = next((ACCEPTED[one] for one in names if one in ACCEPTED), "")
    end = f"accepted: {reason}" if reason else f"fixed in {', '.join(fixed) or 'no version yet'}"
    return f"{name} {version}: {', '.join(names)}; {end}"
