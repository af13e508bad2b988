"""Locks that are looked at while real processes hold them, claim them and are killed."""

import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dermssl.errors import UserError
from dermssl.runs.folder import LOCK, locked_run
from dermssl.runs.lock import Process, is_locked, signature, signed_lock, take_lock

HOLDS = (
    "import sys; from dermssl.runs.lock import take_lock, signed_lock; lock = open(sys.argv[1] + '/.lock', 'a+'); "
    "assert take_lock(lock); word = signed_lock(lock); word.__enter__(); "
    "print('held', flush=True); input(); word.__exit__(None, None, None)"
)
# Looks without a pause, as a hundred people would who watch a study.
LOOKS = (
    "import pathlib, sys; from dermssl.runs.lock import is_locked; print('looks', flush=True)\n"
    "while True: is_locked(pathlib.Path(sys.argv[1]))"
)


@contextmanager
def holder_of(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the folder until it is killed or gets a line."""
    command = [sys.executable, "-c", HOLDS, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_is_held_as_long_as_its_process_lives_and_its_word_outlives_it(tmp_path: Path) -> None:
    began = time.time()
    with holder_of(tmp_path) as process:
        word = signature(tmp_path / LOCK)
        assert is_locked(tmp_path / LOCK) is True
        assert word == Process(os.uname().nodename, process.pid, word.since if word else 0.0)
        assert began <= word.since <= time.time()
        process.kill()
        process.wait()
    assert is_locked(tmp_path / LOCK) is False
    assert signature(tmp_path / LOCK) == word


def test_a_holder_that_ends_by_itself_leaves_no_word(tmp_path: Path) -> None:
    with holder_of(tmp_path) as process:
        process.communicate("end\n")
    assert process.returncode == 0
    assert is_locked(tmp_path / LOCK) is False
    assert signature(tmp_path / LOCK) is None


def test_who_is_refused_leaves_the_word_of_the_holder(tmp_path: Path) -> None:
    with holder_of(tmp_path) as process:
        with pytest.raises(UserError, match="another process works on this run"), locked_run(tmp_path):
            pass
        word = signature(tmp_path / LOCK)
        assert word is not None
        assert word.id == process.pid


def test_a_new_holder_signs_in_place_of_one_that_was_killed(tmp_path: Path) -> None:
    with holder_of(tmp_path) as process:
        process.kill()
        process.wait()
    with locked_run(tmp_path) as ours:
        word = signature(tmp_path / LOCK)
        assert ours
        assert word is not None
        assert word.id == os.getpid()


def test_a_folder_that_nobody_ever_held_is_free(tmp_path: Path) -> None:
    assert is_locked(tmp_path / LOCK) is False
    assert signature(tmp_path / LOCK) is None


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '{"host": "a"}'])
def test_a_word_that_is_broken_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK).write_text(text)
    assert signature(tmp_path / LOCK) is None


def test_what_cannot_be_asked_is_neither_held_nor_free(tmp_path: Path) -> None:
    assert is_locked(tmp_path) is None  # a folder is no file


def test_a_look_does_not_see_another_look(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    with (tmp_path / LOCK).open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        assert is_locked(tmp_path / LOCK) is False


def test_who_claims_waits_for_a_look_and_is_not_refused(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("a+") as lock, (tmp_path / LOCK).open("rb") as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        end = threading.Timer(0.1, look.close)
        end.start()
        assert take_lock(lock)
        assert look.closed
        end.join()
        with (tmp_path / LOCK).open("a+") as other:
            assert not take_lock(other)


def test_nobody_is_refused_for_looks_however_many_they_are(tmp_path: Path) -> None:
    (tmp_path / LOCK).touch()
    command = [sys.executable, "-c", LOOKS, str(tmp_path / LOCK)]
    looks = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for one in looks:
            assert one.stdout is not None
            assert one.stdout.readline() == b"looks\n"
        for _ in range(300):
            with (tmp_path / LOCK).open("a+") as lock:
                assert take_lock(lock)
    finally:
        for one in looks:
            one.kill()
            one.communicate()


def test_of_many_who_claim_at_once_one_holds(tmp_path: Path) -> None:
    gate, claims = threading.Barrier(8), []

    def claim() -> None:
        lock = (tmp_path / LOCK).open("a+")  # each for itself, and so counted as a process
        gate.wait()
        claims.append((take_lock(lock), lock))

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, lock in claims:
        lock.close()
    assert sum(ours for ours, _ in claims) == 1


def test_a_word_is_one_however_often_the_file_is_signed(tmp_path: Path) -> None:
    with (tmp_path / LOCK).open("a+") as lock, signed_lock(lock), signed_lock(lock):
        assert signature(tmp_path / LOCK) is not None
