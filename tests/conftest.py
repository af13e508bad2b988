"""What tests of several packages draw on: a small data set in ISIC's layout, and a place where nothing else stands."""

import gc
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch and BLAS read it as they load: a test process works on one core

import cv2
import numpy as np
import pytest
import torch

from dermssl.log import print_log
from dermssl.runs import costs
from dermssl.runs.folder import Run

sys.path.insert(0, str(Path(__file__).parent))  # for pages, which the tests of documents import
sys.path.insert(0, str(Path(__file__).parent / "compare"))  # for drawn_study, which pages under trial are made of
sys.path.insert(0, str(Path(__file__).parent / "pretrain"))  # for small_methods, which a GPU is tried with as well

print_log()  # tests read what commands print

# nohup, and a script that starts the tests in its background, hand on signals that are ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


@pytest.fixture(scope="session", autouse=True)
def _young_garbage_alone() -> Iterator[None]:
    """A run collects garbage before it measures memory, and would look through all libraries and tests each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(costs, "gc", SimpleNamespace(collect=lambda: gc.collect(1)))
        yield


@pytest.fixture(scope="session")
def draw_isic() -> Callable[..., Path]:
    """Draws `count` dark discs on noise, of `size` (height, width), under the names of ISIC 2018 Task 1."""

    def draw(folder: Path, count: int = 6, size: tuple[int, int] = (48, 64), masks: bool = True) -> Path:
        rng = np.random.default_rng(0)
        height, width = size
        (folder / IMAGES).mkdir(parents=True)
        (folder / MASKS).mkdir() if masks else None
        for index in range(count):
            centre = (int(rng.integers(width // 3, 2 * width // 3)), int(rng.integers(height // 3, 2 * height // 3)))
            mask = np.zeros(size, np.uint8)
            cv2.circle(mask, centre, int(rng.integers(height // 6, height // 3)), 255, -1)
            image = rng.normal(190, 20, (height, width, 3))
            image[mask > 0] -= 110
            cv2.imwrite(str(folder / IMAGES / f"ISIC_{index:07d}.jpg"), image.clip(0, 255).astype(np.uint8))
            if masks:
                cv2.imwrite(str(folder / MASKS / f"ISIC_{index:07d}_segmentation.png"), mask)
        return folder

    return draw


@pytest.fixture(scope="session")
def torchrun() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Starts a command's two processes, and waits for what they say."""

    def start(*words: object) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
        return subprocess.run(
            [*command, *map(str, words)], env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=Path(__file__).parents[1],
            capture_output=True, text=True, timeout=280,
        )  # fmt: skip

    return start


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current directory with a cache of its own, so that nothing is read or written anywhere else."""
    place = tmp_path / "workplace"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    torch.set_num_threads(1)  # what is drawn here is too small for two
    return place


@pytest.fixture(scope="module")
def checkpoints_stay() -> Iterator[None]:
    """Finished runs keep their checkpoints, so that tests compare all that was trained and not what is published."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "drop_checkpoints", lambda _: None)
        yield


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What one module keeps of its pictures is no other's; one thread, as pictures and networks here are small."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMSSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def files_in() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a folder, hidden ones too, with its bytes."""

    def files(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    return files


@pytest.fixture(scope="session")
def official_scorer() -> ModuleType:
    """`isic_challenge_scoring.segmentation`: the challenge's own scores, from folders or zip files of masks."""
    # Its reader of an odd kind of zip needs a compiler to install; the masks of a segmentation task are in plain ones.
    sys.modules.setdefault("zipfile_deflate64", zipfile)
    from isic_challenge_scoring import segmentation

    return segmentation
