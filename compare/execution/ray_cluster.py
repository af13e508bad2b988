"""Runs on the machines of a Ray cluster, which see the same files as this one."""

import logging
import os
import platform
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

from compare.execution.execute import Work
from compare.execution.worker import do
from compare.plan import Outcome, Task
from dermssl.errors import UserError

ANSWER = 15.0  # seconds that a cluster has to answer
ASK = "import sys, ray; ray.init(address=sys.argv[1], log_to_driver=False)"
NODE = 60.0  # seconds that each node has to say whether it sees the study: it starts a process for that
CARRIED = ("DERMSSL_CACHE", "HF_HOME", "TORCH_HOME")  # settings of this command that its runs elsewhere need


class RayExecutor:
    """A Ray task for each run. Ray chooses the machine; whether a run is started again is the schedule's business."""

    def __init__(
        self,
        address: str,
        study: Path,
        *,
        jobs: int = 0,
        threads: int = 1,
        per_gpu: int = 1,
        expected: Mapping[str, float] | None = None,
        trust: bool = False,
        work: Work = do,
    ) -> None:
        """Connects to nothing yet.

        Args:
            address: Of the cluster's head, `host:6379`, or `auto` for the one that this machine belongs to.
            study: The study folder, which every machine must see under the same path.
            jobs: Runs side by side at most; 0 is as many as the cluster has room for.
            threads: CPUs that each run takes.
            per_gpu: Runs that share a GPU, where the cluster has any.
            expected: GB that each task is likely to hold, by id; Ray keeps them free on the machine that it chooses.
            trust: As in `compare.execution.worker.do`.
            work: What is done with a task.
        """
        self.address, self.study = address, study.resolve()
        self.jobs, self.threads, self.per_gpu, self.expected = jobs, threads, per_gpu, expected or {}
        self._given = (work, Path.cwd(), self.study, trust)
        self._running: dict[Any, Task] = {}
        self._ray: Any = None

    @property
    def slots(self) -> int:
        """Runs that the cluster has room for as it is now, up to `jobs`."""
        room = sum(self._slots_of(node["Resources"]) for node in self._nodes())
        return min(self.jobs or room, room)

    def __enter__(self) -> Self:
        """Connects, and asks every machine whether it sees the study.

        Raises:
            UserError: If Ray is not installed, nothing answers at the address, a machine does not see the study folder,
                or no machine has CPUs for a run.
        """
        self._ray = connected(self.address)
        try:
            self._refuse_blind_nodes()
            if self.slots == 0:
                raise UserError(
                    f"--address {self.address}: no machine of this Ray cluster has {self.threads} CPUs"
                    f"{' and a share of a GPU' if self._gpus() else ''} for a run; start it with more of them"
                )
        except BaseException:
            self._ray.shutdown()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the cluster, which ends the runs that were started from here."""
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def has_room(self, task: Task) -> bool:
        """Whether the cluster has a slot free; it is Ray that waits for memory."""
        return not self._running or len(self._running) < self.slots

    def start(self, task: Task) -> None:
        """Hands the task to Ray."""
        remote = self._ray.remote(there).options(
            name=task.name,
            num_cpus=self.threads,
            num_gpus=1 / self.per_gpu if self._gpus() else 0,
            memory=min(self.expected.get(task.id, 0.0) * 1e9, 0.9 * self._largest("memory")),
            max_retries=0,
            runtime_env={"env_vars": surroundings(self.threads)},
        )
        self._running[remote.remote(task, *self._given)] = task

    def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
        """Waits until a run ends; one whose machine or process is gone is lost."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout)
        return [(self._running.pop(reference), self._outcome(reference)) for reference in ready]

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(state="failed", lost=True, error=f"lost in the Ray cluster: {self._why(error)}")
        return outcome

    def _why(self, error: Exception) -> str:
        """An error of Ray's in a line: the last one of a traceback, the first one of what Ray itself says."""
        lines = str(error).strip().splitlines() or [""]
        line = lines[-1] if isinstance(error, self._ray.exceptions.RayTaskError) else lines[0]
        return f"{shorten(line, 110, placeholder=' …')} ({type(error).__name__})"

    def _nodes(self) -> list[dict[str, Any]]:
        """The machines that are alive."""
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _gpus(self) -> bool:
        return self._largest("GPU") > 0

    def _largest(self, resource: str) -> float:
        """The most of a resource that a machine has."""
        return max((float(node["Resources"].get(resource, 0.0)) for node in self._nodes()), default=0.0)

    def _slots_of(self, resources: Mapping[str, float]) -> int:
        """Runs that a machine takes."""
        room = int(resources.get("CPU", 0) // self.threads)
        return min(room, int(resources.get("GPU", 0) * self.per_gpu)) if self._gpus() else room

    def _refuse_blind_nodes(self) -> None:
        """Asks every machine for a word that stands in a file of the study folder."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        token, word = self.study / f".seen-by-{os.getpid()}", secrets.token_hex(8)
        token.write_text(word, encoding="utf-8")
        asked = {}
        try:
            for node in self._nodes():
                where = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                remote = self._ray.remote(read_word).options(
                    num_cpus=0, scheduling_strategy=where, runtime_env={"env_vars": surroundings(self.threads)}
                )
                asked[f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})"] = remote.remote(token)
            for name, reference in asked.items():
                self._refuse_if_blind(name, reference, word)
        finally:
            token.unlink()

    def _refuse_if_blind(self, name: str, reference: Any, word: str) -> None:
        try:
            seen = self._ray.get(reference, timeout=NODE)
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f"--address {self.address}: {name} cannot do runs: {self._why(error)}; install dermssl there as here, "
                "or take that machine out of the cluster"
            ) from error
        if seen != word:
            raise UserError(
                f"--address {self.address}: {name} does not see {self.study}; run from a folder that all machines "
                "share under one path, or take that machine out of the cluster"
            )


def connected(address: str) -> Any:
    """The ray module, connected to the cluster at `address`; quiet, and nothing is reported to anybody.

    Raises:
        UserError: If there is no Ray, or no cluster there.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
    except ImportError:
        raise UserError('--executor ray: Ray is not installed; pip install "dermssl[ray]"') from None
    refuse_silence(address)
    ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    return ray


def refuse_silence(address: str) -> None:
    """Stops where no cluster answers.

    Another process asks first: Ray itself tries for a quarter of an hour where `auto` finds the address of a cluster
    that is gone, and cannot be told to stop.
    """
    if address != "auto":
        refuse_closed_port(address)
    try:
        subprocess.run([sys.executable, "-c", ASK, address], check=True, capture_output=True, text=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        raise no_answer(address, f"nothing in {ANSWER:.0f} s") from None
    except subprocess.CalledProcessError as error:
        raise no_answer(address, last_line(error.stderr)) from None


def refuse_closed_port(address: str) -> None:
    """Stops at once where nobody listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), ANSWER).close()
    except (OSError, ValueError, OverflowError) as error:
        raise no_answer(address, str(error)) from None


def last_line(text: str) -> str:
    """The last line of a text that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no word")


def no_answer(address: str, why: str) -> UserError:
    """The sentence where there is no cluster."""
    return UserError(
        f"--address {address}: no Ray cluster answers there ({why}); start one with `ray start --head --port 6379 "
        "--disable-usage-stats` and give its host:6379, or leave --executor ray out"
    )


def surroundings(threads: int) -> dict[str, str]:
    """A run's environment elsewhere: where this code lies, its threads, and settings that change where it looks."""
    code = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")]))
    carried = {name: os.environ[name] for name in CARRIED if name in os.environ}
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", **carried}


def read_word(token: Path) -> str:
    """On a machine of the cluster: what stands in the file, or nothing."""
    return token.read_text(encoding="utf-8") if token.is_file() else ""


def there(task: Task, work: Work, place: Path, study: Path, trust: bool) -> Outcome:
    """On a machine of the cluster: does the run as if it had been started where the study was.

    A machine that joined later and does not see the study says so, and the run is tried elsewhere.
    """
    if not study.is_dir():
        error = f"{platform.node()} does not see {study}"
        return Outcome(state="failed", lost=True, error=error, host=platform.node())
    os.chdir(place)  # paths of the options may be relative
    return work(task, study / "logs" / f"{task.id}.txt", trust=trust)
