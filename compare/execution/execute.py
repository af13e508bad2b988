"""What does the runs of a study: the two of them are `compare.execution.local` and `compare.execution.ray_cluster`."""

from pathlib import Path
from typing import Protocol, Self

from compare.study.plan import Outcome, Task


class Work(Protocol):
    """What is done with a task: `compare.execution.worker.do_task`."""

    def __call__(self, task: Task, log: Path | None = None, *, trust: bool = False) -> Outcome:
        """The task's outcome."""


class Executor(Protocol):
    """A place to do runs in. Nothing that it started is left when it closes."""

    @property
    def slots(self) -> int:
        """Runs that go side by side."""

    def has_room(self, task: Task) -> bool:
        """Whether the task may be started now; always true where nothing runs."""

    def start(self, task: Task) -> None:
        """Starts a task that there is room for, whose options are complete."""

    def ended(self, timeout: float) -> list[tuple[Task, Outcome]]:
        """Waits until a run ends, `timeout` seconds at most; those that have ended.

        A run whose worker died is among them: failed, and `lost`.
        """

    def __enter__(self) -> Self:
        """Opens it."""

    def __exit__(self, *_: object) -> None:
        """Ends whatever it has started."""
