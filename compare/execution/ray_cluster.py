"""Runs on the machines of a Ray cluster, which see the same files as this one."""

import os
import platform
import secrets
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

from compare.execution.execute import Work
from compare.execution.ray_address import connected
from compare.execution.worker import do_task
from compare.study.plan import Outcome, Task
from dermssl.errors import UserError
from dermssl.log import say

NODE = 120.0  # seconds that each node has to say whether it sees the study: it starts a process for that
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
        work: Work = do_task,
    ) -> None:
        """Connects to nothing yet.

        Args:
            address: Of the cluster's head, `host:6379`, or `auto` for the one that this machine belongs to.
            study: The study folder, which every machine must see under the same path.
            jobs: Runs side by side at most; 0 is as many as the cluster has room for.
            threads: CPUs that each run takes.
            per_gpu: Runs that share a GPU, where the cluster has any.
            expected: GB that each task is likely to hold, by id; Ray keeps them free on the machine that it chooses.
            trust: As in `compare.execution.worker.do_task`.
            work: What is done with a task.
        """
        self.address, self.study = address, study.resolve()
        self.jobs, self.threads, self.per_gpu, self.expected = jobs, threads, per_gpu, expected or {}
        self._arguments = (work, Path.cwd(), self.study, trust)
        self._running: dict[Any, Task] = {}
        self._troubles: dict[str, str] = {}  # what keeps a machine from runs, by its id; nothing where it does them
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
            if troubles := self._ask_new_machines():
                raise UserError(*troubles)
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
        """Whether the cluster has a slot free; it is Ray that waits for memory.

        Machines that have joined are asked now. One that cannot do runs gets none: it would fail them all in no time.
        """
        for trouble in self._ask_new_machines():
            say(trouble)
        return not self._running or len(self._running) < self.slots

    def start(self, task: Task) -> None:
        """Hands the task to Ray."""
        remote = self._ray.remote(do_remote_task).options(
            name=task.name,
            num_cpus=self.threads,
            num_gpus=1 / self.per_gpu if self._gpus() else 0,
            memory=min(self.expected.get(task.id, 0.0) * 1e9, 0.9 * self._largest("memory")),
            max_retries=0,
            label_selector=self._elsewhere(),
            runtime_env={"env_vars": remote_environment(self.threads)},
        )
        self._running[remote.remote(task, *self._arguments)] = task

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
        """The machines that are alive and do runs, as far as they were asked."""
        return [node for node in self._ray.nodes() if node["Alive"] and not self._troubles.get(node["NodeID"])]

    def _elsewhere(self) -> dict[str, str]:
        """Keeps a run from the machines that cannot do it."""
        unfit = [node for node, trouble in self._troubles.items() if trouble]
        return {"ray.io/node-id": f"!in({','.join(unfit)})"} if unfit else {}

    def _gpus(self) -> bool:
        return self._largest("GPU") > 0

    def _largest(self, resource: str) -> float:
        """The most of a resource that a machine has."""
        return max((float(node["Resources"].get(resource, 0.0)) for node in self._nodes()), default=0.0)

    def _slots_of(self, resources: Mapping[str, float]) -> int:
        """Runs that a machine takes."""
        room = int(resources.get("CPU", 0) // self.threads)
        return min(room, int(resources.get("GPU", 0) * self.per_gpu)) if self._gpus() else room

    def _ask_new_machines(self) -> list[str]:
        """Asks each for a word that stands in a file of the study folder; what keeps which of them from runs."""
        new = [node for node in self._nodes() if node["NodeID"] not in self._troubles]
        if not new:
            return []
        token, word = self.study / f".seen-by-{os.getpid()}", secrets.token_hex(8)
        token.write_text(word, encoding="utf-8")
        try:
            answers = [self._ask(node["NodeID"], token) for node in new]
            troubles = [self._trouble(node, answer, word) for node, answer in zip(new, answers, strict=True)]
        finally:
            token.unlink()
        self._troubles |= {node["NodeID"]: trouble for node, trouble in zip(new, troubles, strict=True)}
        return [trouble for trouble in troubles if trouble]

    def _ask(self, node: str, token: Path) -> Any:
        """A reference to what the machine reads in the file."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        there_alone = NodeAffinitySchedulingStrategy(node, soft=False)
        environment = {"env_vars": remote_environment(self.threads)}
        remote = self._ray.remote(read_word)
        return remote.options(num_cpus=0, scheduling_strategy=there_alone, runtime_env=environment).remote(token)

    def _trouble(self, node: Mapping[str, Any], answer: Any, word: str) -> str:
        """What keeps a machine from runs; nothing where it has read the word."""
        name = f"--address {self.address}: {node['NodeManagerHostname']} ({node['NodeManagerAddress']})"
        remedy = "or take that machine out of the cluster"
        try:
            word_read = self._ray.get(answer, timeout=NODE)
        except self._ray.exceptions.GetTimeoutError:
            return f"{name} has not answered in {NODE:.0f} s; see what `ray status` says of it, {remedy}"
        except self._ray.exceptions.RayError as error:
            return f"{name} cannot do runs: {self._why(error)}; install dermssl there as here, {remedy}"
        if word_read != word:
            return (
                f"{name} does not see {self.study}; run from a folder that all machines share under one path, {remedy}"
            )
        return ""


def remote_environment(threads: int) -> dict[str, str]:
    """A run's environment elsewhere: where this code lies, its threads, and settings that change where it looks."""
    code = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [code, os.environ.get("PYTHONPATH", "")]))
    carried = {name: os.environ[name] for name in CARRIED if name in os.environ}
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive", **carried}


def read_word(token: Path) -> str:
    """On a machine of the cluster: what stands in the file, or nothing."""
    return token.read_text(encoding="utf-8") if token.is_file() else ""


def do_remote_task(task: Task, work: Work, place: Path, study: Path, trust: bool) -> Outcome:
    """On a machine of the cluster: does the run as if it had been started where the study was.

    A machine that joined a moment ago and does not see the study says so, and the run is tried elsewhere.
    """
    if not study.is_dir():
        error = f"{platform.node()} does not see {study}"
        return Outcome(state="failed", lost=True, error=error, host=platform.node())
    os.chdir(place)  # paths of the options may be relative
    return work(task, study / "logs" / f"{task.id}.txt", trust=trust)
