"""One file over HTTP: whole and verified or not there, whatever the server and the network do meanwhile."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dermssl.download import resumable, web
from dermssl.download.resumable import fetch
from dermssl.download.web import ask_server
from dermssl.errors import UserError

Server = Any  # of conftest.py, as are its turns


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def bring(server: Server, folder: Path) -> Path:
    """Asks and fetches, with the hash that the content has now; what was there of the file is gone on."""
    fetch(server.address, folder / "file.bin", ask_server(server.address), server.sha256)
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
    server.turns = [server.turn(stop=rng.choice([0, 1, rng.randrange(60_000)])) for _ in range(rng.randrange(1, 12))]
    server.turns = [turn for turn in server.turns if turn.stop or rng.random() < 0.3]
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.sent < 2 * len(server.content)
    assert names(tmp_path) == ["file.bin"]


def test_progress_starts_the_count_of_tries_anew(server: Server, tmp_path: Path) -> None:
    server.turns = [server.turn(stop=5_000)] * (3 * web.TRIES)
    assert bring(server, tmp_path).read_bytes() == server.content


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.turns, server.always = [server.turn(stop=90_000, ranges=False)], server.turn(ranges=False)
    assert bring(server, tmp_path).read_bytes() == server.content
    assert server.ranges == ["bytes=90000-"]


def test_a_server_without_ranges_that_always_breaks_is_given_up(server: Server, tmp_path: Path) -> None:
    server.always = server.turn(stop=90_000, ranges=False)
    said = told_off(lambda: bring(server, tmp_path))
    assert said.endswith(f"5 times in a row; the same command goes on from {tmp_path / 'file.bin.part'}")
    assert server.sent <= (web.TRIES + 1) * 90_000


@pytest.mark.parametrize("if_range", [True, False], ids=["told by If-Range", "told by the ETag of the rest"])
def test_a_file_that_changes_midway_begins_anew(server: Server, tmp_path: Path, if_range: bool) -> None:
    def change() -> None:
        server.content, server.tag = random.Random(1).randbytes(150_000), '"two"'

    told = ask_server(server.address)
    server.turns = [server.turn(stop=70_000), server.turn(before=change, if_range=if_range)]
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
    told, wanted = ask_server(server.address), "0" * 64
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, wanted))
    assert said == (
        f"{server.address}: wrong content, expected sha256 {wanted} and got {server.sha256}; "
        "it was removed, and the same command fetches it again; "
        "if that ends in the same way, the server has another file than the published one"
    )
    assert names(tmp_path) == []


def test_a_body_shorter_than_the_file_was_announced_to_be_is_removed(server: Server, tmp_path: Path) -> None:
    server.always = server.turn(surplus=-500)
    told = ask_server(server.address)
    said = told_off(lambda: fetch(server.address, tmp_path / "file.bin", told, None))
    assert "wrong length, expected 200000 bytes and got 199500; it was removed" in said
    assert names(tmp_path) == []


def test_a_body_shorter_than_its_own_header_says_never_gets_the_name(server: Server, tmp_path: Path) -> None:
    server.always = server.turn(surplus=500)
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


def test_two_processes_do_not_write_one_part(server: Server, tmp_path: Path) -> None:
    leave_part(server, tmp_path, 1000)
    first = resumable.PartialFile(tmp_path / "file.bin")
    said = told_off(lambda: bring(server, tmp_path))
    first.close()
    assert said == f"{tmp_path / 'file.bin.part'}: another process is fetching it; wait for that one to end"


def test_a_full_disk_is_one_sentence_and_keeps_what_came(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(part: resumable.PartialFile, piece: bytes) -> None:
        raise OSError(28, "No space left on device")

    leave_part(server, tmp_path, 1000)
    monkeypatch.setattr(resumable.PartialFile, "append", full)
    assert "no room left on the disk" in told_off(lambda: bring(server, tmp_path))
    assert names(tmp_path) == ["file.bin.part", "file.bin.part.json"]


CHILD = """
import sys
from pathlib import Path
from dermssl.download.resumable import fetch
from dermssl.download.web import ask_server
fetch(sys.argv[1], Path(sys.argv[2]), ask_server(sys.argv[1]), None)
"""


def test_a_process_killed_midway_leaves_a_part_that_the_next_one_goes_on_with(server: Server, tmp_path: Path) -> None:
    server.turns = [server.turn(pace=0.01)]
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
