"""Files and folders that appear whole or not at all, and what a full disk is answered with."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace

import pytest

from dermssl.errors import UserError
from dermssl.files import need_room, sha256_of, short_hash, whole_file, whole_folder, write_json, write_text

ELSEWHERE = "free some, or write elsewhere: --out moves runs, the variable DERMSSL_CACHE what is kept of a data set"

Writer = Callable[[Path], AbstractContextManager[Path]]


def free(count: int) -> Callable[[Path], SimpleNamespace]:
    return lambda _: SimpleNamespace(free=count)


def break_off(writer: Writer, path: Path, error: Exception) -> None:
    """Writes a half, and then fails."""
    with writer(path) as part:
        (part / "y" if part.is_dir() else part).write_text("half")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_once_the_body_has_ended(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a" / "x.txt") as part:
        part.write_text("whole")
        assert not (tmp_path / "a" / "x.txt").exists()
    assert names(tmp_path / "a") == ["x.txt"]
    assert (tmp_path / "a" / "x.txt").read_text() == "whole"


def test_a_body_that_fails_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("old")
    with pytest.raises(ZeroDivisionError):
        break_off(whole_file, tmp_path / "x.txt", ZeroDivisionError())
    assert names(tmp_path) == ["x.txt"]
    assert (tmp_path / "x.txt").read_text() == "old"


def test_a_folder_takes_its_place_once_the_body_has_ended(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "run") as part:
        (part / "sub").mkdir()
        (part / "sub" / "x").write_text("whole")
        assert not (tmp_path / "run").exists()
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "sub" / "x").read_text() == "whole"


def test_a_folder_whose_body_fails_never_appears(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(whole_folder, tmp_path / "run", ZeroDivisionError())
    assert names(tmp_path) == []


def test_the_first_of_two_processes_that_make_a_folder_wins(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "run") as late:
        (late / "x").write_text("late")
        with whole_folder(tmp_path / "run") as early:
            (early / "x").write_text("early")
    assert names(tmp_path) == ["run"]
    assert (tmp_path / "run" / "x").read_text() == "early"


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UserError, match="run: a file stands where"), whole_folder(tmp_path / "run") as part:
        (part / "x").write_text("x")
    assert names(tmp_path) == ["run"]


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    with whole_file(tmp_path / "x") as part:
        part.touch(mode=0o600)
    with whole_folder(tmp_path / "run"):
        pass
    (tmp_path / "plain").touch()
    (tmp_path / "folder").mkdir()
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert (tmp_path / "run").stat().st_mode == (tmp_path / "folder").stat().st_mode


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
    ids=["as the system says it", "as safetensors says it"],
)
@pytest.mark.parametrize("writer", [whole_file, whole_folder])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(writer: Writer, error: Exception, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        break_off(writer, tmp_path / "x", error)
    assert str(caught.value) == f"{tmp_path / 'x'}: no room left on the disk; {ELSEWHERE}"
    assert names(tmp_path) == []


def test_a_writer_that_fails_without_a_word_on_a_full_disk_is_answered_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", free(4096))
    of_torch = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534")
    with pytest.raises(UserError, match="no room left"):
        break_off(whole_file, tmp_path / "x", of_torch)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENOENT])
def test_what_the_disk_refuses_is_one_sentence_with_the_file(number: int, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        break_off(whole_file, tmp_path / "x", OSError(number, os.strerror(number)))
    assert str(caught.value).startswith(f"{tmp_path / 'x'}: ")
    assert "; " in str(caught.value)


def test_a_place_below_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/x/y: lies below a file"):
        write_text(tmp_path / "file" / "x" / "y", "text")


def test_a_folder_that_vanishes_while_a_file_is_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="x: is not there"), whole_file(tmp_path / "run" / "x"):
        shutil.rmtree(tmp_path / "run")


def test_a_name_that_is_no_utf_8_is_written_out(tmp_path: Path) -> None:
    write_text(tmp_path / "x", os.fsdecode(b"na\xefve"))
    assert (tmp_path / "x").read_text() == "na\\udcefve"


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "Permission denied", "/elsewhere"), RuntimeError("of another kind")]
)
def test_another_error_stays_itself(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)) as caught:
        break_off(whole_file, tmp_path / "x", error)
    assert caught.value is error


def test_work_that_does_not_fit_the_disk_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", free(3 * 10**9))
    need_room(tmp_path / "not" / "yet", 3 * 10**9, "a cache")
    with pytest.raises(UserError) as caught:
        need_room(tmp_path / "not" / "yet", 3 * 10**9 + 1, "a cache")
    assert str(caught.value) == (
        f"{tmp_path / 'not' / 'yet'}: a cache needs 3.0 GB and the disk has 3.0 GB free; {ELSEWHERE}"
    )
    assert names(tmp_path) == []


def test_text_and_json_read_back(tmp_path: Path) -> None:
    write_text(tmp_path / "x.txt", "ü\n")
    write_json(tmp_path / "x.json", {"a": [1, 0.1 + 0.2, None]})
    assert (tmp_path / "x.txt").read_text() == "ü\n"
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": [1, 0.1 + 0.2, None]}


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert sha256_of(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_equal_content_has_an_equal_short_hash_whatever_its_order() -> None:
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1})
    assert short_hash({"a": 1}) != short_hash({"a": 1.5})
    assert len(short_hash("x", 12)) == 12
