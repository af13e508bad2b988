"""A server on this machine, for tests of what comes over the network."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


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
    """Serves `files`, each GET as the next of `turns` says, and writes down what it was asked."""

    daemon_threads = True
    block_on_close = False
    turn = Turn

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.tag = ""
        self.turns: list[Turn] = []
        self.always = Turn()
        self.head = 200
        self.asked: list[tuple[str, str, str]] = []
        self.sent = 0
        self.over = threading.Event()

    @property
    def place(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    @property
    def address(self) -> str:
        return f"{self.place}file.bin"

    @property
    def content(self) -> bytes:
        return self.files["file.bin"]

    @content.setter
    def content(self, content: bytes) -> None:
        self.files["file.bin"] = content

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

    def note(self) -> str:
        name = self.path.lstrip("/")
        self.server.asked.append((self.command, name, self.headers.get("Range", "")))
        return name

    def do_HEAD(self) -> None:
        name = self.note()
        if name == "moved":
            self.say(302, Location="/file.bin")
        elif self.server.head != 200 or name not in self.server.files:
            self.say(self.server.head if self.server.head != 200 else 404)
        else:
            content = self.server.files[name]
            self.say(200, **{"Content-Length": str(len(content)), "ETag": self.tag(content)})

    def do_GET(self) -> None:
        name = self.note()
        turn = self.server.turns.pop(0) if self.server.turns else self.server.always
        turn.before()
        if name == "moved" or turn.to:
            self.say(302, Location=turn.to or "/file.bin")
        elif turn.status != 200 or name not in self.server.files:
            self.say(turn.status if turn.status != 200 else 404)
        else:
            self.send_content(self.server.files[name], turn)

    def tag(self, content: bytes) -> str:
        return self.server.tag or f'"{hashlib.sha256(content).hexdigest()}"'

    def say(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send_content(self, content: bytes, turn: Turn) -> None:
        first = self.first(self.tag(content), turn)
        length = len(content) - first + turn.surplus
        headers = {"Content-Length": str(length), "ETag": self.tag(content)}
        if "Range" not in self.headers:
            self.say(200, **headers)
            self.pour(content[: max(0, length)][: turn.stop], turn)
        elif length > 0:
            where = f"bytes {first}-{first + length - 1}/{len(content) + turn.surplus}"
            self.say(206, **headers, **{"Content-Range": where})
            self.pour(content[first : first + length][: turn.stop], turn)
        else:
            self.say(416, **{"Content-Range": f"bytes */{len(content)}"})

    def first(self, tag: str, turn: Turn) -> int:
        asked = self.headers.get("Range")
        unchanged = self.headers.get("If-Range", tag) == tag or not turn.if_range
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
