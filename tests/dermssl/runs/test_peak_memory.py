import subprocess
import sys

import pytest

from dermssl.runs import costs
from dermssl.runs.costs import peak_memory, resident_peak

HOLDING = """
import numpy as np
from dermssl.runs.costs import forget_peak, peak_memory

forget_peak()
before = peak_memory()["memory_mb"]
held = np.ones(200_000_000, np.uint8)
during = peak_memory()["memory_mb"]
del held
print(during - before, peak_memory()["memory_mb"] - before)
"""


@pytest.mark.slow
def test_what_was_held_and_given_back_counts_until_it_is_forgotten() -> None:
    # In a process of its own: one that has done other things may have the memory already.
    done = subprocess.run([sys.executable, "-c", HOLDING], capture_output=True, text=True, check=True)
    during, after = map(float, done.stdout.split())
    assert 190 < during < 260
    assert 190 < after < 260


AFTER_A_LARGE_RUN = """
import torch
from dermssl.training.device import keep_freed_memory
from dermssl.runs.costs import forget_peak, peak_memory

keep_freed_memory()
forget_peak()
before = peak_memory()["memory_mb"]
large = [torch.ones(5000, 5000) for _ in range(4)]
large.append(large)
del large
forget_peak()
print(peak_memory()["memory_mb"] - before)
"""


@pytest.mark.slow
def test_a_small_run_behind_a_large_one_shows_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", AFTER_A_LARGE_RUN], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 100  # of 400


def test_a_machine_without_a_gpu_tells_of_no_gpu() -> None:
    assert ("gpu_memory_mb" in peak_memory()) == costs.torch.cuda.is_available()


def test_where_the_system_keeps_no_peak_the_whole_life_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = resident_peak()
    monkeypatch.setattr(costs, "STATUS", costs.STATUS.with_name("no-such-file"))
    assert resident_peak() >= 0.9 * peak
