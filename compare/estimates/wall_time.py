"""How long runs take side by side: each begins as soon as a place is free and what it waits for is done."""

import heapq
from collections.abc import Mapping, Sequence

from compare.study.plan import Task


def wall_time(tasks: Sequence[Task], seconds: Mapping[str, float], jobs: int) -> float:
    """Seconds from the first run to the end of the last.

    Of the runs that could begin the first in the list does; what a run needs and is not in the list is done already.

    Args:
        tasks: In the order in which they are begun.
        seconds: Of each task, by id.
        jobs: Places, at least one.
    """
    queue, ends, free = Queue(tasks), dict[str, float](), [0.0] * max(1, jobs)
    for _ in tasks:
        index, start = queue.next_at(heapq.heappop(free))
        task = tasks[index]
        ends[task.id] = start + seconds[task.id]
        queue.begun(task, ends)
        heapq.heappush(free, ends[task.id])
    return max(ends.values(), default=0.0)


class Queue:
    """The runs that wait for a place, in heaps: none is looked at again for each run that begins before it."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        ids = {task.id for task in tasks}
        self.needs = [[need for need in task.needs if need in ids] for task in tasks]
        self.open_needs = [len(needs) for needs in self.needs]
        self.dependents: dict[str, list[int]] = {}
        for index, needs in enumerate(self.needs):
            for need in needs:
                self.dependents.setdefault(need, []).append(index)
        self.ready = [index for index, count in enumerate(self.open_needs) if not count]
        """Indices of runs that have all that they need; in order, which is a heap."""
        self.later: list[tuple[float, int]] = []
        """When what a run needs will be done, and its index."""

    def next_at(self, place: float) -> tuple[int, float]:
        """The run that begins at a place that is free from then on, and when; places come in the order of time."""
        while self.later and self.later[0][0] <= place:
            heapq.heappush(self.ready, heapq.heappop(self.later)[1])
        if self.ready:
            return heapq.heappop(self.ready), place
        start, index = heapq.heappop(self.later)
        return index, start

    def begun(self, task: Task, ends: Mapping[str, float]) -> None:
        """Lets runs wait for the end of this one that waited for its beginning."""
        for index in self.dependents.get(task.id, ()):
            self.open_needs[index] -= 1
            if not self.open_needs[index]:
                heapq.heappush(self.later, (max(ends[need] for need in self.needs[index]), index))


def longest_chain(tasks: Sequence[Task], seconds: Mapping[str, float]) -> float:
    """Seconds of the longest chain of runs that wait for each other: no number of places is quicker."""
    tasks_by_id = {task.id: task for task in tasks}

    def end(task: Task) -> float:
        return seconds[task.id] + max(
            (end(tasks_by_id[need]) for need in task.needs if need in tasks_by_id), default=0.0
        )

    return max(map(end, tasks), default=0.0)
