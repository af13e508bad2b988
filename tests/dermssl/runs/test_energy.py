"""Energy, as the counters of the machine's own devices tell it: processors of a drawn sysfs, and a drawn NVML."""

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dermssl.runs import energy
from dermssl.runs.energy import Counter, Meter, gpus, processors

Zone = Callable[..., Path]


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    """Draws a zone of Linux's powercap."""

    def drawn(folder: str, name: str, microjoules: object, wraps_at: object = 1_000_000_000) -> Path:
        place = tmp_path / folder
        place.mkdir()
        (place / "name").write_text(f"{name}\n")
        (place / "max_energy_range_uj").write_text(f"{wraps_at}\n")
        (place / "energy_uj").write_text(f"{microjoules}\n")
        return place / "energy_uj"

    return drawn


def test_watt_hours_are_what_the_packages_have_taken_since(zone: Zone, tmp_path: Path) -> None:
    first, second = zone("intel-rapl:0", "package-0", 5_000_000), zone("intel-rapl:1", "package-1", 0)
    meter = Meter(processors(tmp_path))
    assert meter.devices == ["CPU package-0", "CPU package-1"]
    first.write_text("65000000\n")  # 60 J
    second.write_text("12000000\n")  # 12 J
    assert meter.look() == pytest.approx(72 / 3600)
    first.write_text("67000000\n")
    assert meter.look() == pytest.approx(74 / 3600)


def test_a_counter_that_began_again_at_nought_has_gone_its_whole_range(zone: Zone, tmp_path: Path) -> None:
    file = zone("intel-rapl:0", "package-0", 262_000_000, wraps_at=262_143_000)
    meter = Meter(processors(tmp_path))
    file.write_text("3000000")
    assert meter.look() == pytest.approx((0.143 + 3) / 3600)


def test_joules_are_counted_once(zone: Zone, tmp_path: Path) -> None:
    zone("intel-rapl:0", "package-0", 1)
    zone("intel-rapl:0:0", "core", 1)  # a part of the package
    zone("intel-rapl:0:1", "dram", 1)
    zone("intel-rapl:1", "psys", 1)  # the package and more
    zone("intel-rapl-mmio:0", "package-0", 1)  # the package by another way
    assert [counter.device for counter in processors(tmp_path)] == ["CPU package-0"]


@pytest.mark.parametrize("lacks", ["energy_uj", "max_energy_range_uj", "name"])
def test_a_package_that_cannot_be_read_is_left_out(lacks: str, zone: Zone, tmp_path: Path) -> None:
    (zone("intel-rapl:0", "package-0", 1).parent / lacks).unlink()
    zone("intel-rapl:1", "package-1", 1)
    zone("intel-rapl:2", "package-2", "no number")
    assert [counter.device for counter in processors(tmp_path)] == ["CPU package-1"]


def test_a_machine_without_counters_tells_nothing(tmp_path: Path) -> None:
    assert processors(tmp_path / "no such folder") == []
    assert Meter([]).look() is None


def test_a_counter_that_stops_to_tell_leaves_nothing_to_tell(zone: Zone, tmp_path: Path) -> None:
    file = zone("intel-rapl:0", "package-0", 1)
    meter = Meter([*processors(tmp_path), Counter("GPU 0", lambda: 3.0, 1e9)])
    assert meter.look() == 0.0
    file.unlink()
    assert meter.look() is None
    file.write_text("2")
    assert meter.look() is None


class DrawnNvml:
    """What NVML answers of two GPUs, the second of which is too old to tell its energy."""

    def __init__(self) -> None:
        self.millijoules = {b"GPU-new": 7_000_000, b"GPU-old": None}
        self.handles = list(self.millijoules)

    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: object) -> int:  # noqa: N802
        handle._obj.value = self.handles.index(uuid) + 1
        return 0

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: ctypes.c_void_p, total: object) -> int:  # noqa: N802
        found = self.millijoules[self.handles[handle.value - 1]]
        if found is None:
            return 3  # NVML_ERROR_NOT_SUPPORTED
        total._obj.value = found
        return 0


def test_gpus_tell_their_energy_where_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = DrawnNvml()
    cuda = SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 2,
        get_device_properties=lambda index: SimpleNamespace(uuid=["old", "new"][index]),
    )
    monkeypatch.setattr(energy.torch, "cuda", cuda)
    monkeypatch.setattr(energy.ctypes, "CDLL", lambda _: nvml)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    meter = Meter(gpus())
    assert meter.devices == ["GPU 1"]
    nvml.millijoules[b"GPU-new"] += 3_600_000
    assert meter.look() == pytest.approx(1.0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")  # the other GPU is not trained on
    assert gpus() == []


def test_a_gpu_whose_driver_brings_no_nvml_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy.torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(energy, "NVML", "libthere-is-no-such-library.so.1")
    assert gpus() == []
