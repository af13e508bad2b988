"""Cores and threads: how many there are, how many may be used, and whether something else uses them already."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from dermssl.doctor.observation import Observation, good, note
from dermssl.runs.control_group import usable_cores
from dermssl.wording import counted, percentage

CPU = Path("/proc/cpuinfo")
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
BRIEF = 0.3  # seconds that each process counts
MOST = 16  # processes that count side by side
BUSY = 0.7  # share of its core that a process gets where nothing else wants it is 0.95 and above
# A process that wants a core for itself, and what it got of it.
COUNTING = f"""
import time
wall, own = time.perf_counter(), time.process_time()
while time.perf_counter() - wall < {BRIEF}: pass
print((time.process_time() - own) / (time.perf_counter() - wall))
"""


def examine_cores() -> Iterator[Observation]:
    """How many cores there are, and whether as many threads would be taken as there are cores to use."""
    cores, usable = os.cpu_count() or 1, usable_cores()
    if usable < cores:
        yield good(
            "cores", f"{counted(cores, 'core')}, of which this process may use {usable}; as many threads are taken."
        )
    else:
        yield good("cores", f"{counted(cores, 'core')}, and all of them may be used.")
    for name in VARIABLES:
        value = os.environ.get(name)
        if value is not None:
            yield threads_asked(name, value, usable)


def threads_asked(name: str, value: str, usable: int) -> Observation:
    """What is said of a variable that sets a number of threads."""
    first = value.split(",")[0].strip()
    if not first.isdigit() or int(first) < 1:
        return note("threads", f"{name} is '{value}', which is no number of threads.", f"unset {name}")
    if int(first) > usable:
        text = f"{name} asks for {value} threads, and {counted(usable, 'core')} may be used: up to ten times slower."
        return note("threads", text, f"export {name}={usable}")
    return good("threads", f"{name} is {value}; dermssl's own threads go by --threads.")


def examine_instructions() -> Iterator[Observation]:
    """Whether the processor has the instructions that make training quick."""
    try:
        lines = CPU.read_text().splitlines()
    except OSError:
        return
    known = {word for line in lines if line.lower().startswith(("flags", "features")) for word in line.split()}
    if "avx2" not in known and "asimd" not in known:
        yield note("cpu", "The processor knows no AVX2: training is several times slower than on a newer one.")
    elif known & {"avx512_bf16", "amx_bf16", "bf16"}:
        yield good("cpu", "The processor computes in bf16, which --precision auto takes where it is quicker.")
    else:
        yield good("cpu", "The processor does not compute in bf16; --precision auto takes float32.")


def core_shares(count: int) -> list[float]:
    """What processes that count side by side get of their cores, each in [0, 1]."""
    command = [sys.executable, "-I", "-S", "-c", COUNTING]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return [float(json.loads(process.communicate(timeout=20)[0])) for process in processes]


def examine_load() -> Iterator[Observation]:
    """Whether the cores are free: two threads beside a busy core are up to ten times slower than one."""
    usable = usable_cores()
    count = min(usable, MOST)
    shares = core_shares(count)
    share, load = min(1.0, sum(shares) / count), os.getloadavg()[0]
    free = max(1, int(share * usable))
    priority = os.getpriority(os.PRIO_PROCESS, 0)
    load_in_words = f"load {load:.1f}" + (f", nice {priority}" if priority > 0 else "")
    beside = (
        f"{counted(count, 'process', 'processes')} that counted side by side got {percentage(share)} of their cores"
    )
    if share < BUSY:
        text = (
            f"The cores are busy with something else: {beside} ({load_in_words}). Commands whose threads wait for one "
            "another are then up to ten times slower."
        )
        yield note("load", text, f"top, and end what is not needed; or give each command --threads {free}")
    else:
        yield good("load", f"The cores are free: {beside} ({load_in_words}).")
