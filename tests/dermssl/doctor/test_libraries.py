"""A library that breaks as it is imported, in whatever way, is told by a process that goes on."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from planted_machine import only, plant_module, states

from dermssl.doctor import libraries
from dermssl.doctor.libraries import ImportTrial
from dermssl.doctor.trial import LIBRARIES

DIES = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


@pytest.fixture
def ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose libraries another process takes first; numpy is there, and quickly imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    plant_module(tmp_path, "numpy", "class ones:\n def __init__(self, _): pass\n def __matmul__(self, _): return self\n"
                 " def sum(self): return 8\n")  # fmt: skip
    libraries.import_trial.cache_clear()
    yield tmp_path
    libraries.import_trial.cache_clear()


def planted(trial: ImportTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "import_trial", lambda: trial)


def test_a_torch_that_raises_is_a_fault_and_the_others_are_not_tried(ahead: Path) -> None:
    plant_module(ahead, "torch", "raise ImportError('libcudart.so.13: cannot open shared object file')")
    error, rest = libraries.examine_libraries()
    assert (error.check, error.state, rest.state) == ("torch", "fault", "note")
    assert "a library of the system is missing (ImportError: libcudart.so.13" in error.text
    assert error.remedy.endswith("'torch>=2.6' 'torchvision>=0.21'")


def test_a_torch_that_ends_the_process_is_a_fault(ahead: Path) -> None:
    plant_module(ahead, "torch", DIES)
    assert "`import torch` does not end well: the process was ended by the signal SIGSEGV" in seen_of(ahead)


@pytest.mark.parametrize("code", ["raise SystemExit(3)", "raise KeyboardInterrupt"])
def test_a_torch_that_wants_to_leave_is_a_fault(code: str, ahead: Path) -> None:
    plant_module(ahead, "torch", code)
    assert "`import torch` fails" in seen_of(ahead)


def test_a_torch_that_leaves_without_a_word_is_a_fault(ahead: Path) -> None:
    plant_module(ahead, "torch", "import os, sys; print('no GPU, no torch', file=sys.stderr); os._exit(4)")
    assert "ended with exit code 4: no GPU, no torch" in seen_of(ahead)


def test_a_torch_that_hangs_is_a_fault(ahead: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant_module(ahead, "torch", "import time; time.sleep(1000)")
    monkeypatch.setattr(libraries, "PATIENCE", 2.0)
    assert "it had not ended after 2 s" in seen_of(ahead)


def test_a_broken_numpy_is_a_fault(ahead: Path) -> None:
    (ahead / "numpy" / "__init__.py").write_text("raise ImportError('numpy.core.multiarray failed to import')")
    assert "built for another version of numpy" in seen_of(ahead)


def seen_of(_: Path) -> str:
    """What is said of the libraries, which is a fault first."""
    seen = [*libraries.examine_libraries()]
    assert seen[0].state == "fault"
    return seen[0].text


def test_what_an_import_prints_is_a_note(ahead: Path) -> None:
    plant_module(ahead, "torch", "print('\\x1b[31mwelcome')\nraise ImportError")
    assert r"'\x1b[31mwelcome'" in [seen.text for seen in libraries.examine_libraries()][-1]


def test_a_pair_that_does_not_fit_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "RuntimeError: operator torchvision::nms does not exist"
    facts: dict[str, dict[str, object]] = {name: {"name": name} for name in LIBRARIES}
    planted(ImportTrial(facts | {"torchvision": {"error": error}}, "onnxruntime", True), monkeypatch)
    seen = only(libraries.examine_libraries)
    assert "torch and torchvision do not belong together" in seen.text
    assert "'torch>=2.6' 'torchvision>=0.21'" in seen.remedy


def test_a_busy_machine_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(ImportTrial({}, "timm", False, None, seconds=120, computed=15), monkeypatch)
    seen = only(libraries.examine_libraries)
    assert (seen.state, "the machine is busy" in seen.text) == ("note", True)


def test_a_process_that_could_not_begin_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(ImportTrial(code=-int(signal.SIGKILL)), monkeypatch)
    assert only(libraries.examine_libraries).text == (
        "A second Python could not be started (the process was ended by the signal SIGKILL)."
    )


def test_a_crash_at_the_very_end_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    planted(ImportTrial({}, "onnxruntime", True, -int(signal.SIGABRT)), monkeypatch)
    assert "ends badly" in only(libraries.examine_libraries).text


def test_the_version_of_a_library_that_broke_is_left_to_its_installer(monkeypatch: pytest.MonkeyPatch) -> None:
    facts: dict[str, dict[str, object]] = {"cv2": {"version": "4.9"}, "torch": {"error": "x"}, "cuda": {"devices": []}}
    planted(ImportTrial(facts), monkeypatch)
    assert libraries.versions_found() == {"opencv-python-headless": "4.9"}


@pytest.mark.slow
def test_the_libraries_of_this_installation_are_good() -> None:
    libraries.import_trial.cache_clear()
    assert set(states(libraries.examine_libraries())) <= {"good", "note"}
    assert libraries.versions_found().get("numpy")
    assert os.path.basename(str(libraries.import_trial().facts["numpy"]["file"])) == "__init__.py"  # noqa: PTH119
