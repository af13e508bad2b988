"""Python and the packages that dermssl stands on: whether they are there, and whether they are in one another's way."""

import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.doctor.versions import (
    Requirement,
    fits,
    installed_version,
    own_requirements,
    parsed_requirement,
    reinstalling,
)
from dermssl.errors import first_ten
from dermssl.wording import counted

OLDEST, NEWEST = (3, 11), (3, 13)
RIVALS = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
"""Other builds of OpenCV, which write their files over those of ours."""


def examine_python() -> Iterator[Observation]:
    """The interpreter: its version, and whether it is one of this folder alone."""
    version = platform.python_version()
    place = "in a virtual environment" if sys.prefix != sys.base_prefix else "of the whole system"
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        text = f"Python {version} is none that dermssl was made for: those are 3.11, 3.12 and 3.13."
        yield fault("python", text, "make setup PYTHON=python3.11 && source .venv/bin/activate")
        return
    yield good("python", f"Python {version}, {place} ({sys.executable}).")
    if sys.platform != "linux":
        yield note("python", f"dermssl is tested on Linux alone, and this is {platform.system()}.")
    if sys.dont_write_bytecode:
        text = "Python keeps no bytecode here, so each command compiles torch and the others anew, for many seconds."
        yield note("python", text, "unset PYTHONDONTWRITEBYTECODE")


def examine_packages() -> Iterator[Observation]:
    """Each of our dependencies against its bounds."""
    requirements = own_requirements()
    if not requirements:
        text = "What dermssl demands of other packages is nowhere written: it is neither installed nor a checkout."
        yield fault("packages", text, "python -m pip install uv && python -m uv pip install --editable .")
        return
    absent = [one for one in requirements if not installed_version(one.name)]
    if absent:
        names = first_ten([one.name for one in absent])
        there = "is" if len(absent) == 1 else "are"
        yield fault("packages", f"Not installed {there} {names}.", reinstalling(*(one.typed for one in absent)))
    wrong = [one for one in requirements if one not in absent and not fits(installed_version(one.name), one.versions)]
    for one in wrong:
        text = f"{one.name} is of version {installed_version(one.name)}, and dermssl needs {one.versions}."
        yield fault("packages", text, reinstalling(one.typed))
    if not absent and not wrong:
        yield good("packages", f"{counted(len(requirements), 'package')} of versions that dermssl was made for.")


def examine_pair() -> Iterator[Observation]:
    """Whether torchvision is the one that belongs to this torch, by its own word."""
    torch, torchvision = installed_version("torch"), installed_version("torchvision")
    if not torch or not torchvision:
        return  # which the packages have told
    demands = [parsed_requirement(line) for line in metadata.requires("torchvision") or []]
    demand = next((one for one in demands if one is not None and one.name == "torch"), Requirement("torch", ""))
    if fits(torch, demand.versions):
        yield good("torch", f"torch {torch} and torchvision {torchvision} belong together.")
    else:
        text = (
            f"torchvision {torchvision} belongs to torch {demand.versions.lstrip('=')}, and torch {torch} is installed:"
            " whatever imports torchvision stops ('operator torchvision::nms does not exist')."
        )
        yield fault("torch", text, reinstalling(f"torch=={torch.partition('+')[0]}", "torchvision"))


def examine_albumentations() -> Iterator[Observation]:
    """Whether another package lies over albumentations: one of the same import name, under another licence."""
    other = installed_version("albumentationsx")
    if not other:
        return
    wanted = next(
        (one for one in own_requirements() if one.name == "albumentations"), Requirement("albumentations", "")
    )
    text = (
        f"albumentationsx {other} is installed, which is imported under the name of albumentations, draws other "
        "augmentations and is under another licence (AGPL); with both, the one that came last is taken."
    )
    remove = "python -m pip uninstall --yes albumentationsx albumentations"
    yield fault("albumentations", text, f"{remove} && {reinstalling(wanted.typed)}")


def examine_opencv() -> Iterator[Observation]:
    """Whether several builds of OpenCV lie over one another."""
    rivals = [name for name in RIVALS if installed_version(name)]
    if not rivals:
        return
    text = (
        f"{' and '.join(rivals)} and opencv-python-headless write the same files: the one that came last is taken, and "
        "removing one breaks the other. The build that is not headless needs libraries of a screen as well."
    )
    remove = f"python -m pip uninstall --yes {' '.join(rivals)} opencv-python-headless"
    yield note("opencv", text, f"{remove} && {reinstalling('opencv-python-headless')}")


def module_origin(module: str) -> Path | None:
    """The file that an import would take, which is not imported; None where there is none."""
    spec = PathFinder.find_spec(module)  # past what refuses torch where `ulimit -v` leaves it no room
    return Path(spec.origin) if spec is not None and spec.origin else None


def examine_shadows() -> Iterator[Observation]:
    """Files of the current folder or of PYTHONPATH that are taken in the place of a library."""
    for module, package in (("numpy", "numpy"), ("torch", "torch"), ("torchvision", "torchvision"), ("yaml", "pyyaml")):
        origin = module_origin(module)
        if origin is None or not installed_version(package):
            continue
        proper = Path(str(metadata.distribution(package).locate_file(""))).resolve()
        if not origin.resolve().is_relative_to(proper):
            text = f"{module} would be imported from {origin}, and not from the package that is installed in {proper}."
            yield fault("shadows", text, "unset PYTHONPATH, or give that file or folder another name")
