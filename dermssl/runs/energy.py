"""Energy, as the counters of the machine's own devices tell it.

A counter tells of a whole device and not of a process: where two runs share a GPU or a processor, each is told the
energy of both. Memory, disks, fans and losses of the supply are not in it. Most systems let only the superuser read the
processor's counter, and virtual machines have none.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from dermssl.parallel import local_world

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"  # comes with the driver; torch itself asks for no total
WATT_HOUR = 3600.0  # joules
UNSIGNED_LONG_LONG = 2**64


class Counter(NamedTuple):
    """A count of energy that only rises, until it begins again at 0."""

    device: str
    read: Callable[[], float]
    """Joules; an OSError where there is nothing to read any more."""
    wraps_at: float
    """Joules."""


class Meter:
    """Adds up what counters have risen by since it was made.

    Look at it at least every half hour: a processor's counter may begin again after 40 minutes of full load, and a
    second time would be missed.

    Args:
        counters: Those of this machine by default.
    """

    def __init__(self, counters: Sequence[Counter] | None = None) -> None:
        self.counters = counters_here() if counters is None else list(counters)
        self.joules = 0.0
        self.last = [counter.read() for counter in self.counters]

    @property
    def devices(self) -> list[str]:
        """What is measured, such as `CPU package-0` and `GPU 0`."""
        return [counter.device for counter in self.counters]

    def look(self) -> float | None:
        """Watt-hours so far; None where no device tells, or one has stopped to."""
        try:
            now = [counter.read() for counter in self.counters]
        except OSError:
            self.counters = []
        if not self.counters:
            return None
        for counter, before, after in zip(self.counters, self.last, now, strict=True):
            self.joules += after - before if after >= before else after - before + counter.wraps_at
        self.last = now
        return self.joules / WATT_HOUR


def counters_here() -> list[Counter]:
    """The counters that this process may read: of the processors, and of the GPUs that its training uses."""
    return [*processors(POWERCAP), *gpus()]


def processors(powercap: Path) -> list[Counter]:
    """The packages that Linux tells of, each with its cores and caches.

    Of the zones `intel-rapl:N`, which AMD's processors have as well. Their parts, and zones that hold several packages,
    would count the same joules twice. https://docs.kernel.org/power/powercap/powercap.html
    """
    counters = []
    for zone in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text().strip()
            wraps_at = float((zone / "max_energy_range_uj").read_text()) / 1e6
            counter = Counter(f"CPU {name}", partial(microjoules, zone / "energy_uj"), wraps_at)
            counter.read()
        except (OSError, ValueError):
            continue
        if name.startswith("package"):
            counters.append(counter)
    return counters


def microjoules(file: Path) -> float:
    """The joules in a file of microjoules."""
    return float(file.read_text()) / 1e6


def gpus() -> list[Counter]:
    """NVIDIA's GPUs that the processes of this host train on together, from Volta on; none where NVML is not there."""
    if not torch.cuda.is_available():
        return []
    try:
        nvml = ctypes.CDLL(NVML)
    except OSError:
        return []
    if nvml.nvmlInit_v2():
        return []
    counters = []
    for index in range(min(local_world(), torch.cuda.device_count())):
        handle = ctypes.c_void_p()
        # By its identity: torch counts the GPUs that it may use, and NVML all.
        uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}".encode()
        counter = Counter(f"GPU {index}", partial(millijoules, nvml, handle), UNSIGNED_LONG_LONG / 1e3)
        if not nvml.nvmlDeviceGetHandleByUUID(uuid, ctypes.byref(handle)) and tells(counter):
            counters.append(counter)
    return counters


def tells(counter: Counter) -> bool:
    """Whether the counter can be read."""
    try:
        counter.read()
    except OSError:
        return False
    return True


def millijoules(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> float:
    """The joules that a GPU has taken since its driver was loaded."""
    total = ctypes.c_ulonglong()
    if code := nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(total)):
        raise OSError(f"NVML gives no energy (code {code})")
    return total.value / 1e3
