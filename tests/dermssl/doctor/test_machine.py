"""Cores, memory, disks, GPUs, images, weights and the network: each fault that can be planted is told."""

import errno
import json
import os
import resource
import socket
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import pytest
from planted_machine import only, plant_program, states

from dermssl.data import kept
from dermssl.doctor import disks, graphics, letters, memory, network, processors, supplies
from dermssl.doctor.libraries import ImportTrial
from dermssl.runs import control_group
from dermssl.weights import hub

ANSWER = "0, NVIDIA H100, 81559, {used}, 570.86, {mig}"
TABLE = "| NVIDIA-SMI 570.86    Driver Version: 570.86    CUDA Version: 12.8 |"


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a control group of version 2, in which this process is."""
    (tmp_path / "self").write_text("0::/box/inner\n")
    (tmp_path / "box" / "inner").mkdir(parents=True)
    monkeypatch.setattr(control_group, "GROUPS", tmp_path / "self")
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    return tmp_path / "box"


def test_the_cores_of_a_container_are_those_that_commands_take(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (group / "cpu.max").write_text("150000 100000\n")
    (group / "inner" / "cpu.max").write_text("max 100000\n")
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    seen = only(processors.examine_cores)
    assert seen.state == "good"
    assert "64 cores, of which this process may use 2" in seen.text
    assert control_group.usable_cores() == 2


def test_the_limit_of_an_older_kind_of_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "self").write_text("3:cpu,cpuacct:/box\n0::/\n")
    (tmp_path / "cpu" / "box").mkdir(parents=True)
    (tmp_path / "cpu" / "box" / "cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cpu" / "box" / "cpu.cfs_period_us").write_text("100000")
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    monkeypatch.setattr(control_group, "GROUPS", tmp_path / "self")
    monkeypatch.setattr(control_group, "ROOT", tmp_path)
    assert control_group.core_limit() == 0.5


@pytest.mark.parametrize(("value", "state"), [("1", "good"), ("100000", "note"), ("many", "note"), ("0", "note")])
def test_a_variable_that_asks_for_more_threads_than_cores_is_a_note(value: str, state: str) -> None:
    assert processors.threads_asked("OMP_NUM_THREADS", value, 2).state == state


@pytest.mark.parametrize(("shares", "state"), [([0.4, 0.5], "note"), ([0.99, 0.98], "good")])
def test_busy_cores_are_a_note(shares: list[float], state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processors, "core_shares", lambda _: shares)
    assert only(processors.examine_load).state == state


def test_processes_tell_what_they_got_of_their_cores() -> None:
    assert all(0 < share <= 1.01 for share in processors.core_shares(2))


@pytest.mark.parametrize(
    ("flags", "said"), [("fpu sse2", "no AVX2"), ("avx2 fma", "float32"), ("avx2 avx512_bf16", "computes in bf16")]
)
def test_a_processor_is_told_by_what_it_computes(
    flags: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"model name\t: drawn\nflags\t\t: {flags}\n")
    monkeypatch.setattr(processors, "CPU", tmp_path / "cpuinfo")
    assert said in only(processors.examine_instructions).text


@pytest.mark.parametrize(("free", "state"), [(1, "fault"), (3, "note"), (30, "good")])
def test_little_memory_is_told(free: int, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text(f"MemTotal: {32 << 20} kB\nMemAvailable: {free << 20} kB\nHugePages_Total: 0\n")
    monkeypatch.setattr(memory, "INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "memory_limit", lambda: float("inf"))
    assert only(memory.examine_memory).state == state


def test_the_memory_of_a_container_counts(group: Path) -> None:
    (group / "memory.max").write_text(str(10**9))
    (group / "inner" / "memory.max").write_text("max")
    (group / "inner" / "memory.current").write_text(str(4 * 10**8))
    (group / "inner" / "memory.stat").write_text("anon 1\ninactive_file 100000000\n")
    seen = only(memory.examine_memory)
    assert seen.state == "fault"
    assert "This container has 1.0 GB of memory, of which 700 MB are free" in seen.text


def test_limits_of_the_shell_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {resource.RLIMIT_FSIZE: (10**6, 10**6), resource.RLIMIT_NOFILE: (256, 512)}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: limits.get(kind, (-1, -1)))
    monkeypatch.setattr(memory, "allowed_addresses", lambda: 2.0**30)
    remedies = [seen.remedy for seen in memory.examine_limits()]
    assert remedies == ["ulimit -v unlimited", "ulimit -f unlimited", "ulimit -n 512"]


def test_little_shared_memory_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_frsize=1, f_blocks=64 << 20, f_bavail=60 << 20))
    assert only(memory.examine_shared_memory).state == "note"


@pytest.mark.usefixtures("workplace")
def test_a_full_disk_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_: Path) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disks, "bytes_a_second", write)
    seen = next(disks.examine_speed())
    assert seen.state == "fault"
    assert "a file of 68 MB no room left on the disk" in seen.text


@pytest.mark.parametrize(("free", "names", "state"), [(10**8, 10**6, "fault"), (5 * 10**9, 10**6, "note"),
                                                      (10**11, 10, "fault"), (10**11, 10**6, "good")])  # fmt: skip
@pytest.mark.usefixtures("workplace")
def test_room_on_the_disk_is_told(free: int, names: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    system = SimpleNamespace(f_frsize=1, f_bavail=free, f_blocks=10**12, f_files=10**7, f_favail=names)
    monkeypatch.setattr(os, "statvfs", lambda _: system)
    assert set(states(disks.examine_room())) == {state}


def test_timing_a_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "TRIAL", 2**20)
    monkeypatch.setattr(disks, "PIECE", 2**18)
    assert disks.bytes_a_second(tmp_path) > 0
    assert [*tmp_path.iterdir()] == []


def test_a_slow_disk_is_a_note(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "bytes_a_second", lambda _: 2e6)
    assert set(states(disks.examine_speed())) == {"note"}


@pytest.mark.usefixtures("workplace")
def test_a_home_that_cannot_be_written_to_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/proc")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("DERMSSL_CACHE")
    assert only(disks.examine_home).state == "note"
    assert [seen.remedy for seen in disks.examine_folders() if seen.state == "note"] == [
        "export DERMSSL_CACHE=FOLDER",
        "export HF_HOME=FOLDER",
    ]


def test_no_home_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disks, "home_folder", lambda _: None)
    assert only(disks.examine_home).state == "note"
    assert kept.home_folder("") is None


def test_a_file_where_runs_should_be_is_a_fault(workplace: Path) -> None:
    (workplace / "runs").write_text("")
    seen = next(disks.examine_folders())
    assert (seen.state, seen.remedy) == ("fault", "give each command --out FOLDER")


@pytest.mark.usefixtures("workplace")
def test_a_temporary_folder_that_is_closed_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/proc")
    assert [seen.remedy for seen in disks.examine_folders() if seen.state == "fault"] == ["export TMPDIR=FOLDER"]


def driver(folder: Path, monkeypatch: pytest.MonkeyPatch, line: str, torch: dict[str, object], *seen: str) -> None:
    """A driver that gives this line of its GPU, and a torch that sees these."""
    plant_program(folder, "nvidia-smi", f'[ -n "$1" ] && echo "{line}" || echo "{TABLE}"')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    facts: dict[str, dict[str, object]] = {"torch": torch, "cuda": {"devices": [*seen]}}
    monkeypatch.setattr(graphics, "import_trial", lambda: ImportTrial(facts, whole=True))


@pytest.mark.parametrize(
    ("cuda", "used", "mig", "seen", "expected"),
    [
        ("12.8", 100, "Disabled", ["H100"], ["good", "good"]),
        ("12.9", 100, "Disabled", ["H100"], ["good", "good"]),
        ("13.0", 100, "Disabled", [], ["good", "fault"]),
        (None, 100, "[N/A]", [], ["good", "note"]),
        ("12.8", 70000, "Disabled", ["H100"], ["note", "good"]),
        ("12.8", 100, "Enabled", ["H100 MIG 1g.10gb"], ["note", "good"]),
        ("12.8", 100, "Disabled", [], ["good", "fault"]),
    ],
)
def test_a_gpu_and_its_torch_are_told(
    cuda: str | None, used: int, mig: str, seen: list[str], expected: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver(tmp_path, monkeypatch, ANSWER.format(used=used, mig=mig), {"cuda": cuda, "hip": None}, *seen)
    assert states(graphics.examine_gpus()) == expected


def test_gpus_that_a_variable_hides_are_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, ANSWER.format(used=1, mig="[N/A]"), {"cuda": "12.8"})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [seen.remedy for seen in graphics.examine_gpus()][-1] == "unset CUDA_VISIBLE_DEVICES"


@pytest.mark.parametrize("code", ["echo NVIDIA-SMI has failed; exit 9", "sleep 5"])
def test_a_driver_that_fails_is_a_fault(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, "", {"cuda": "12.8"})
    plant_program(tmp_path, "nvidia-smi", code)
    monkeypatch.setattr(graphics, "PATIENCE", 0.5)
    assert only(graphics.examine_gpus).state == "fault"


def test_no_gpu_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver(tmp_path, monkeypatch, "", {"cuda": "12.8"})
    monkeypatch.setenv("PATH", "")
    assert only(graphics.examine_gpus).state == "note"


def test_a_folder_for_images_that_is_empty_is_a_fault(workplace: Path, draw_isic: object) -> None:
    (workplace / "data" / "isic2018").mkdir(parents=True)
    (workplace / "data" / "unlabelled" / "deep").mkdir(parents=True)
    (workplace / "data" / "unlabelled" / "deep" / "one.JPG").write_text("")
    assert states(supplies.examine_images()) == ["fault", "good", "good"]


@pytest.mark.usefixtures("workplace")
def test_images_that_are_absent_are_notes() -> None:
    assert states(supplies.examine_images()) == ["note", "note", "good"]


def weights(path: Path, card: dict[str, str], more: bytes = b"") -> None:
    """A file of safetensors with a card and one tensor."""
    tensor = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    header = json.dumps({"__metadata__": {"card": json.dumps(card)}, "weight": tensor}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0\0\0" + more)


def test_encoders_are_told_by_their_cards_and_broken_ones_apart(workplace: Path) -> None:
    weights(workplace / "checkpoints/simclr/encoder.safetensors", {"encoder": "resnet18", "method": "simclr"})
    weights(workplace / "checkpoints/moco/encoder.safetensors", {"encoder": "resnet18", "method": "moco"}, b"more")
    (workplace / "checkpoints/byol.safetensors").write_bytes(b"\1")
    seen = [*supplies.examine_encoders()]
    assert [one.state for one in seen] == ["note", "note", "good"]
    assert "resnet18 by simclr (checkpoints/simclr/encoder.safetensors)" in seen[-1].text


def test_weights_that_are_not_installed_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supplies, "module_origin", lambda _: None)
    assert next(supplies.examine_weights()).state == "fault"


@pytest.fixture
def closed_hub(monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub at a port of this machine at which nobody listens."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{door.getsockname()[1]}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "http_proxy", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return address


@pytest.mark.usefixtures("closed_hub")
def test_a_hub_that_does_not_answer_is_a_note() -> None:
    seen = only(network.examine_hub)
    assert (seen.state, "127.0.0.1 does not answer" in seen.text) == ("note", True)


def test_the_mirror_of_the_hub_is_looked_up_and_not_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    asked: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, _: asked.append(host))
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hub")
    assert hub.hub_is_near()
    assert asked == ["mirror.example"]


@pytest.mark.usefixtures("closed_hub")
def test_a_hub_that_is_switched_off_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "yes")
    assert only(network.examine_hub).remedy == "unset HF_HUB_OFFLINE"


@pytest.mark.parametrize("address", ["nowhere", "file:///etc/passwd", "http://"])
def test_an_address_that_is_none_is_a_fault(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", address)
    assert only(network.examine_hub).state == "fault"


def test_the_password_of_a_proxy_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("https_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://me:secret@proxy.example:3128")
    text = only(network.examine_proxies).text
    assert "proxy.example:3128" in text
    assert "secret" not in text


def test_letters_that_are_no_utf8_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters.locale, "getpreferredencoding", lambda _: "ANSI_X3.4-1968")
    assert only(letters.examine_letters).remedy == "export LC_ALL=C.UTF-8"
