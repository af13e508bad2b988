"""Bounds of options: one place that says what a number may be.

Whatever the bound, a number is finite: nan is neither below nor above anything, and would pass. None is no number and
passes, as does a word such as auto.
"""

from collections.abc import Callable, Iterator
from math import isfinite

MOST_PROCESSES = 4096
MOST_PIXELS = 16_384


def at_least(options: object, least: int, *names: str, why: str = "") -> None:
    """Refuses options below `least`.

    Args:
        options: An instance of options.
        least: The smallest number that is taken.
        names: The options; of one that is a tuple, each number.
        why: What the bound is there for, behind a comma; empty where it goes without saying.

    Raises:
        ValueError: With the option, the bound and the number.
    """
    must = f"must be at least {least}, {why};" if why else f"must be at least {least},"
    refuse(options, names, lambda number: number >= least, must if least else "must not be negative,")


def at_most(options: object, most: int, *names: str, why: str = "") -> None:
    """Refuses options above `most`; see `at_least`."""
    must = f"must be at most {most}, {why};" if why else f"must be at most {most},"
    refuse(options, names, lambda number: number <= most, must)


def whole_seeds(options: object, *names: str) -> None:
    """Refuses seeds that a library refuses later: those of PyTorch Lightning and scikit-learn are of 32 bits."""
    at_least(options, 0, *names)
    at_most(options, 2**32 - 1, *names)


def processes(options: object, *names: str) -> None:
    """Refuses numbers of processes or threads that no machine has cores for; 0 leaves the number to the command."""
    at_least(options, 0, *names)
    at_most(options, MOST_PROCESSES, *names)


def sides(options: object, *names: str, least: int = 1, why: str = "") -> None:
    """Refuses sides of pictures, in pixels, that are below `least` or so large that no memory holds a batch of them."""
    at_least(options, least, *names, why=why)
    at_most(options, MOST_PIXELS, *names)


def above_zero(options: object, *names: str) -> None:
    """Refuses options that are not above 0."""
    refuse(options, names, lambda number: number > 0, "must be above 0,")


def share(options: object, *names: str, interval: str = "[0, 1)", noun: str = "share") -> None:
    """Refuses options outside an interval of 0 and 1.

    Args:
        options: An instance of options.
        names: The options.
        interval: Which ends belong to it: `[` and `]` do, `(` and `)` do not.
        noun: What the number is: a share, a probability.
    """
    low, high = interval[0] == "[", interval[-1] == "]"
    refuse(
        options, names, lambda number: (0 < number < 1) or (low and number == 0) or (high and number == 1),
        f"is a {noun} in {interval},",
    )  # fmt: skip


def refuse(options: object, names: tuple[str, ...], holds: Callable[[float], bool], must: str) -> None:
    """Refuses the first number for which `holds` is false, or that is not finite."""
    for name in names:
        for number in numbers(getattr(options, name)):
            if not ((isinstance(number, int) or isfinite(number)) and holds(number)):
                raise ValueError(f"--{name} {must} got {number}")


def numbers(value: object) -> Iterator[float]:
    """The numbers of a value: itself, those in a list or a mapping, or none."""
    match value:
        case int() | float():
            yield value
        case tuple() | list():
            for part in value:
                yield from numbers(part)
        case dict():
            yield from numbers([*value.values()])
