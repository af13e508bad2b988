"""The folders that commands write to: whether they can, how much room their disks have, and how quick those are."""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dermssl.data.kept import home_folder
from dermssl.doctor.observation import Observation, fault, good, note
from dermssl.errors import UserError
from dermssl.places import is_writable, nearest_standing, need_writable_folder
from dermssl.system_errors import explained
from dermssl.wording import room

LITTLE, TOO_LITTLE = 10e9, 1e9  # bytes free: a study keeps some GB, a single run and its checkpoints some hundred MB
FEW_NAMES = 10_000  # files that a disk may still take
TRIAL, PIECE = 64 * 2**20, 4 * 2**20  # bytes written to time a disk, and bytes at a time
PATIENCE = 5.0  # seconds of writing
SLOW = 20e6  # bytes a second: a checkpoint of 400 MB then takes 20 s


def written_folders() -> dict[str, Path]:
    """What is kept where by default: options move the first three, variables the others."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(home_folder(os.environ.get("HOME")) or "/", ".cache"))
    hub = Path(os.environ.get("HF_HOME") or cache / "huggingface")
    return {
        "runs": Path("runs"),
        "checkpoints": Path("checkpoints"),
        "data": Path("data"),
        "cache": Path(os.environ.get("DERMSSL_CACHE") or cache / "dermssl"),
        "hub": Path(os.environ.get("HF_HUB_CACHE") or hub / "hub"),
        "temporary": Path(os.environ.get("TMPDIR") or "/tmp"),  # tempfile itself would pass over one that is closed
    }


REMEDIES = {
    "runs": "give each command --out FOLDER",
    "checkpoints": "give each command --checkpoints FOLDER",
    "data": "give each command --data FOLDER, or start it in another folder",
    "cache": "export DERMSSL_CACHE=FOLDER",
    "hub": "export HF_HOME=FOLDER",
    "temporary": "export TMPDIR=FOLDER",
}
NECESSARY = ("runs", "checkpoints", "temporary")
"""Without the others something else is taken: a temporary folder for a cache, images of another folder."""


def examine_folders() -> Iterator[Observation]:
    """Whether each of them, or the nearest folder above, takes a file."""
    writable = []
    for name, folder in written_folders().items():
        try:
            need_writable_folder(name, folder)
        except UserError as error:
            say = fault if name in NECESSARY else note
            yield say("folders", f"Nothing can be written into the folder for {error}.", REMEDIES[name])
        else:
            writable.append(str(folder))
    if writable:
        yield good("folders", f"Files can be written into {', '.join(writable)}.")


def examine_home() -> Iterator[Observation]:
    """Whether there is a home folder, in which libraries keep what they fetch, and their settings."""
    home = home_folder(os.environ.get("HOME"))
    if home is None:
        yield note("home", "Nobody knows of a home folder, so libraries keep nothing.", "export HOME=FOLDER")
    elif not is_writable(home):
        text = f"The home folder {home} cannot be written to: libraries fetch weights and build fonts anew each time."
        yield note("home", text, "export HOME=FOLDER, with one that can be written to")
    else:
        yield good("home", f"The home folder {home} can be written to.")


def disks() -> dict[int, list[Path]]:
    """The standing folders into which is written, by the disk that they lie on."""
    places: dict[int, list[Path]] = {}
    for folder in written_folders().values():
        try:
            standing = nearest_standing(folder)
            places.setdefault(standing.stat().st_dev, []).append(standing.absolute())
        except OSError:
            continue  # which the folders have told
    return {disk: list(dict.fromkeys(folders)) for disk, folders in places.items()}


def examine_room() -> Iterator[Observation]:
    """Bytes and files that each disk still takes."""
    for folders in disks().values():
        system = os.statvfs(folders[0])
        free, size = system.f_frsize * system.f_bavail, system.f_frsize * system.f_blocks
        text = f"The disk of {', '.join(map(str, folders))} has {room(free)} of {room(size)} free"
        remedy = "free some, or write elsewhere: --out moves runs, DERMSSL_CACHE what is kept of a data set"
        if free < TOO_LITTLE:
            yield fault("disk", f"{text}: a run would stop in its middle.", remedy)
        elif system.f_files and system.f_favail < FEW_NAMES:
            yield fault(
                "disk", f"{text}, and takes {system.f_favail} more files at most.", "df --inodes, and remove some"
            )
        elif free < LITTLE:
            yield note("disk", f"{text}, which a study of many runs can fill.", remedy)
        else:
            yield good("disk", f"{text}.")


def examine_speed() -> Iterator[Observation]:
    """How quickly each disk takes a file to its very end; nothing is left of the file."""
    for folders in disks().values():
        folder = next((folder for folder in folders if is_writable(folder)), None)
        if folder is None:
            continue
        try:
            speed = bytes_a_second(folder)
        except OSError as error:
            yield fault("speed", f"{folder}: a file of {room(TRIAL)} {explained(error)}.", "df -h, and free some room")
            continue
        text = f"The disk of {folder} takes {room(speed)} a second"
        if speed < SLOW:
            yield note(
                "speed", f"{text}: checkpoints and kept pixels take long.", "give --out FOLDER on a quicker disk"
            )
        else:
            yield good("speed", f"{text}.")


def bytes_a_second(folder: Path) -> float:
    """Bytes that a second takes in a nameless file, until they are on the disk.

    Raises:
        OSError: If the disk is full, or fails.
    """
    piece = os.urandom(PIECE)  # some disks would not write zeros at all
    written, start = 0, time.perf_counter()
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        while written < TRIAL and time.perf_counter() - start < PATIENCE:
            written += file.write(piece)
            os.fsync(file.fileno())
    return written / (time.perf_counter() - start)
