"""Vulnerabilities from planted answers and files: what is known is told, what nobody answered is never called good."""

import json
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from audit import report, vulnerabilities
from audit.vulnerabilities import CANARY, by_osv, by_pip_audit, locked, rounds

PINS = [("Near_Package", "1.5"), ("far", "2.0"), ("far", "3.0")]
BAD = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["9"]}


def told(name: str, version: str, *found: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": version, "vulns": list(found)}


def answering(monkeypatch: pytest.MonkeyPatch, *entries: dict[str, Any], stderr: str = "") -> None:
    done = SimpleNamespace(stdout=json.dumps({"dependencies": entries}) if entries else "", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)


def osv(path: Path, *events: dict[str, str], versions: tuple[str, ...] = (), **fields: Any) -> Path:
    affected = {"package": {"ecosystem": "PyPI", "name": "near-package"},
                "ranges": [{"type": "ECOSYSTEM", "events": list(events)}], "versions": versions}  # fmt: skip
    path.write_text(json.dumps({"id": "PYSEC-1", "affected": [affected]} | fields))
    return path


def test_all_versions_of_the_lock_are_asked_for() -> None:
    pins = locked(report.LOCK)
    assert ("torch", "2.13.0") in pins
    assert sorted(pin for some in rounds(pins) for pin in some) == sorted(pins)


def test_no_round_holds_a_package_twice() -> None:
    assert [[name for name, _ in some] for some in rounds(PINS)] == [["Near_Package", "far"], ["far"]]


def test_what_the_service_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, told(*CANARY, BAD), told("far", "2.0", BAD))
    answer = by_pip_audit(PINS[1:2])
    assert (answer.known, answer.unanswered) == (["far 2.0: PYSEC-1, CVE-1; fixed in 9"], "")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "pip-audit said: ConnectionError: no route"),
        ([told(*CANARY, BAD), {"name": "far", "skip_reason": "not found"}], "knows nothing of 1 of 1 packages"),
        ([told(*CANARY), told("far", "2.0")], "knows no vulnerability of django"),
        ([told("far", "2.0")], "knows no vulnerability of django"),
    ],
)
def test_a_service_that_does_not_answer_is_no_good_news(
    entries: list[dict[str, Any]], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, *entries, stderr="Traceback\nConnectionError: no route\n")
    answer = by_pip_audit(PINS[1:2])
    assert reason in answer.unanswered
    assert "NOT all looked up" in report.told(answer)[0]


@pytest.mark.parametrize(
    ("events", "affected"),
    [
        ([{"introduced": "0"}], True),
        ([{"introduced": "0"}, {"fixed": "1.5"}], False),
        ([{"introduced": "0"}, {"fixed": "1.10"}], True),
        ([{"introduced": "1.5"}, {"fixed": "1.6"}], True),
        ([{"introduced": "1.6"}], False),
        ([{"introduced": "0"}, {"last_affected": "1.5"}], True),
        ([{"introduced": "0"}, {"last_affected": "1.4"}], False),
        ([{"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "1.3"}, {"fixed": "1.7"}], True),
        ([{"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "1.3"}, {"fixed": "1.4"}], False),
    ],
)
def test_a_version_lies_in_the_ranges_of_osv(events: list[dict[str, str]], affected: bool, tmp_path: Path) -> None:
    assert bool(by_osv(osv(tmp_path / "a.json", *events), PINS).known) == affected


def test_a_zip_of_osv_is_read_and_what_was_withdrawn_left_out(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(osv(tmp_path / "a.json", versions=("1.5",)), "a.json")
        archive.write(osv(tmp_path / "b.json", versions=("1.5",), withdrawn="2026-01-01"), "b.json")
    assert len(by_osv(tmp_path / "all.zip", PINS).known) == 1


def test_what_is_accepted_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vulnerabilities, "ACCEPTED", {"PYSEC-1": "we never call it"})
    assert by_osv(osv(tmp_path / "a.json", versions=("1.5",)), PINS).known[0].endswith("accepted: we never call it")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "7", "[1]", '{"affected": 3}', '{"id": "x", "affected": []}', "[" * 10**5]
)
def test_a_file_that_is_none_of_osv_ends_in_one_line(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text(content)
    assert report.audit(str(tmp_path / "x.json")) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "x.json: no vulnerabilities as OSV writes them" in said


def test_a_known_vulnerability_of_the_lock_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "distributions", tuple)
    monkeypatch.setattr(report, "judged", lambda _: [])
    affected = {"package": {"ecosystem": "PyPI", "name": "torch"}, "versions": ["2.13.0"]}
    (tmp_path / "x.json").write_text(json.dumps([{"id": "PYSEC-2", "affected": [affected]}]))
    assert report.audit(str(tmp_path / "x.json")) == 1
    assert "vulnerable: torch 2.13.0: PYSEC-2; fixed in no version yet" in capsys.readouterr().out
