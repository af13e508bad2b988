"""What a run costs: seconds, images per second, peak of memory, energy; for result.json."""

import contextlib
import ctypes
import gc
import platform
import resource
import sys
import time
from pathlib import Path

import pandas as pd
import torch

from dermssl.runs.energy import Meter


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


STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEGABYTE = 1e6


def forget_peak() -> None:
    """Begins to measure anew, so that a process that does many runs tells each one's own peak (Linux, CUDA).

    What an earlier run left is given back first: what the allocator keeps
    (`dermssl.training.device.keep_freed_memory`) would count as held by every run after it, however small.
    """
    gc.collect()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        CLEAR.write_text("5")  # proc(5): sets the peak of the resident set to what is resident now
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_memory() -> dict[str, float]:
    """Megabytes since `forget_peak`: `memory_mb` of this process, `gpu_memory_mb` of its tensors on a GPU."""
    peak = {"memory_mb": resident_peak() / MEGABYTE}
    if torch.cuda.is_available():
        peak["gpu_memory_mb"] = torch.cuda.max_memory_allocated() / MEGABYTE
    return peak


def resident_peak() -> float:
    """Bytes; where the system keeps no peak that can be reset, those of the process's whole life."""
    with contextlib.suppress(OSError, StopIteration):
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return float(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak if sys.platform == "darwin" else peak * 1024)
