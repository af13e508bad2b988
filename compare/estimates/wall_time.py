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
    ends: dict[str, float] = {}
    ids = {task.id for task in tasks}
    waiting, free = list(tasks), [0.0] * max(1, jobs)
    while waiting:
        place = heapq.heappop(free)
        ready = [(begin_time(task, ends, ids, place), index) for index, task in enumerate(waiting)]
        start, index = min(ready)
        task = waiting.pop(index)
        ends[task.id] = start + seconds[task.id]
        heapq.heappush(free, ends[task.id])
    return max(ends.values(), default=0.0)


def begin_time(task: Task, ends: Mapping[str, float], ids: set[str], place: float) -> float:
    """When a run can begin at a place that is free from then on; infinite while what it needs has not begun."""
    return max([place, *(ends.get(need, float("inf")) for need in task.needs if need in ids)])


def longest_chain(tasks: Sequence[Task], seconds: Mapping[str, float]) -> float:
    """Seconds of the longest chain of runs that wait for each other: no number of places is quicker."""
    tasks_by_id = {task.id: task for task in tasks}

    def end(task: Task) -> float:
        return seconds[task.id] + max(
            (end(tasks_by_id[need]) for need in task.needs if need in tasks_by_id), default=0.0
        )

    return max(map(end, tasks), default=0.0)
