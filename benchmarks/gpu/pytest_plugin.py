"""A plugin of pytest that writes down how each test ended, as soon as it has."""

import json
import os
from pathlib import Path

import pytest

RESULTS = "DERMSSL_GPU_RESULTS"  # the variable that names the file


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """A line for each test that was run, and for each that failed or was skipped before or after."""
    if report.when != "call" and report.passed:
        return
    line = {"test": report.nodeid, "outcome": report.outcome, "seconds": report.duration,
            "reason": reason_of(report), "figures": dict(report.user_properties)}  # fmt: skip
    with Path(os.environ[RESULTS]).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def reason_of(report: pytest.TestReport) -> str:
    """Why a test failed or was skipped, in a line; nothing where it passed."""
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):  # of a skip: file, line, reason
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return " ".join(str(crash.message if crash is not None else report.longrepr).split())[:300]
