"""One file over HTTP: continued where it broke off, also by a later process, and verified before it gets its name."""

import fcntl
import hashlib
import json
import os
import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from pathlib import Path
from typing import IO, Never, TypeVar, cast
from urllib import request as urllib
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from dermssl.errors import UserError
from dermssl.files import flush, room_or_sentence, sha256_of, write_json

PIECE = 1 << 18  # bytes
STALL = 30.0  # seconds without a byte after which a connection counts as broken
TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds before the second try, doubled before each later one
PASSING = (408, 425, 429, 500, 502, 503, 504)  # what a server answers that may answer better in a moment

T = TypeVar("T")


class BrokenOffError(Exception):
    """An attempt that another one may mend."""


@dataclass(frozen=True)
class Announced:
    """What a server says of a file before sending it."""

    size: int | None
    """Bytes."""
    tag: str
    """What changes with the content, fit for If-Range: a strong ETag, else Last-Modified, else nothing."""


class WebOnly(urllib.HTTPRedirectHandler):
    """Follows redirects within the web, and not out of encryption: urllib would go to ftp, and turn HEAD into GET."""

    def redirect_request(
        self, req: urllib.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.Request | None:
        """The request to the new address."""
        if urlsplit(newurl).scheme not in (("https",) if req.type == "https" else ("http", "https")):
            raise HTTPError(newurl, code, msg, headers, fp)
        followed = super().redirect_request(req, fp, code, msg, headers, newurl)
        if followed is not None:
            followed.method = req.get_method()
        return followed


def web_opener() -> urllib.OpenerDirector:
    """An opener that knows http, https and the proxies of the environment, and no other scheme."""
    opener = urllib.OpenerDirector()
    for handler in (
        urllib.ProxyHandler, urllib.HTTPHandler, urllib.HTTPSHandler,
        urllib.HTTPDefaultErrorHandler, urllib.HTTPErrorProcessor, WebOnly,
    ):  # fmt: skip
        opener.add_handler(handler())
    return opener


class Part:
    """What has come of a file so far, in NAME.part; NAME.part.json says which version of the file it is of.

    Only one process has it at a time. On leaving it keeps what came, for a later command.
    """

    def __init__(self, target: Path) -> None:
        self.path, self.memo = Path(f"{target}.part"), Path(f"{target}.part.json")
        self.tag, self.digest, self.furthest = "", hashlib.sha256(), 0
        self.file = self.path.open("ab+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.file.close()
            raise UserError(f"{self.path}: another process is fetching it; wait for that one to end") from error
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


def ask(address: str) -> Announced:
    """Size and version of a file by HEAD, or where a server refuses HEAD by a request for the first byte."""

    def attempt() -> Announced:
        try:
            with answer(address, "HEAD") as response:
                found = announced(response)
        except HTTPError as error:
            if error.code in (404, 410):
                raise
            found = Announced(None, "")
        if found.size is not None:
            return found
        with answer(address, headers={"Range": "bytes=0-0"}) as response:
            return announced(response)

    try:
        return persist(attempt, address)
    except BrokenOffError as error:
        raise UserError(f"{address}: {error}, {TRIES} times in a row; look at the network or try later") from error


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


def persist(attempt: Callable[[], T], address: str, gained: Callable[[], bool] = lambda: False) -> T:
    """What `attempt` gives, after as many tries as it takes; `TRIES` in a row without gain are enough.

    Raises:
        BrokenOffError: The last one.
        UserError: If the server's answer is final.
    """
    tries = 0
    while True:
        try:
            return attempt()
        except BrokenOffError as error:
            tries = 1 if gained() else tries + 1
            if tries >= TRIES:
                raise
            pause = PAUSE * 2 ** (tries - 1)
            tqdm.write(f"{address}: {error}; trying again in {pause:.0f} s", file=sys.stderr)
            time.sleep(pause)
        except HTTPError as error:
            raise UserError(refusal(address, error)) from error


def refusal(address: str, error: HTTPError) -> str:
    """The sentence for an answer that no other try will change."""
    if 300 <= error.code < 400:
        away = f"{address}: the server sends us on to '{error.url}'"
        return f"{away}, which is not followed (no web address, not encrypted any more, or a circle)"
    meaning = {403: " (forbidden, or no such file)", 404: " (no such file)"}.get(error.code, "")
    return (
        f"{address}: the server answers {error.code}{meaning}; look at the address, or at DERMSSL_MIRROR if it is set"
    )


@contextmanager
def answer(address: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Iterator[HTTPResponse]:
    """The server's answer to one request.

    Raises:
        BrokenOffError: If the network or the server failed in a way that may pass.
        HTTPError: If the server refuses.
        UserError: If the address is none of the web, or the server's certificate is wrong.
    """
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{address}: not an http or https address; give one that is")
    try:
        asked = urllib.Request(address, method=method, headers={"User-Agent": "dermssl", **(headers or {})})
        response = web_opener().open(asked, timeout=STALL)
    except HTTPError as error:
        error.close()
        if error.code in PASSING:
            raise BrokenOffError(f"the server answers {error.code}") from error
        raise
    except (InvalidURL, ValueError) as error:
        raise UserError(f"{address}: not an address that can be asked ({error}); mend it") from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise UserError(
                f"{address}: its certificate cannot be trusted ({reason.verify_message}); look at clock and proxy"
            ) from error
        raise BrokenOffError(getattr(reason, "strerror", None) or reason or type(error).__name__) from error
    with cast(HTTPResponse, response) as opened:
        yield opened


def pieces(response: HTTPResponse) -> Iterator[bytes]:
    """The body as it comes; `read1`, since `read` would drop what it has when the connection breaks."""
    while True:
        try:
            piece = response.read1(PIECE)
        except (OSError, HTTPException) as error:
            raise BrokenOffError(error or type(error).__name__) from error
        if not piece:
            return
        yield piece


def announced(response: HTTPResponse) -> Announced:
    """Length of the whole file and its version, from the headers of an answer."""
    ranged = response.status == 206
    length = (
        (response.headers.get("Content-Range") or "").rpartition("/")[2]
        if ranged
        else response.headers.get("Content-Length", "")
    )
    tag = response.headers.get("ETag", "")
    if not tag or tag.startswith("W/"):  # a weak one says 'equal in meaning', which is no promise about bytes
        tag = response.headers.get("Last-Modified", "")
    return Announced(int(length) if length.isdigit() else None, tag)


def first_byte(response: HTTPResponse) -> int:
    """Where the bytes of a 206 answer begin; -1 where it does not say so."""
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(found[1]) if found else -1
