"""One file over HTTP: whole and verified or not there, whatever the server and the network do meanwhile."""

import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from dermssl import transfer
from dermssl.errors import UserError
from dermssl.transfer import Announced, ask, fetch


@dataclass(frozen=True)
class Turn:
    """How the server treats one GET; the defaults are honest."""

    stop: int | None = None
    """Bytes after which the connection closes."""
    status: int = 200
    ranges: bool = True
    if_range: bool = True
    surplus: int = 0
    """Bytes announced beyond those that there are; negative ones cut the body short."""
    stall: float = 0
    """Seconds of silence once `stop` bytes are sent."""
    pace: float = 0
    """Seconds between kilobytes."""
    to: str = ""
    """Address to redirect to."""
    before: Callable[[], None] = lambda: None


class Server(ThreadingHTTPServer):
    """Serves one content under every path, each GET as the next of `turns` says, and writes down what it was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag = random.Random(0).randbytes(200_000), '"one"'
        self.turns: list[Turn] = []
        self.always = Turn()
        self.head = 200
        self.asked: list[tuple[str, str, str]] = []
        self.sent = 0
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/file.bin"

    @property
    def ranges(self) -> list[str]:
        return [where for method, _, where in self.asked if method == "GET" and where]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def handle_error(self, *_: object) -> None:
        """Clients here go away on purpose."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def note(self) -> None:
        self.server.asked.append((self.command, self.path, self.headers.get("Range", "")))

    def do_HEAD(self) -> None:
        self.note()
        if self.path == "/moved":
            self.say(302, Location="/file.bin")
        elif self.server.head != 200:
            self.say(self.server.head)
        else:
            self.say(200, **{"Content-Length": str(len(self.server.content)), "ETag": self.server.tag})

    def do_GET(self) -> None:
        self.note()
        turn = self.server.turns.pop(0) if self.server.turns else self.server.always
        turn.before()
        if self.path == "/moved" or turn.to:
            self.say(302, Location=turn.to or "/file.bin")
        elif turn.status != 200:
            self.say(turn.status)
        else:
            self.send_content(turn)

    def say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_content(self, turn: Turn) -> None:
        content, first = self.server.content, self.first(turn)
        length = len(content) - first + turn.surplus
        headers = {"Content-Length": str(length), "ETag": self.server.tag}
        if "Range" not in self.headers:
            self.say(200, **headers)
            self.pour(content[: max(0, length)][: turn.stop], turn)
        elif length > 0:
            where = f"bytes {first}-{first + length - 1}/{len(content) + turn.surplus}"
            self.say(206, **headers, **{"Content-Range": where})
            self.pour(content[first : first + length][: turn.stop], turn)
        else:
            self.say(416, **{"Content-Range": f"bytes */{len(content)}"})

    def first(self, turn: Turn) -> int:
        asked = self.headers.get("Range")
        unchanged = self.headers.get("If-Range", self.server.tag) == self.server.tag or not turn.if_range
        if asked and turn.ranges and unchanged:
            return int(asked.removeprefix("bytes=").partition("-")[0])
        del self.headers["Range"]
        return 0

    def pour(self, body: bytes, turn: Turn) -> None:
        for begin in range(0, len(body), 1024):
            piece = body[begin : begin + 1024]
            self.wfile.write(piece)
            self.server.sent += len(piece)
            if turn.pace and self.server.over.wait(turn.pace):
                return
        self.server.over.wait(turn.stall)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "PAUSE", 0.001)
    with Server() as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield serving
        serving.over.set()
        serving.shutdown()
        thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def bring(server: Server, folder: Path, path: str = "file.bin") -> Path:
    """Asks and fetches, with the hash that the content has now; what was there of the file is gone on."""
    address = server.address.replace("file.bin", path)
    fetch(address, folder / "file.bin", ask(address), server.sha256)
    return folder / "file.bin"


