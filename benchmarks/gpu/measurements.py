"""The measurements of a part, one after the other: each with its share of the time, and what goes wrong is its row."""

import gc
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from benchmarks.gpu.rows import Row
from benchmarks.gpu.turns import sentence_of

Tell = Callable[[list[Row]], None]


class Measurement(NamedTuple):
    """What is measured of one subject."""

    part: str
    subject: str
    what: str
    """The figure whose place a sentence takes where the measurement fails."""
    rows: Callable[[float], list[Row]]
    """Measures until a time of `time.monotonic`."""
    weight: float = 1.0
    """Share of the time, beside those of the others."""


def measure_in_turn(measurements: Sequence[Measurement], seconds: float, tell: Tell) -> None:
    """Measures each within its share of what is left of the time, and tells its rows.

    Args:
        measurements: In their order.
        seconds: For them all; when they are over, only sentences follow.
        tell: Gets rows as soon as they are known.
    """
    end = time.monotonic() + seconds
    for number, measurement in enumerate(measurements):
        print(measurement.subject, flush=True)
        if number and time.monotonic() > end:
            tell([told_instead(measurement, "No time was left for it.")])
            continue
        left = sum(later.weight for later in measurements[number:])
        tell(rows_or_sentence(measurement, time.monotonic() + (end - time.monotonic()) * measurement.weight / left))
        gc.collect()
        torch.cuda.empty_cache()


def rows_or_sentence(measurement: Measurement, until: float) -> list[Row]:
    """The rows; or one with what went wrong, whatever it was, for the next measurement may go well."""
    try:
        return measurement.rows(until)
    except Exception as error:
        return [told_instead(measurement, sentence_of(error))]


def told_instead(measurement: Measurement, sentence: str) -> Row:
    """A row without a figure."""
    return Row(part=measurement.part, subject=measurement.subject, what=measurement.what, text=sentence)
