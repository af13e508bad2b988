"""The most memory that a run has held, of the machine and of the GPU."""

import contextlib
import ctypes
import gc
import platform
import resource
import sys
from pathlib import Path

import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MEGABYTE = 1e6


def forget_peak() -> None:
    """Begins to measure anew, so that a process that does many runs tells each one's own peak (Linux, CUDA).

    What an earlier run left is given back first: what the allocator keeps (`dermssl.device.keep_freed_memory`) would
    count as held by every run after it, however small.
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
