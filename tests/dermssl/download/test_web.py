"""What the web says of a file, or instead of one: sizes and versions, refusals, redirects, silence, nobody there."""

import io
from collections.abc import Callable
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from dermssl.download import web
from dermssl.download.resumable import fetch
from dermssl.download.web import Announcement, WebOnly, ask_server
from dermssl.errors import UserError

Server = Any  # of conftest.py, as are its turns


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def brought(address: str, folder: Path) -> bytes:
    fetch(address, folder / "file.bin", ask_server(address), None)
    return (folder / "file.bin").read_bytes()


def told_off(act: Callable[[], object]) -> str:
    """The sentence."""
    with pytest.raises(UserError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_the_server_refuses_is_a_sentence_with_its_address(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.head, server.always = status, server.turn(status=status)
    assert f"{server.address}: the server answers {status} (" in told_off(lambda: ask_server(server.address))
    told = Announcement(None, "")
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert said.startswith(f"{server.address}: the server answers {status} (")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    server.turns = [server.turn(status=status)] * (web.TRIES - 1)
    assert brought(server.address, tmp_path) == server.content


def test_a_server_that_stays_in_trouble_is_given_up(server: Server, tmp_path: Path) -> None:
    told, server.always = ask_server(server.address), server.turn(status=500)
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert said.startswith(f"{server.address}: the server answers 500, 5 times in a row; the same command goes on")
    assert names(tmp_path) == []


def test_nobody_there_is_a_sentence(server: Server, tmp_path: Path) -> None:
    server.server_close()
    said = told_off(lambda: ask_server(server.address))
    assert said.startswith(f"{server.address}: ")
    assert said.endswith("5 times in a row; check the network, or try later")


def test_silence_is_a_broken_connection(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "STALL", 0.2)
    server.turns = [server.turn(stop=110_000, stall=3)]
    assert brought(server.address, tmp_path) == server.content
    assert server.ranges == ["bytes=110000-"]


def test_redirects_are_followed_and_keep_the_range(server: Server, tmp_path: Path) -> None:
    server.turns = [server.turn(), server.turn(stop=60_000)]
    assert brought(f"{server.place}moved", tmp_path) == server.content
    assert [path for method, path, _ in server.asked if method == "HEAD"] == ["moved", "file.bin"]
    assert server.ranges == ["bytes=60000-", "bytes=60000-"]


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/x", "/file.bin"], ids=["file", "ftp", "loop"])
def test_redirects_lead_neither_out_of_the_web_nor_in_circles(server: Server, tmp_path: Path, to: str) -> None:
    server.always = server.turn(to=to)
    told = Announcement(None, "")
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert "which is not followed (no web address, not encrypted any more, or a circle)" in said
    assert names(tmp_path) == []


def test_redirects_do_not_lead_out_of_encryption() -> None:
    asked, headers = Request("https://a/b", method="HEAD"), HTTPMessage()
    followed = WebOnly().redirect_request(asked, io.BytesIO(), 302, "", headers, "https://c/d")
    assert (followed.full_url, followed.get_method()) == ("https://c/d", "HEAD") if followed else False
    with pytest.raises(HTTPError):
        WebOnly().redirect_request(asked, io.BytesIO(), 302, "", headers, "http://c/d")


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://a/b", "data:,x", "a/b", "http://[", "http://a b/"])
def test_what_is_no_address_of_the_web_is_not_asked(address: str) -> None:
    assert told_off(lambda: ask_server(address)).startswith(f"{address}: not an ")


@pytest.mark.parametrize("refusal", [403, 405, 501])
def test_where_head_is_refused_one_byte_tells_the_size(server: Server, refusal: int) -> None:
    server.head = refusal
    assert ask_server(server.address) == Announcement(200_000, '"one"')
    assert server.ranges == ["bytes=0-0"]


def test_a_weak_etag_is_no_version(server: Server) -> None:
    server.tag = 'W/"one"'
    assert ask_server(server.address) == Announcement(200_000, "")
