"""A Ray cluster of two nodes on this machine, one of which can be lost; and runs that are slow enough to be cut off."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from counted import STEPS, count, steps_of

from compare.study.plan import Outcome, Task
from dermssl.runs.folder import locked_run

SMALL = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
"""In bytes; the least that Ray takes is 75 MB."""


class Nodes:
    """The cluster, which lives in a process of its own and goes with it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._said()

    def lose_one(self) -> None:
        """Kills the node that the tests' own process does not hang on."""
        self._ask("lose")

    def gain_one(self) -> None:
        """Adds a node."""
        self._ask("gain")

    def _ask(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._said()

    def _said(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the cluster's process has ended"
        return line


@contextmanager
def two_nodes() -> Iterator[Nodes]:
    """Runs them while the body runs."""
    place = tempfile.mkdtemp(prefix="ray-")  # short: the paths of sockets below it may have 107 characters
    command = [sys.executable, __file__, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Nodes(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # at which it ends the cluster
            try:
                process.wait(60)
            finally:
                process.kill()
                shutil.rmtree(place, ignore_errors=True)


def serve(place: str) -> None:
    """In the cluster's process: starts it, says its address, and loses or gains a node a line until there are none."""
    from ray.cluster_utils import Cluster

    # Beside the cluster's own folder Ray writes an address into its default one, which it takes to be there.
    os.environ["RAY_TMPDIR"] = place
    (Path(place) / "ray").mkdir()
    cluster = Cluster(initialize_head=True, head_node_args=SMALL | {"temp_dir": place})
    other = cluster.add_node(**SMALL)
    try:
        print(cluster.address, flush=True)
        for line in sys.stdin:
            if line.strip() == "lose":
                cluster.remove_node(other, allow_graceful=False)
            else:
                other = cluster.add_node(**SMALL)
            print(line.strip(), flush=True)
    finally:
        cluster.shutdown()


def count_slowly(task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
    """Counts as `count` does, in seconds."""
    folder = task.config.out / f"run-{task.id}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked_run(folder, wait=True):
        for step in range(len(steps_of(folder)), STEPS - 1):
            with (folder / "steps").open("a") as steps:
                steps.write(f"{step}\n")
            time.sleep(0.7)
    return count(task, log, trust=trust)


if __name__ == "__main__":
    serve(sys.argv[1])
