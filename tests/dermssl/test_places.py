"""Places that options name, tried before any work."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dermssl.errors import UserError
from dermssl.places import need_readable, need_writable_file, need_writable_folder, try_places

Need = Callable[[str, Path | None], None]


def said(need: Need, place: Path) -> str:
    with pytest.raises(UserError) as caught:
        need("--x", place)
    return str(caught.value)


def test_a_place_that_is_tried_is_left_as_it_was(tmp_path: Path) -> None:
    try_places({"--a": tmp_path}, folders={"--b": tmp_path / "x" / "y"}, files={"--c": tmp_path / "z" / "c.png"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_system_s_own_is_refused() -> None:
    assert said(need_writable_folder, Path("/proc/x")).startswith("--x /proc/x: is closed to you (permission denied); ")


def test_a_place_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert said(need_writable_folder, tmp_path / "file" / "x") == (
        f"--x {tmp_path / 'file' / 'x'}: lies below {tmp_path / 'file'}, which is a file; give a folder"
    )
    assert said(need_readable, tmp_path / "file" / "x").endswith("lies below a file, which is no folder; "
                                                                "give a place below a folder")  # fmt: skip


def test_a_device_is_no_folder() -> None:
    assert said(need_writable_folder, Path("/dev/null")) == "--x /dev/null: is a device; give a folder"


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    assert said(need_writable_file, tmp_path) == f"--x {tmp_path}: is a folder; give the name of a file"


@pytest.mark.parametrize("letters", [201, 300])
def test_a_name_that_is_too_long_is_refused(letters: int, tmp_path: Path) -> None:
    for need in (need_writable_folder, need_writable_file):
        assert "name" in said(need, tmp_path / ("n" * letters))


def test_a_name_that_is_no_text_is_refused_where_it_is_to_be_made(tmp_path: Path) -> None:
    assert "has a name that is no UTF-8" in said(need_writable_folder, tmp_path / os.fsdecode(b"\xff"))


def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "away")
    assert "is not there" in said(need_writable_folder, tmp_path / "link")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    assert "leads round in a circle" in said(need_writable_folder, tmp_path / "round")
    assert "leads round in a circle" in said(need_readable, tmp_path / "round")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert said(need_readable, tmp_path / "pipe") == f"--x {tmp_path / 'pipe'}: is a pipe; give a file or a folder"


def test_a_zero_among_the_letters_is_no_path() -> None:
    assert "is no path" in said(need_readable, Path("a\0b"))


def test_words_and_what_is_not_there_are_left_to_their_readers() -> None:
    try_places({"--init": "imagenet", "--data": Path("/not/there"), "--split": None})
