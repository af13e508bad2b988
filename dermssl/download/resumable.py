"""One file over HTTP: continued where it broke off, also by a later process, and verified before it gets its name."""

import hashlib
import json
import os
from pathlib import Path
from typing import Never
from urllib.error import HTTPError

from tqdm import tqdm

from dermssl.download.web import (
    PIECE,
    TRIES,
    Announcement,
    BrokenOffError,
    announcement_of,
    first_byte,
    open_address,
    persist,
    pieces,
)
from dermssl.errors import UserError
from dermssl.files import disk_errors_named, flush, sha256_of, write_json
from dermssl.runs.lock import take_lock_or_refuse


class PartialFile:
    """What has come of a file so far, in NAME.part; NAME.part.json says which version of the file it is of.

    Only one process has it at a time. On leaving it keeps what came, for a later command.
    """

    def __init__(self, target: Path) -> None:
        self.path, self.memo = Path(f"{target}.part"), memo_of(target)
        self.tag, self.digest, self.furthest = "", hashlib.sha256(), 0
        self.file = self.path.open("ab+")
        try:
            take_lock_or_refuse(self.file, f"{self.path}: another process is fetching it; wait for that one to end")
        except UserError:
            self.file.close()
            raise
        self.recall()

    def recall(self) -> None:
        """Takes up what an earlier process left, or clears it where nothing says what it is of."""
        try:
            self.tag = str(json.loads(self.memo.read_text(encoding="utf-8"))["tag"])
        except (OSError, ValueError, KeyError, TypeError):
            self.clear()
        self.file.seek(0)
        while piece := self.file.read(PIECE):
            self.digest.update(piece)
        self.furthest = self.size

    @property
    def size(self) -> int:
        """Bytes."""
        return os.fstat(self.file.fileno()).st_size

    def clear(self, tag: str = "") -> None:
        """Begins anew with the version `tag`; emptied before it is relabelled, so that no kill mixes two versions."""
        self.file.truncate(0)
        self.tag, self.digest = tag, hashlib.sha256()
        write_json(self.memo, {"tag": tag})

    def append(self, piece: bytes) -> None:
        """Adds what came."""
        self.file.write(piece)
        self.file.flush()
        self.digest.update(piece)

    def gained(self) -> bool:
        """Whether it is now longer than ever: a server that always begins anew gains nothing, and must not go on."""
        gained, self.furthest = self.size > self.furthest, max(self.size, self.furthest)
        return gained

    def remove(self) -> None:
        """Takes both files away."""
        self.path.unlink(missing_ok=True)
        self.memo.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Gets the name of the whole file."""
        os.fsync(self.file.fileno())
        self.path.rename(target)
        self.memo.unlink(missing_ok=True)
        flush(target.parent)

    def close(self) -> None:
        """Lets go of it; an empty part is of no use to anybody."""
        if self.path.exists() and not self.size:
            self.remove()
        self.file.close()


def memo_of(target: Path) -> Path:
    """The file that says which version of the file at `target` has come in part."""
    return Path(f"{target}.part.json")


def fetch(address: str, target: Path, announcement: Announcement, sha256: str | None) -> str:
    """Brings `target` here whole and verified, from where an earlier attempt broke off.

    Args:
        address: Its http or https address.
        target: File to make; one that is there is verified and kept.
        announcement: What `ask_server` gave.
        sha256: Hex digest that the content must have; None where nobody knows, which leaves the length.

    Returns:
        The sha256 of what is there now.

    Raises:
        UserError: If the server does not have it, breaks off again and again (the part stays), or gives something
            else than expected (which is removed).
    """
    if target.exists():
        digest = sha256_of(target)
        difference = mismatch(target.stat().st_size, announcement.size, digest, sha256)
        if difference:
            raise UserError(f"{target}: {difference}; remove it, and the same command fetches it anew")
        return digest
    part = PartialFile(target)
    try:
        with disk_errors_named(target):
            return transfer(address, target, announcement, sha256, part)
    finally:
        part.close()


def transfer(address: str, target: Path, announcement: Announcement, sha256: str | None, part: PartialFile) -> str:
    """The transfer of `fetch` into an open part."""
    with tqdm(
        total=announcement.size,
        initial=part.size,
        desc=target.name,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,
    ) as bar:
        try:
            latest = persist(lambda: stream(address, part, bar), address, part.gained)
        except BrokenOffError as error:
            raise UserError(
                f"{address}: {error}, {TRIES} times in a row; the same command goes on from {part.path}"
            ) from error
    size = (
        latest.size if latest.tag != announcement.tag else announcement.size
    )  # of another version by now its own length holds
    digest = part.digest.hexdigest()
    difference = mismatch(part.size, size, digest, sha256)
    if difference:
        part.remove()
        raise UserError(
            f"{address}: {difference}; it was removed, and the same command fetches it again; "
            "if that ends in the same way, the server has another file than the published one"
        )
    part.become(target)
    return digest


def stream(address: str, part: PartialFile, bar: "tqdm[Never]") -> Announcement:
    """One connection's worth of the file; what the server said of it if that was all."""
    if part.size and not part.tag:
        part.clear()  # without a version there is no telling whether a rest would fit
    headers = {"Range": f"bytes={part.size}-", "If-Range": part.tag} if part.size else {}
    try:
        with open_address(address, headers=headers) as response:
            announcement = announcement_of(response)
            if response.status == 206:
                if first_byte(response) != part.size or announcement.tag not in ("", part.tag):
                    part.clear()
                    raise BrokenOffError("the file has changed at the server")
                announcement = Announcement(announcement.size, part.tag)
            else:
                part.clear(announcement.tag)
            bar.total = announcement.size
            for piece in pieces(response):
                part.append(piece)
                bar.update(part.size - bar.n)
    except HTTPError as error:
        if error.code != 416:
            raise
        return beyond_the_end(error, part)
    if announcement.size is not None and part.size < announcement.size:
        raise BrokenOffError(f"the connection closed after {part.size} of {announcement.size} bytes")
    return announcement


def beyond_the_end(error: HTTPError, part: PartialFile) -> Announcement:
    """What to make of '416 range not satisfiable': the part is whole, as after a kill before its renaming, or wrong."""
    total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
    if total != str(part.size):
        part.clear()
        raise BrokenOffError("the server has no bytes where the part ends")
    return Announcement(part.size, part.tag)


def mismatch(size: int, expected_size: int | None, sha256: str, expected_sha256: str | None) -> str:
    """What differs, in words; nothing where all that is known agrees."""
    if expected_size is not None and size != expected_size:
        return f"wrong length, expected {expected_size} bytes and got {size}"
    if expected_sha256 is not None and sha256 != expected_sha256:
        return f"wrong content, expected sha256 {expected_sha256} and got {sha256}"
    return ""
