"""A wheel made of the source distribution starts in an empty folder, without the checkout anywhere near."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("dermssl", "pretrain", "finetune", "probe", "compare", "configs")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is installed of the wheel."""
    place = tmp_path_factory.mktemp("wheel")
    checkout = place / "checkout"
    for name in SOURCES:
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, checkout / name)
    make = "import setuptools.build_meta as backend; print(backend.build_sdist('dist'))"
    tool("uv", "run", "--no-project", "--with", "setuptools>=77", "python", "-c", make, cwd=checkout)
    [sdist] = (checkout / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "unpacked", filter="data")
    [source] = (place / "unpacked").iterdir()
    tool("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(place), str(source))
    [wheel] = place.glob("*.whl")
    tool("pip", "install", "--quiet", "--no-deps", "--target", str(place / "site"), str(wheel))
    return place / "site"


def tool(*words: str, cwd: Path | None = None) -> None:
    subprocess.run([sys.executable, "-m", *words], check=True, cwd=cwd)


def typed(site: Path, folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """`dermssl ...` as it is installed, in a folder; -P as the installed script has it, which looks not around."""
    home = {"HOME": str(folder), "DERMSSL_CACHE": str(folder / "cache"), "PYTHONPATH": str(site)}
    start = "from dermssl.console import main; main()"
    line = [sys.executable, "-P", "-c", start, *words]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, **home})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of somebody who has a folder called as one of ours."""
    (tmp_path / "compare").mkdir()
    return tmp_path


def test_it_is_the_wheel_that_is_tried(site: Path, folder: Path) -> None:
    line = [sys.executable, "-P", "-c", "import pretrain, dermssl.shipped as s; print(pretrain.__file__, s.CONFIGS)"]
    said = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(site)})
    assert said.stdout.split() == [str(site / "pretrain/__init__.py"), str(site / "dermssl/configs")]


@pytest.mark.parametrize("command", ["pretrain --method simclr", "finetune", "predict", "ensemble", "preview", "probe"])
def test_help_is_answered(command: str, site: Path, folder: Path) -> None:
    said = typed(site, folder, *command.split(), "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert "usage:" in said.stdout


def test_a_shipped_study_is_planned_by_its_name(site: Path, folder: Path) -> None:
    said = typed(site, folder, "compare", "plan", "short", "--no-timed")
    assert said.returncode == 0, said.stderr
    assert "study short: 28 runs" in said.stdout


def test_the_first_commands_of_the_readme_end_in_an_encoder_a_network_and_masks(site: Path, folder: Path) -> None:
    before = sorted(site.rglob("*"))
    for words in (
        "pretrain --method simclr --config configs/pretrain/short.yaml --batch_size 16 --limit 32 --epochs 1",
        "finetune --init ssl --config configs/finetune/short.yaml --steps 2 --limit 16",
    ):
        said = typed(site, folder, *words.split())
        assert said.returncode == 0, said.stderr
    assert (folder / "checkpoints/simclr/encoder.safetensors").is_file()
    [model] = (folder / "runs/finetune").iterdir()
    images = folder / "data/synthetic/labelled"
    said = typed(site, folder, "predict", "--model", str(model), "--images", str(images), "--out", "masks")
    assert said.returncode == 0, said.stderr
    assert sorted(path for path in site.rglob("*") if "__pycache__" not in path.parts) == [
        path for path in before if "__pycache__" not in path.parts
    ]  # nothing is written beside the package
