"""The device, its driver and the versions that the figures belong to, and why there is no GPU where there is none."""

import os
import platform
import shutil
import time

import torch

from dermssl.doctor.graphics import PROGRAM, DriverError, ask_driver
from dermssl.runs.environment import LIBRARIES, commit, installed, processor

MORE = ("torchvision", "onnxruntime", "opencv-python-headless", "kornia", "pytest")


def conditions() -> dict[str, object]:
    """What a table must say of where it was measured."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "device": device_in_words(),
        "driver": driver_in_words(),
        "CUDA of torch": torch.version.cuda or "none",
        "CPU": f"{processor() or platform.machine()}, {os.cpu_count()} cores",
        "Python": platform.python_version(),
        "versions": ", ".join(f"{name} {number}" for name in (*LIBRARIES, *MORE) if (number := installed(name))),
        "commit": commit()[:10] or "unknown",
    }


def device_in_words() -> str:
    """The GPU and its memory, or that there is none."""
    if not torch.cuda.is_available():
        return "none: torch finds no GPU here"
    found = torch.cuda.get_device_properties(0)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, compute capability {found.major}.{found.minor}"


def driver_in_words() -> str:
    """The driver's version as its own program tells it, or what it said instead."""
    if shutil.which(PROGRAM) is None:
        return f"none: there is no {PROGRAM} here"
    try:
        return ask_driver("--query-gpu=driver_version", "--format=csv,noheader").strip().partition("\n")[0]
    except DriverError as error:
        return f"unknown ({error})"


def why_no_gpu() -> str:
    """A sentence for a machine on which torch finds no GPU; empty where it finds one."""
    if torch.cuda.is_available():
        return ""
    build = (
        "this torch is a build for the CPU alone" if torch.version.cuda is None else "torch finds no NVIDIA GPU here"
    )
    return (
        f"Nothing was measured: {build} (driver: {driver_in_words()}); `python -m dermssl doctor` says more, and "
        "--tiny runs every part at tiny sizes on the CPU."
    )
