"""No command reaches for a network, but those whose purpose it is: sockets are blocked while modules load and work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from faults.drawn_set import draw_set
from faults.tally import tallied, trials
from faults.whole.whole_commands import COMMANDS, typed, write_options

PACKAGES = ("dermssl", "pretrain", "finetune", "probe", "compare")
ROOT = Path(__file__).parents[3]
BLOCKED = """
import os, socket, sys
def refused(*words, **more):
    with open(os.environ.get("ASKED", os.devnull), "a") as log:
        print(sys.argv[:3], words, file=log)
    raise OSError(f"a socket was opened: {words}")
class Blocked(socket.socket):
    def connect(self, address):
        refused(address) if self.family != socket.AF_UNIX else super().connect(address)
    connect_ex = connect
socket.socket, socket.create_connection, socket.getaddrinfo = Blocked, refused, refused
"""
IMPORTED = """
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
        some = names[:: max(1, len(names) // trials(whole=len(names), sample=4))]
        done = subprocess.run(
            [sys.executable, "-c", BLOCKED + IMPORTED, *some], capture_output=True, text=True, check=False, cwd=ROOT
        )
        if done.returncode:
            tally.wrong.append(done.stderr[-300:])
        else:
            tally.right += len(some)


@pytest.mark.slow  # a process takes seconds to start
def test_no_command_asks_a_network(tmp_path: Path) -> None:
    draw_set(tmp_path / "set")
    write_options(tmp_path)
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCKED)  # which every process of Python begins with
    asked = tmp_path / "asked.txt"
    blocked = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "blocked"), str(ROOT)]), "ASKED": str(asked)}
    with tallied("no network in whole commands") as tally:
        for name in list(COMMANDS)[: trials(len(COMMANDS), 3)]:
            done = typed(name, tmp_path, **blocked)
            if done.returncode == 0 and not asked.exists():
                tally.right += 1
            else:
                tally.wrong.append(f"{name}: {asked.exists() and asked.read_text()[:300]} {done.stderr[-300:]!r}")
                asked.unlink(missing_ok=True)


@pytest.mark.slow
def test_weights_of_a_hub_are_asked_for_and_told_in_one_line_where_there_is_no_network(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCKED)
    draw_set(tmp_path / "set")
    line = [sys.executable, "-m", "finetune", "--data", "set", "--init", "imagenet", "--encoder", "resnet34"]
    own = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "ASKED": str(tmp_path / "asked.txt")}
    own |= {"HF_HOME": str(tmp_path / "hub"), "TORCH_HOME": str(tmp_path / "torch"), "HOME": str(tmp_path)}
    done = subprocess.run(line, cwd=tmp_path, env={**os.environ, **own}, capture_output=True, text=True, check=False)
    assert (tmp_path / "asked.txt").exists()
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
