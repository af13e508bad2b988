"""What a result may depend on besides the options: the commit, the versions of libraries, the machine."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = [
    "torch", "lightly", "timm", "segmentation-models-pytorch", "albumentations", "pytorch-lightning", "faiss-cpu",
    "umap-learn", "numpy", "scipy", "scikit-learn", "pandas",
]  # fmt: skip


def environment() -> dict[str, object]:
    """What the result may depend on besides the options: commit, versions, machine."""
    return {
        "commit": commit(),
        "dirty": bool(git("status", "--porcelain")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": processor(),
        "cores": os.cpu_count(),
        "command": " ".join(sys.argv),
        "versions": {name: installed(name) for name in LIBRARIES},
    }


def installed(library: str) -> str:
    """The library's version, or nothing where it is not there: a node that only trains needs none of the maps."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """The commit of this code, or nothing where it is no checkout."""
    return git("rev-parse", "HEAD")


def git(*words: str) -> str:
    """What git says of this checkout; nothing where it says nothing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def processor() -> str:
    """The processor's name as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
