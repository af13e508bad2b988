"""One file over HTTP: continued where it broke off, also by a later process, and verified before it gets its name."""

import hashlib
import json
import os
from pathlib import Path
from typing import Never
from urllib.error import HTTPError

from tqdm import tqdm

from dermssl.download.web import PIECE, TRIES, Announced, BrokenOffError, announced, answer, first_byte, persist, pieces
from dermssl.errors import UserError
from dermssl.files import flush, room_or_sentence, sha256_of, write_json
from dermssl.runs.lock import take_lock_or_refuse


class Part:
    """What has come of a file so far, in NAME.part; NAME.part.json says which version of the file it is of.

    Only one process has it at a time. On leaving it keeps what came, for a later command.
    """

    def __init__(self, target: Path) -> None:
        self.path, self.memo = Path(f"{target}.part"), Path(f"{target}.part.json")
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


def fetch(address: str, target: Path, told: Announced, sha256: str | None) -> str:
    """Brings `target` here whole and verified, from where an earlier attempt broke off.

    Args:
        address: Its http or https address.
        target: File to make; one that is there is verified and kept.
        told: What `ask` learnt of it.
        sha256: Hex digest that the content must have; None where nobody knows, which leaves the length.

    Returns:
        The sha256 of what is there now.

    Raises:
        UserError: If the server does not have it, breaks off again and again (the part stays), or gives something
            else than expected (which is removed).
    """
    if target.exists():
        found = sha256_of(target)
        wrong = mismatch(target.stat().st_size, told.size, found, sha256)
        if wrong:
            raise UserError(f"{target}: {wrong}; remove it, and the same command fetches it anew")
        return found
    part = Part(target)
    try:
        with room_or_sentence(target):
            return take(address, target, told, sha256, part)
    finally:
        part.close()


def take(address: str, target: Path, told: Announced, sha256: str | None, part: Part) -> str:
    """The transfer of `fetch` into an open part."""
    with tqdm(
        total=told.size, initial=part.size, desc=target.name, unit="B", unit_scale=True, leave=False, disable=None
    ) as bar:
        try:
            now = persist(lambda: stream(address, part, bar), address, part.gained)
        except BrokenOffError as error:
            raise UserError(
                f"{address}: {error}, {TRIES} times in a row; the same command goes on from {part.path}"
            ) from error
    size = now.size if now.tag != told.tag else told.size  # of another version by now its own length holds
    found = part.digest.hexdigest()
    wrong = mismatch(part.size, size, found, sha256)
    if wrong:
        part.remove()
        raise UserError(
            f"{address}: {wrong}; the file was removed: fetch it again, and if that ends alike, the server has another"
        )
    part.become(target)
    return found


def stream(address: str, part: Part, bar: "tqdm[Never]") -> Announced:
    """One connection's worth of the file; what the server said of it if that was all."""
    if part.size and not part.tag:
        part.clear()  # without a version there is no telling whether a rest would fit
    headers = {"Range": f"bytes={part.size}-", "If-Range": part.tag} if part.size else {}
    try:
        with answer(address, headers=headers) as response:
            told = announced(response)
            if response.status == 206:
                if first_byte(response) != part.size or told.tag not in ("", part.tag):
                    part.clear()
                    raise BrokenOffError("the file has changed at the server")
                told = Announced(told.size, part.tag)
            else:
                part.clear(told.tag)
            bar.total = told.size
            for piece in pieces(response):
                part.append(piece)
                bar.update(part.size - bar.n)
    except HTTPError as error:
        if error.code != 416:
            raise
        return beyond_the_end(error, part)
    if told.size is not None and part.size < told.size:
        raise BrokenOffError(f"the connection closed after {part.size} of {told.size} bytes")
    return told


def beyond_the_end(error: HTTPError, part: Part) -> Announced:
    """What to make of '416 range not satisfiable': the part is whole, as after a kill before its renaming, or wrong."""
    total = str(error.headers.get("Content-Range", "")).rpartition("/")[2]
    if total != str(part.size):
        part.clear()
        raise BrokenOffError("the server has no bytes where the part ends")
    return Announced(part.size, part.tag)


def mismatch(size: int, wanted_size: int | None, sha256: str, wanted_sha256: str | None) -> str:
    """What differs, in words; nothing where all that is known agrees."""
    if wanted_size is not None and size != wanted_size:
        return f"wrong length, expected {wanted_size} bytes and got {size}"
    if wanted_sha256 is not None and sha256 != wanted_sha256:
        return f"wrong content, expected sha256 {wanted_sha256} and got {sha256}"
    return ""
