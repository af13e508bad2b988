"""Whether a training has diverged: its loss ended far above where it began, or is no number."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import pandas as pd
from torch import Tensor

LARGE = 1e5
RISEN = 10.0  # times the loss at the start, or nats where that was small; MoCo's doubles as its queue fills


def is_blown_up(loss: float, start: float) -> bool:
    """Whether a loss is no finite number, or above ten times what it was at the start, which counts as 1 at least."""
    return not isfinite(loss) or loss > RISEN * max(1.0, abs(start))


def loss_in_digits(loss: float) -> str:
    """A loss to four decimals; one that has blown up by its magnitude."""
    return f"{loss:{'.4f' if abs(loss) < LARGE else '.3g'}}"


def lower_rate(rate: float, usual: float) -> float:
    """A rate to try after one that diverged: a tenth of it, and no more than the usual one."""
    return min(rate / 10, usual)


@dataclass(frozen=True)
class LossCourse:
    """Where the loss of a training began and ended."""

    first: float
    """At the first step, before anything was learned."""
    last: float
    """The mean of the last row of metrics.csv: a tenth of a fine-tuning, an epoch of a pretraining."""

    @property
    def diverged(self) -> bool:
        """Whether the training has come to nothing, however well it went in between."""
        return is_blown_up(self.last, self.first)

    def sentence(self, slower: str) -> str:
        """What to say of a training that diverged.

        Args:
            slower: The options to start anew with, such as `--lr 0.001`.
        """
        return (
            f"divergence: the loss was {self.first:.3g} at the first step and {self.last:.3g} at the end, mostly "
            f"because steps are too long, so do not trust what came of it; start anew with {slower}"
        )


def loss_course(first: Tensor | None, metrics: Path) -> LossCourse:
    """The course of a training whose rows stand in `metrics`; its first row stands in for an unknown first step."""
    rows = pd.read_csv(metrics)["loss"]
    return LossCourse(float(rows.iloc[0] if first is None else first), float(rows.iloc[-1]))
