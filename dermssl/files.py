"""Files and folders that appear whole or not at all: write beside, fsync, rename."""

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dermssl.errors import UserError
from dermssl.parts import part_prefix, sweep_parts_once
from dermssl.system_errors import MEANINGS, NO_ROOM, errno_of, explained, file_of
from dermssl.wording import room

# What others know better what to do with: a quicker process, a reader of the output that has gone.
OF_DISKS = MEANINGS.keys() - {errno.EEXIST, errno.ENOTEMPTY, errno.EPIPE}

UMASK = os.umask(0)  # the only way to ask for it is to set it
os.umask(UMASK)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path beside `path` to write to; it takes the place of `path` once the body has ended well.

    A process killed in between leaves at most a hidden `.part-` file and never a half-written `path`; the next one that
    writes in that folder removes it.

    Raises:
        UserError: If the disk is full or fails, or the place is none to write to; the part is removed.
    """
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_parts_once(path.parent)
        part = path.parent / f"{part_prefix()}{path.name}"
        try:
            yield part
            part.chmod(0o666 & ~UMASK)  # some writers leave a file that only its owner can read
            flush(part)
            part.replace(path)
            flush(path.parent)
        finally:
            with suppress(OSError):  # a disk that has failed by now fails here as well, and says nothing new
                part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path`, which becomes `path` once the body has ended well.

    Where another process has finished the same folder meanwhile, its work stands: such folders are named by content.

    Raises:
        UserError: As `whole_file`.
    """
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_parts_once(path.parent)
        part = Path(tempfile.mkdtemp(prefix=f"{part_prefix()}{path.name}-", dir=path.parent))
        try:
            part.chmod(0o777 & ~UMASK)  # mkdtemp's 0700 would lock out the people who share a run folder
            yield part
            for file in part.rglob("*"):
                flush(file)
            try:
                part.rename(path)
            except NotADirectoryError as error:
                raise UserError(f"{path}: a file stands where a folder is to be; remove it") from error
            except OSError:
                if not path.is_dir():
                    raise
            flush(path.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turns what the disk refuses while `path` is written into a sentence that names it.

    Errors about files elsewhere, such as one that is copied, keep their own name.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if isinstance(error, OSError) and not lies_beside(file_of(error), path):
            raise
        if tells_of_a_full_disk(error, path.parent):
            raise UserError(f"{path}: {'; '.join(NO_ROOM)}") from error
        if errno_of(error) not in OF_DISKS:
            raise
        raise UserError(f"{path}: {explained(error)}") from error


def lies_beside(file: str, path: Path) -> bool:
    """Whether a file is the one at `path` or what is to become it, or a folder above; also where no file is named."""
    return not file or Path(file) == path or path.is_relative_to(file) or Path(file).is_relative_to(path.parent)


def tells_of_a_full_disk(error: Exception, folder: Path) -> bool:
    """Whether `error` came of a full disk: safetensors says so without an errno, torch and numpy say nothing of it."""
    if errno_of(error) in (errno.ENOSPC, errno.EDQUOT):
        return True
    with suppress(OSError):  # the folder itself may be gone
        return shutil.disk_usage(folder).free < 2**20
    return False


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
        raise UserError(f"{folder}: {purpose} needs {room(size)} and the disk has {room(free)} free; {NO_ROOM[1]}")


def write_text(path: Path, text: str) -> None:
    r"""Writes a text file whole; bytes of file names that are no UTF-8 are written out, as `\udcff`."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


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
