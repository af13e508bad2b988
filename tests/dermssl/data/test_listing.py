"""Which files of a folder are pictures, and that every other one is counted with its reason."""

import os
from pathlib import Path

import pytest

from dermssl.data.listing import NOTHING, list_folder
from dermssl.errors import UserError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names_in(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in list_folder(root).pictures]


def test_pictures_are_found_at_any_depth_in_the_order_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "b.PNG", "a/deep/c.jpeg", "a/x.tif", "z.bmp", "w.WebP", "v.jfif", "u.gif", "t.JP2", "s.jpe")
    (tmp_path / "folder.png").mkdir()
    assert names_in(tmp_path) == ["a/deep/c.jpeg", "a/x.tif", "b.PNG", "s.jpe", "t.JP2", "u.gif", "v.jfif", "w.WebP",
                                  "z.bmp"]  # fmt: skip


def test_pictures_are_found_under_a_hidden_folder_that_the_user_names(tmp_path: Path) -> None:
    assert names_in(touch(tmp_path / ".mine", "a.png")) == ["a.png"]


def test_every_file_that_is_no_picture_is_counted_with_its_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "b.heic", "c.HEIC", "d.dng", ".x.png", ".hidden/y.png", "notes.txt", "read.csv", "LICENSE")
    touch(tmp_path, ".dermssl/manifest.parquet", ".dermssl-download.json")
    passed_over = list_folder(tmp_path, tables=[tmp_path / "read.csv"]).passed_over
    assert passed_over.sentence == (
        "7 files passed over: 1 .dng (not read), 2 .heic (not read), 2 hidden, 2 of other kinds (no ending, .txt)"
    )
    assert passed_over.unread == ("d.dng", "b.heic", "c.HEIC")


def test_a_folder_of_pictures_alone_has_nothing_to_tell(tmp_path: Path) -> None:
    passed_over = list_folder(touch(tmp_path, "a.png")).passed_over
    assert (passed_over, passed_over.sentence) == (NOTHING, "")


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path / "store", "1.png", "deep/2.png")
    root = touch(tmp_path / "set", "own.png")
    (root / "images").symlink_to(tmp_path / "store")
    (root / "3.png").symlink_to(tmp_path / "store" / "1.png")
    assert names_in(root) == ["3.png", "images/1.png", "images/deep/2.png", "own.png"]


@pytest.mark.timeout(10)
def test_links_in_a_circle_end_and_are_told(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "a/1.png")
    (root / "a" / "loop").symlink_to(root)
    listing = list_folder(root)
    assert [path.name for path in listing.pictures] == ["1.png"]
    assert listing.passed_over.sentence == "1 file passed over: 1 behind links to what is read already"


def test_a_folder_inside_that_is_linked_is_read_once_under_the_name_of_the_link(tmp_path: Path) -> None:
    root = touch(tmp_path / "set", "export/1.png")
    (root / "masks").symlink_to(root / "export")
    assert names_in(root) == ["masks/1.png"]


@pytest.mark.timeout(10)
def test_a_pipe_with_a_pictures_name_is_never_opened(tmp_path: Path) -> None:
    os.mkfifo(touch(tmp_path, "a.png") / "b.png")
    assert list_folder(tmp_path).passed_over.sentence == "1 file passed over: 1 no regular files"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="none: no such folder; give one that holds images"):
        list_folder(tmp_path / "none")


def test_a_folder_without_pictures_says_what_was_looked_for_and_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        list_folder(touch(tmp_path, "a.heic"))
    assert str(caught.value) == (
        f"{tmp_path}: no images (no file here or in a folder below ends in .jpg .jpeg .jpe .jfif .png .bmp .tif .tiff "
        ".webp .gif .jp2; 1 file passed over: 1 .heic (not read)); give a folder that holds images"
    )
