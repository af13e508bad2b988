import numpy as np
import pytest

from dermssl import memory
from dermssl.memory import forget_peak, peak_memory, resident_peak

LARGE = 200_000_000  # bytes


def test_what_was_held_and_given_back_counts_until_it_is_forgotten() -> None:
    forget_peak()
    before = peak_memory()["memory_mb"]
    held = np.ones(LARGE, np.uint8)
    assert peak_memory()["memory_mb"] > before + 0.9 * LARGE / 1e6
    del held
    assert peak_memory()["memory_mb"] > before + 0.9 * LARGE / 1e6


def test_a_machine_without_a_gpu_tells_of_no_gpu() -> None:
    assert ("gpu_memory_mb" in peak_memory()) == memory.torch.cuda.is_available()


def test_where_the_system_keeps_no_peak_the_whole_life_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = resident_peak()
    monkeypatch.setattr(memory, "STATUS", memory.STATUS.with_name("no-such-file"))
    assert resident_peak() >= 0.9 * peak
