"""Requests to the web: what a server says of a file and gives of it, and how often it is asked."""

import re
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse, InvalidURL
from typing import IO, TypeVar, cast
from urllib import request as urllib
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from tqdm import tqdm

from dermssl.errors import UserError

PIECE = 1 << 18  # bytes
STALL = 30.0  # seconds without a byte after which a connection counts as broken
TRIES = 5  # in a row without a new byte
PAUSE = 1.0  # seconds before the second try, doubled before each later one
PASSING = (408, 425, 429, 500, 502, 503, 504)  # what a server answers that may answer better in a moment

T = TypeVar("T")


class BrokenOffError(Exception):
    """An attempt that another one may mend."""


@dataclass(frozen=True)
class Announcement:
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


def ask_server(address: str) -> Announcement:
    """Size and version of a file by HEAD, or where a server refuses HEAD by a request for the first byte."""

    def attempt() -> Announcement:
        try:
            with open_address(address, "HEAD") as response:
                announcement = announcement_of(response)
        except HTTPError as error:
            if error.code in (404, 410):
                raise
            announcement = Announcement(None, "")
        if announcement.size is not None:
            return announcement
        with open_address(address, headers={"Range": "bytes=0-0"}) as response:
            return announcement_of(response)

    try:
        return persist(attempt, address)
    except BrokenOffError as error:
        raise UserError(f"{address}: {error}, {TRIES} times in a row; check the network, or try later") from error


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
            raise UserError(refusal_sentence(address, error)) from error


def refusal_sentence(address: str, error: HTTPError) -> str:
    """The sentence for an answer that no other try will change."""
    if 300 <= error.code < 400:
        away = f"{address}: the server redirects to '{error.url}'"
        return f"{away}, which is not followed (no web address, not encrypted any more, or a circle)"
    meaning = {403: " (forbidden, or no such file)", 404: " (no such file)"}.get(error.code, "")
    return f"{address}: the server answers {error.code}{meaning}; check the address, or DERMSSL_MIRROR if it is set"


@contextmanager
def open_address(address: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Iterator[HTTPResponse]:
    """The server's answer to one request.

    Raises:
        BrokenOffError: If the network or the server failed in a way that may pass.
        HTTPError: If the server refuses.
        UserError: If the address is none of the web, or the server's certificate is wrong.
    """
    if not address.startswith(("http://", "https://")):
        raise UserError(f"{address}: not an http or https address; correct DERMSSL_MIRROR, or leave it unset")
    try:
        request = urllib.Request(address, method=method, headers={"User-Agent": "dermssl", **(headers or {})})
        response = web_opener().open(request, timeout=STALL)
    except HTTPError as error:
        error.close()
        if error.code in PASSING:
            raise BrokenOffError(f"the server answers {error.code}") from error
        raise
    except (InvalidURL, ValueError) as error:
        raise UserError(
            f"{address}: not an address of the web ({error}); correct it, or DERMSSL_MIRROR if it is set"
        ) from error
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise UserError(
                f"{address}: its certificate cannot be trusted ({reason.verify_message}); "
                "check the clock of this computer and its proxy"
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


def announcement_of(response: HTTPResponse) -> Announcement:
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
    return Announcement(int(length) if length.isdigit() else None, tag)


def first_byte(response: HTTPResponse) -> int:
    """Where the bytes of a 206 answer begin; -1 where it does not say so."""
    begins = re.match(r"bytes (\d+)-", response.headers.get("Content-Range") or "")
    return int(begins[1]) if begins else -1
