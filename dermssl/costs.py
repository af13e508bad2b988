"""What a run costs: seconds, images per second, memory, energy; for result.json."""

import platform
import time
from pathlib import Path

import pandas as pd

from dermssl.energy import Meter
from dermssl.memory import peak_memory


class Spent:
    """Time and energy from now on, with what an earlier attempt of the same run has spent.

    Args:
        meter: Of energy; that of this machine's devices by default.
    """

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter or Meter()
        self.began = time.perf_counter()
        self.before, self.energy_before = 0.0, 0.0
        self.unmeasured = False

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self.before + time.perf_counter() - self.began

    @property
    def watt_hours(self) -> float | None:
        """Energy of the devices that tell of it; None where none does, or none did in an earlier attempt."""
        energy = self.meter.look()
        return None if energy is None or self.unmeasured else self.energy_before + energy

    def add(self, seconds: float, watt_hours: float | None) -> None:
        """Counts an earlier attempt in, which knew its energy or did not."""
        self.before += seconds
        self.energy_before += watt_hours or 0.0
        self.unmeasured = self.unmeasured or watt_hours is None


def costs(spent: Spent, images_per_second: float) -> dict[str, object]:
    """What result.json tells of a run's costs, beside `seconds`, which is of the training or of the whole probe.

    `memory_mb` and `gpu_memory_mb` are the peak of the last attempt's process, `host` its machine. `energy_wh` is there
    where devices tell it, with `energy_of`, their names: it is the energy of whole devices, whoever used them.
    """
    energy = spent.watt_hours
    measured = {} if energy is None else {"energy_wh": energy, "energy_of": ", ".join(spent.meter.devices)}
    return {
        "seconds": spent.seconds,
        "images_per_second": images_per_second,
        **peak_memory(),
        **measured,
        "host": platform.node(),
    }


def usual_rate(metrics: Path) -> float:
    """Images per second of a training: the median over its epochs, so that the first and coldest counts little."""
    return float(pd.read_csv(metrics)["images_per_second"].median())
