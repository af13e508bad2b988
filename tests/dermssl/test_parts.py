"""What killed processes left is swept by the next one that writes there, and what living ones write is not."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from dermssl.files import whole_file, whole_folder, write_text
from dermssl.parts import DAY, machine, part_prefix, sweep_parts, sweep_parts_once

GONE = 2**30  # no process has such a number


def left_by(process: int, name: str, place: str = "") -> str:
    return f".part-{process}-{place or machine()}-{name}"


def test_the_next_writer_in_a_folder_sweeps_it(tmp_path: Path) -> None:
    (tmp_path / left_by(GONE, "a.png")).write_text("half")
    (tmp_path / left_by(GONE, "step-9-abc")).mkdir()
    (tmp_path / left_by(GONE, "step-9-abc") / "state").write_text("half")
    write_text(tmp_path / "b.png", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]


def test_parts_of_living_processes_and_of_other_machines_stay(tmp_path: Path) -> None:
    names = {left_by(os.getppid(), "a"), left_by(1, "b"), left_by(GONE, "c", "00000000"), ".part-mine"}
    for name in names:
        (tmp_path / name).write_text("half")
    sweep_parts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names


@pytest.mark.parametrize("name", [left_by(7, "c", "00000000"), ".part-host-7-c"])
def test_parts_of_other_machines_go_after_a_day(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("half")
    os.utime(tmp_path / name, (time.time() - DAY - 60,) * 2)
    sweep_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / left_by(GONE, "x")).symlink_to(tmp_path / "kept")
    sweep_parts(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_folder_that_cannot_be_looked_into_is_let_be(tmp_path: Path) -> None:
    sweep_parts(tmp_path / "nowhere")


def test_own_parts_are_named_by_this_process(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a") as part, whole_folder(tmp_path / "b") as folder:
        assert part.name == f"{part_prefix()}a"
        assert folder.name.startswith(f"{part_prefix()}b-")
        part.write_text("")
        sweep_parts(tmp_path)
        assert part.exists()
        assert folder.exists()


def test_a_folder_is_swept_once_and_not_at_each_of_many_files(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    before = sweep_parts_once.cache_info().hits
    write_text(tmp_path / "b", "")
    assert sweep_parts_once.cache_info().hits == before + 1


def test_the_part_of_a_process_that_ended_and_that_nobody_has_waited_for_is_swept(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # which leaves it to be waited for
        (tmp_path / left_by(ended.pid, "a")).write_text("half")
        sweep_parts(tmp_path)
    assert list(tmp_path.iterdir()) == []
