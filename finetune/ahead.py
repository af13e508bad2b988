"""Work that is begun before it is asked for, so that a GPU need not wait for the CPU."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(do: Callable[[Given], Made], items: Iterable[Given], ahead: int) -> Iterator[Made]:
    """What `do` makes of each item, in their order.

    Args:
        do: The work; an error that it raises comes out where its result would have.
        items: Asked for one by one, in this thread.
        ahead: Results that are begun, in one thread beside this one, before they are asked for; so many are in memory
            at once. 0 does all in this thread and when asked, which is what a CPU without an idle core wants.
    """
    if ahead == 0:
        yield from map(do, items)
        return
    with ThreadPoolExecutor(1) as beside:
        begun: deque[Future[Made]] = deque()
        for item in items:
            begun.append(beside.submit(do, item))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
