"""GPUs: what their driver says of them, and whether this torch can use them."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from dermssl.doctor.libraries import import_trial, remedy_of
from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.errors import cut, in_one_line
from dermssl.wording import counted, percentage, room

PROGRAM = "nvidia-smi"
PATIENCE = 20.0  # seconds: a driver that sleeps takes some to wake
FIELDS = ("index", "name", "memory.total", "memory.used", "driver_version", "mig.mode.current")
FULL = 0.5  # share of a GPU's memory in other hands above which it is said
MIB = 2**20


class DriverError(Exception):
    """What the driver's program said instead of an answer."""


def ask_driver(*words: str) -> str:
    """What the driver's program says.

    Raises:
        DriverError: If it fails, or gives no answer in time.
    """
    try:
        done = subprocess.run(
            [PROGRAM, *words], capture_output=True, text=True, errors="replace", timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DriverError(f"no answer within {PATIENCE:.0f} s") from error
    except OSError as error:
        raise DriverError(str(error)) from error
    if done.returncode:
        raise DriverError(in_one_line(cut((done.stdout + done.stderr).strip() or f"exit code {done.returncode}")))
    return done.stdout


def examine_gpus() -> Iterator[Observation]:
    """Every GPU that the driver knows, and whether torch sees as many."""
    facts = import_trial().facts
    devices = facts.get("cuda", {}).get("devices")
    names = [str(device) for device in devices] if isinstance(devices, list) else []
    seen = len(names)
    cuda, hip = facts.get("torch", {}).get("cuda"), facts.get("torch", {}).get("hip")
    if shutil.which(PROGRAM) is None:
        if seen:
            yield good("gpu", f"torch uses {counted(seen, 'GPU')}: {', '.join(names)}.")
        else:
            kind = "of AMD" if hip else "of NVIDIA"
            yield note(
                "gpu", f"There is no GPU {kind} with a driver here: everything runs on the CPU, which takes longer."
            )
        return
    try:
        lines = ask_driver(f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits").strip().splitlines()
        newest = driver_cuda(ask_driver())
    except DriverError as error:
        yield fault("gpu", f"The driver of the GPUs does not answer: {error}.", f"{PROGRAM}, and load the driver anew")
        return
    for line in lines:
        yield from gpu_in_words(line)
    if "torch" in facts and "error" not in facts["torch"] and lines:
        yield torch_and_driver(seen, None if cuda is None else str(cuda), newest)


def driver_cuda(table: str) -> str:
    """The newest CUDA that the driver takes, as its table says above all: `12.4`; nothing where it does not."""
    match = re.search(r"CUDA (?:UMD )?Version\s*:\s*(\d+(?:\.\d+)?)", table)
    return match[1] if match else ""


def gpu_in_words(line: str) -> Iterator[Observation]:
    """A GPU by its line of the driver's answer: memory, and whether it is cut into slices (MIG)."""
    index, name, total, used, driver, mig = ([word.strip() for word in line.split(",")] + [""] * len(FIELDS))[:6]
    text = f"GPU {index} is {name} (driver {driver})"
    if total.isdigit() and used.isdigit() and int(total):
        size, share = int(total) * MIB, int(used) / int(total)
        text += f", {room(size)} of memory"
        if share > FULL:
            others = f"{text}, of which other programs hold {percentage(share)}."
            yield note("gpu", others, f"{PROGRAM}, and end what is not needed; or export CUDA_VISIBLE_DEVICES=NUMBER")
            return
    if mig == "Enabled":
        sliced = f"{text}, cut into slices (MIG): a process takes one slice and no more."
        yield note("gpu", sliced, f"{PROGRAM} -L, and export CUDA_VISIBLE_DEVICES=MIG-... to choose a slice")
    else:
        yield good("gpu", f"{text}.")


def torch_and_driver(seen: int, cuda: str | None, newest: str) -> Observation:
    """Whether torch can use what the driver knows.

    Args:
        seen: GPUs that torch sees.
        cuda: The CUDA that torch was built with; None of a build for the CPU alone.
        newest: The newest CUDA that the driver takes.
    """
    if seen:
        return good("cuda", f"torch uses {counted(seen, 'GPU')} by CUDA {cuda}; the driver takes up to {newest}.")
    if cuda is None:
        text = "This torch was built for the CPU alone, so the GPU is not used."
        return note("cuda", text, remedy_of("torch"))
    if newest and int(newest.partition(".")[0]) < int(cuda.partition(".")[0]):
        text = f"This torch was built with CUDA {cuda}, and the driver takes up to {newest}: the GPU is not used."
        wheels = f"--torch-backend=cu{newest.partition('.')[0]}{newest.partition('.')[2] or 0}"
        return fault("cuda", text, f"{remedy_of('torch')} {wheels}, or install a newer driver")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        text = f"CUDA_VISIBLE_DEVICES is '{visible}', and torch sees no GPU through it."
        return note("cuda", text, "unset CUDA_VISIBLE_DEVICES")
    text = f"The driver knows of a GPU, and torch (CUDA {cuda}) sees none."
    return fault("cuda", text, "python -c 'import torch; torch.zeros(1).cuda()', which says why")