def told_off(act: Callable[[], object]) -> str:
    """The sentence."""
    with pytest.raises(UserError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def leave_part(server: Server, folder: Path, size: int) -> None:
    """What a command that was killed after `size` bytes leaves."""
    (folder / "file.bin.part").write_bytes(server.content[:size])
    (folder / "file.bin.part.json").write_text(json.dumps({"tag": server.tag}))


def test_a_file_comes_whole_and_alone(server: Server, tmp_path: Path) -> None:
    assert bring(server, tmp_path).read_bytes() == server.content
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("seed", range(6))
def test_a_connection_that_breaks_anywhere_costs_less_than_a_second_transfer(
    server: Server, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    server.turns = [Turn(stop=rng.choice([0, 1, rng.randrange(60_000)])) for _ in range(rng.randrange(1, 12))]
    server.turns = [turn for turn in server.turns if turn.stop or rng.random() < 0.3]
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.sent < 2 * len(server.content)
    assert names(tmp_path) == ["file.bin"]


def test_progress_starts_the_count_of_tries_anew(server: Server, tmp_path: Path) -> None:
    server.turns = [Turn(stop=5_000)] * (3 * transfer.TRIES)
    assert bring(server, tmp_path).read_bytes() == server.content


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.turns, server.always = [Turn(stop=90_000, ranges=False)], Turn(ranges=False)
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.ranges == ["bytes=90000-"]


def test_a_server_without_ranges_that_always_breaks_is_given_up(server: Server, tmp_path: Path) -> None:
    server.always = Turn(stop=90_000, ranges=False)
    said = told_off(lambda: bring(server, tmp_path))
    assert said.endswith(f"5 times in a row; the same command goes on from {tmp_path / 'file.bin.part'}")
    assert server.sent <= (transfer.TRIES + 1) * 90_000


@pytest.mark.parametrize("if_range", [True, False], ids=["told by If-Range", "told by the ETag of the rest"])
def test_a_file_that_changes_midway_begins_anew(server: Server, tmp_path: Path, if_range: bool) -> None:
    def change() -> None:
        server.content, server.tag = random.Random(1).randbytes(150_000), '"two"'

    told = ask(server.address)
    server.turns = [Turn(stop=70_000), Turn(before=change, if_range=if_range)]
    fetch(server.address, tmp_path / "file.bin", told, None)
    assert (tmp_path / "file.bin").read_bytes() == random.Random(1).randbytes(150_000)
    assert names(tmp_path) == ["file.bin"]


def test_a_later_command_goes_on_from_the_part(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, 120_000)
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.ranges == ["bytes=120000-"]
    assert server.sent == 80_000


def test_a_part_of_another_version_is_not_gone_on_with(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, 120_000)
    server.content, server.tag = random.Random(2).randbytes(200_000), '"two"'
    assert bring(server, tmp_path).read_bytes() == server.content


@pytest.mark.parametrize("memo", [None, "", "[1]", '{"tag": ""}'], ids=["absent", "empty", "another", "no tag"])
def test_a_part_that_nothing_tells_the_version_of_is_not_gone_on_with(
    server: Server, tmp_path: Path, memo: str | None
) -> None:
    (tmp_path / "file.bin.part").write_bytes(b"of who knows what")
    if memo is not None:
        (tmp_path / "file.bin.part.json").write_text(memo)
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.ranges == []


def test_a_part_that_lacks_only_its_name_gets_it(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, len(server.content))
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.sent == 0
    assert names(tmp_path) == ["file.bin"]


def test_a_part_longer_than_the_file_begins_anew(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, len(server.content))
    with (tmp_path / "file.bin.part").open("ab") as part:
        part.write(b"more")
    assert bring(server, tmp_path).read_bytes() == server.content


def test_a_damaged_part_is_seen_by_the_hash_and_removed(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, 1000)
    (tmp_path / "file.bin.part").write_bytes(bytes(1000))
    said = told_off(lambda: bring(server, tmp_path))
    assert f"wrong content, expected sha256 {server.sha256} and got " in said
    assert names(tmp_path) == []


def test_wrong_content_is_removed(server: Server, tmp_path: Path) -> None:
    told, wanted = ask(server.address), "0" * 64
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, wanted))
    assert said == (
        f"{server.address}: wrong content, expected sha256 {wanted} and got {server.sha256}; "
        "the file was removed: fetch it again, and if that ends alike, the server has another"
    )
    assert names(tmp_path) == []


def test_a_body_shorter_than_the_file_was_announced_to_be_is_removed(server: Server, tmp_path: Path) -> None:
    server.always = Turn(surplus=-500)
    told = ask(server.address)
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert "wrong length, expected 200000 bytes and got 199500; the file was removed" in said
    assert names(tmp_path) == []


def test_a_body_shorter_than_its_own_header_says_never_gets_the_name(server: Server, tmp_path: Path) -> None:
    server.always = Turn(surplus=500)
    said = told_off(lambda: bring(server, tmp_path))
    assert "the connection closed after 200000 of 200500 bytes, 5 times in a row; the same command goes on" in said
    assert names(tmp_path) == ["file.bin.part", "file.bin.part.json"]


def test_a_whole_file_that_is_there_is_verified_and_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(server.content)
    bring(server, tmp_path)
    assert server.sent == 0


def test_a_wrong_file_that_is_there_is_named_and_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"mine")
    said = told_off(lambda: bring(server, tmp_path))
    assert said == (
        f"{tmp_path / 'file.bin'}: wrong length, expected 200000 bytes and got 4; "
        "remove it, and the same command fetches it anew"
    )
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.parametrize("status", [403, 404])
def test_a_file_that_the_server_refuses_is_a_sentence_with_its_address(
    server: Server, tmp_path: Path, status: int
) -> None:
    server.head, server.always = status, Turn(status=status)
    assert f"{server.address}: the server answers {status} (" in told_off(lambda: ask(server.address))
    told = Announced(None, "")
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert said.startswith(f"{server.address}: the server answers {status} (")
    assert names(tmp_path) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path, status: int) -> None:
    server.turns = [Turn(status=status)] * (transfer.TRIES - 1)
    assert bring(server, tmp_path).read_bytes() == server.content


