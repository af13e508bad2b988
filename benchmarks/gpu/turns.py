"""Sides that take turns in one process, until each has had enough of them or the time is up."""

import time
from collections.abc import Callable, Mapping

from dermssl.system_errors import is_of_memory

Side = Callable[[], float]


class Turns:
    """Rates of several sides, a number a round.

    Args:
        sides: Each gives images per second of one turn.
        rounds: Turns of each at most; one is made in any case.
        until: Time (`time.monotonic`) from which no round is begun, nor one that would end after it.
        needed: Sides whose error is the caller's; another side's is kept as its sentence, and it gets no more turns.
    """

    def __init__(self, sides: Mapping[str, Side], rounds: int, until: float, needed: tuple[str, ...]) -> None:
        self.sides, self.rounds, self.until, self.needed = dict(sides), rounds, until, needed
        self.rates: dict[str, list[float]] = {name: [] for name in sides}
        self.errors: dict[str, str] = {}

    def run(self) -> "Turns":
        """Takes the turns; odd rounds go backwards, so that no side always follows the same one."""
        longest = 0.0
        for number in range(self.rounds):
            began = time.monotonic()
            if number and began + longest > self.until:
                break
            for name in list(self.sides)[:: -1 if number % 2 else 1]:
                self.turn(name)
            longest = max(longest, time.monotonic() - began)
        return self

    def turn(self, name: str) -> None:
        """One turn of a side."""
        try:
            rate = self.sides[name]()
        except Exception as error:
            if name in self.needed:
                raise
            self.errors[name] = sentence_of(error)
            del self.sides[name]
        else:
            self.rates[name].append(rate)
            print(f"  {name:24} {rate:9.1f} images/s", flush=True)


def sentence_of(error: BaseException) -> str:
    """An error as a row tells it: its kind and its first line."""
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed here, so this side was left out."
    return f"{'Too little memory' if is_of_memory(error) else type(error).__name__}: {first}"[:300]
