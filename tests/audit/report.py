"""`make audit`: licences of what is installed and known vulnerabilities of what is locked; `OSV=FILE` for the latter.

Exit code 1 where a licence is refused or a vulnerability is known, 2 for a file that is none; an unreachable service is
a note. It stands with the tests, for it looks at the environment of a checkout, and is no part of the product.
"""

import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

from audit.licences import judged, lines
from audit.vulnerabilities import Answer, by_osv, by_pip_audit, locked

LOCK = Path(__file__).parents[2] / "requirements.lock"


def told(answer: Answer) -> list[str]:
    """What is known of vulnerabilities, in lines."""
    count = f"known vulnerabilities of {answer.asked} locked versions, by {answer.source}: {len(answer.known)}"
    note = (
        f"note: known vulnerabilities of {answer.asked} locked versions were NOT all looked up: {answer.unanswered}; "
        "without a network: make audit OSV=FILE, with OSV's export of PyPI"
    )
    return [note if answer.unanswered else count, *(f"vulnerable: {one}" for one in answer.known)]


def audit(osv: str = "") -> int:
    """Prints the report; the exit code."""
    pins = locked(LOCK)
    try:
        answer = by_osv(Path(osv), pins) if osv else by_pip_audit(pins)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, zipfile.BadZipFile) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:150]
        print(f"error: OSV={osv}: no vulnerabilities as OSV writes them, in JSON or a zip of it ({reason}); take its "
              "export of PyPI", file=sys.stderr)  # fmt: skip
        return 2
    packages = judged(distributions())
    print(*lines(packages), *told(answer), sep="\n")
    open_ones = [one for one in answer.known if "; accepted: " not in one]
    return int(any(package.is_refused for package in packages) or bool(open_ones))


if __name__ == "__main__":
    sys.exit(audit(*sys.argv[1:]))
