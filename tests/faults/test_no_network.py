"""No command reaches for a network, but those whose purpose it is: sockets are blocked while modules load and work."""

import subprocess
import sys
from pathlib import Path

from faults.tally import tallied, trials

PACKAGES = ("dermssl", "pretrain", "finetune", "probe", "compare")
ROOT = Path(__file__).parents[2]
BLOCKED = """
import socket, sys
def refused(*words, **more):
    raise AssertionError(f"a socket was opened: {words}")
class Blocked(socket.socket):
    def connect(self, address):
        refused(address) if self.family != socket.AF_UNIX else super().connect(address)
    connect_ex = connect
socket.socket, socket.create_connection, socket.getaddrinfo = Blocked, refused, refused
import importlib
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def modules() -> list[str]:
    """Every module of the product; those that are commands by themselves do nothing when they are imported."""
    files = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return [name for name in names if not name.startswith("compare.execution.ray")]


def test_no_module_opens_a_socket_when_it_is_imported() -> None:
    with tallied("no network") as tally:
        names = modules()
        some = names[:: max(1, len(names) // trials(whole=len(names), sample=12))]
        done = subprocess.run(
            [sys.executable, "-c", BLOCKED, *some], capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode:
            tally.wrong.append(done.stderr[-300:])
        else:
            tally.right += len(some)
