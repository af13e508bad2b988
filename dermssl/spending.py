"""What a training spends, kept with its checkpoints so that a resumed one counts on."""

import time
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from dermssl.costs import Spent

LOOK = 60.0  # seconds between two looks at the counters of energy


class Spending(Callback):
    """Counts a training's seconds and energy over all its attempts.

    Of an earlier attempt it counts what had gone by when the checkpoint was written that training goes on from. What
    that attempt did afterwards is done again and counts once; time between attempts does not count.
    """

    def __init__(self) -> None:
        self.spent = Spent()
        self.looked = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """What was spent up to now."""
        return {"seconds": self.spent.seconds, "watt_hours": self.spent.watt_hours}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.spent.add(**state_dict)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Looks at the counters now and then: those of a processor begin again at 0 after an hour."""
        if time.perf_counter() - self.looked > LOOK:
            self.looked = time.perf_counter()
            self.spent.meter.look()
