"""The bar of a study on a terminal: how many runs have ended, how many run now, and about how long the rest takes."""

from contextlib import AbstractContextManager

from tqdm import tqdm

from compare.execution.ledger import Ledger
from dermssl.log import bar_is_off

LOOK = "{desc}: {bar} {n_fmt} of {total_fmt} runs, {elapsed}{postfix}"


class StudyBar(AbstractContextManager["StudyBar"]):
    """Drawn anew at each `show`; off where there is no terminal, or nobody prints."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.bar = tqdm(total=len(ledger.tasks), desc="study", bar_format=LOOK, disable=bar_is_off(), leave=False)

    def show(self) -> None:
        """Draws what the ledger says now."""
        self.bar.n = self.ledger.ended_count
        self.bar.set_postfix_str(f"{self.ledger.count('running')} running{self.ledger.time_left()}")

    def __exit__(self, *_: object) -> None:
        """Takes the bar away."""
        self.bar.close()