def test_a_server_that_stays_in_trouble_is_given_up(server: Server, tmp_path: Path) -> None:
    told, server.always = ask(server.address), Turn(status=500)
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert said.startswith(f"{server.address}: the server answers 500, 5 times in a row; the same command goes on")
    assert names(tmp_path) == []


def test_nobody_there_is_a_sentence(server: Server, tmp_path: Path) -> None:
    server.server_close()
    said = told_off(lambda: ask(server.address))
    assert said.startswith(f"{server.address}: ")
    assert said.endswith("5 times in a row; look at the network or try later")


def test_silence_is_a_broken_connection(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "STALL", 0.2)
    server.turns = [Turn(stop=110_000, stall=3)]
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.ranges == ["bytes=110000-"]


def test_redirects_are_followed_and_keep_the_range(server: Server, tmp_path: Path) -> None:
    server.turns = [Turn(), Turn(stop=60_000)]
    assert bring(server, tmp_path, "moved").read_bytes() == server.content
    assert [path for method, path, _ in server.asked if method == "HEAD"] == ["/moved", "/file.bin"]
    assert server.ranges == ["bytes=60000-", "bytes=60000-"]


@pytest.mark.parametrize("to", ["file:///etc/hostname", "ftp://127.0.0.1/x", "/file.bin"], ids=["file", "ftp", "loop"])
def test_redirects_lead_neither_out_of_the_web_nor_in_circles(server: Server, tmp_path: Path, to: str) -> None:
    server.always = Turn(to=to)
    told = Announced(None, "")
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert "which is not followed (no web address, not encrypted any more, or a circle)" in said
    assert names(tmp_path) == []


def test_redirects_do_not_lead_out_of_encryption() -> None:
    asked, headers = Request("https://a/b", method="HEAD"), HTTPMessage()
    followed = transfer.WebOnly().redirect_request(asked, io.BytesIO(), 302, "", headers, "https://c/d")
    assert (followed.full_url, followed.get_method()) == ("https://c/d", "HEAD") if followed else False
    with pytest.raises(HTTPError):
        transfer.WebOnly().redirect_request(asked, io.BytesIO(), 302, "", headers, "http://c/d")


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://a/b", "data:,x", "a/b", "http://[", "http://a b/"])
def test_what_is_no_address_of_the_web_is_not_asked(address: str) -> None:
    assert told_off(lambda: ask(address)).startswith(f"{address}: not an ")


@pytest.mark.parametrize("refusal", [403, 405, 501])
def test_where_head_is_refused_one_byte_tells_the_size(server: Server, refusal: int) -> None:
    server.head = refusal
    assert ask(server.address) == Announced(200_000, '"one"')
    assert server.ranges == ["bytes=0-0"]


def test_a_weak_etag_is_no_version(server: Server) -> None:
    server.tag = 'W/"one"'
    assert ask(server.address) == Announced(200_000, "")


def test_two_processes_do_not_write_one_part(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, 1000)
    first = transfer.Part(tmp_path / "file.bin")
    said = told_off(lambda: bring(server, tmp_path))
    first.close()
    assert said == f"{tmp_path / 'file.bin.part'}: another process is fetching it; wait for that one to end"


def test_a_full_disk_is_one_sentence_and_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(part: transfer.Part, piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    leave_part(server, tmp_path, 1000)
    monkeypatch.setattr(transfer.Part, "append", full)
    assert "no room left on the disk" in told_off(lambda: bring(server, tmp_path))
    assert names(tmp_path) == ["file.bin.part", "file.bin.part.json"]


CHILD = """
import sys
from pathlib import Path
from dermssl.transfer import ask, fetch
fetch(sys.argv[1], Path(sys.argv[2]), ask(sys.argv[1]), None)
"""


def test_a_process_killed_midway_leaves_a_part_that_the_next_one_goes_on_with(server: Server, tmp_path: Path) -> None:
    server.turns = [Turn(pace=0.01)]
    part = tmp_path / "file.bin.part"
    with subprocess.Popen([sys.executable, "-c", CHILD, server.address, str(tmp_path / "file.bin")]) as child:
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size > 10_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    came = part.stat().st_size
    assert 10_000 < came < 200_000
    assert names(tmp_path) == ["file.bin.part", "file.bin.part.json"]
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.ranges == [f"bytes={came}-"]
    assert names(tmp_path) == ["file.bin"]
