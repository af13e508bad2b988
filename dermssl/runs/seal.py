"""The seal of a finished run: a hash of every file that its result rests on, so that a later change is seen.

It tells of disks that rot, copies that broke off and numbers that were mended by hand. It is no signature: whoever
writes a new seal can change whatever they like.
"""

import hashlib
import json
from pathlib import Path

from dermssl.files import sha256_of, write_json

SEAL, RESULT = "seal.json", "result.json"
# What is said while the run ends, what it is continued from, and what is only looked at, by loggers as well.
OPEN_FILES, OPEN_FOLDERS = {SEAL, RESULT, "log.txt"}, {"checkpoints", "figures", "tensorboard", "wandb"}


def seal(folder: Path, result: bytes) -> None:
    """Writes seal.json: `{"files": {path: sha256}}`, paths relative to the run folder, result.json among them.

    Args:
        folder: Of the run, as it stands before result.json.
        result: The bytes that result.json is about to get; it comes last, for its presence ends the run.
    """
    write_json(folder / SEAL, {"files": hashes(folder) | {RESULT: hashlib.sha256(result).hexdigest()}})


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of every file of a run that is sealed, by its path in the run folder; result.json not among them.

    All but the log, hidden files, the checkpoints, the figures and what loggers keep.
    """
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {place.as_posix(): sha256_of(path) for place, path in files.items() if is_sealed(place)}


def is_sealed(place: Path) -> bool:
    """Whether the file at this place in a run folder is one that the result rests on."""
    hidden = any(part.startswith(".") for part in place.parts)
    return not hidden and place.parts[0] not in OPEN_FOLDERS and place.as_posix() not in OPEN_FILES


def broken(folder: Path) -> list[str]:
    """The files of a run that are not as it left them: changed or gone. None where it is whole or not yet finished.

    A finished run without a seal that can be read has `seal.json` broken, and nothing else is known of it.
    """
    if not (folder / RESULT).exists():
        return []
    try:
        files: dict[str, str] = dict(json.loads((folder / SEAL).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return [SEAL]
    return sorted(name for name, checksum in files.items() if not is_unchanged(folder / name, checksum))


def is_unchanged(path: Path, checksum: str) -> bool:
    """Whether the file is there with this hash."""
    try:
        return sha256_of(path) == checksum
    except OSError:
        return False
