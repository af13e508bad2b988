"""Files and folders that appear whole or not at all: write beside, fsync, rename."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dermssl.errors import UserError
from dermssl.wording import room
from dermssl.parts import part_prefix, sweep_parts_once

ELSEWHERE = "free some, or write elsewhere: --out moves runs, the variable DERMSSL_CACHE what is kept of a data set"

UMASK = os.umask(0)  # the only way to ask for it is to set it
os.umask(UMASK)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; it takes the place of `path` once the body has ended well.

    A process killed in between leaves at most a hidden `.part-` file and never a half-written `path`; the next one that
    writes in that folder removes it.

    Raises:
        UserError: If the disk is full; the part is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_parts_once(path.parent)
    part = path.parent / f"{part_prefix()}{path.name}"
    try:
        with room_or_sentence(path):
            yield part
            part.chmod(0o666 & ~UMASK)  # some writers leave a file that only its owner can read
            flush(part)
        part.replace(path)
        flush(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`, which becomes `path` once the body has ended well.

    Where another process has finished the same folder meanwhile, its work stands: such folders are named by content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep_parts_once(path.parent)
    part = Path(tempfile.mkdtemp(prefix=f"{part_prefix()}{path.name}-", dir=path.parent))
    try:
        part.chmod(0o777 & ~UMASK)  # mkdtemp's 0700 would lock out the people who share a run folder
        with room_or_sentence(path):
            yield part
            for file in part.rglob("*"):
                flush(file)
        try:
            part.rename(path)
        except OSError:
            if not path.is_dir():
                raise
        flush(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def room_or_sentence(path: Path) -> Iterator[None]:
    """Turns 'no space left' into a sentence that names the disk."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not tells_of_a_full_disk(error, path.parent):
            raise
        raise UserError(f"{path}: no room left on the disk; {ELSEWHERE}") from error


def tells_of_a_full_disk(error: Exception, folder: Path) -> bool:
    """Whether `error` came of a full disk: safetensors says so without an errno, torch and numpy say nothing of it."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left" in str(error) or shutil.disk_usage(folder).free < 2**20


def flush(path: Path) -> None:
    """Makes what was written to a file or folder outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def need_room(folder: Path, size: int, purpose: str) -> None:
    """Stops before the work where the disk of `folder` has less than `size` bytes free."""
    standing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(standing).free
    if free < size:
        raise UserError(f"{folder}: {purpose} needs {room(size)} and the disk has {room(free)} free; {ELSEWHERE}")


def write_text(path: Path, text: str) -> None:
    """Writes a small text file whole."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Writes a JSON file whole, indented for people."""
    write_text(path, json.dumps(value, indent=2, allow_nan=True) + "\n")


def sha256_of(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_hash(value: object, length: int = 10) -> str:
    """The first digits of the sha256 of `value` as sorted JSON: equal content, equal name."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:length]
