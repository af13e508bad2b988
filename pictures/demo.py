"""The demo's study, from which the pictures of the documents are made."""

import subprocess
import sys
from pathlib import Path

from dermssl.errors import UserError

FOLDER = Path("runs/compare/demo")


def done_demo() -> Path:
    """The folder of the demo's study once all its runs are done; those that are done already are not done again."""
    ended = subprocess.run([sys.executable, "-m", "compare", "run", "demo"], check=False)
    if ended.returncode:
        raise UserError("python -m compare run demo: did not end well, for the reason above")
    return FOLDER
