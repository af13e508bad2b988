"""What is kept of a data set, so that no file is decoded twice, and what makes it be read anew."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dermssl.data import kept, measurements
from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("workplace")

IMAGES, MASKS = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"


def picture(path: Path, size: tuple[int, int] = (20, 30), seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8))
    return path


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every file that is decoded from here on."""
    seen: list[bytes] = []
    decode = measurements.decode

    def seeing(data: bytes, **options: int) -> object:
        seen.append(data)
        return decode(data, **options)

    monkeypatch.setattr(measurements, "decode", seeing)
    return seen


def column(found: Manifest, name: str) -> list[object]:
    return list(found.table[name])


def test_a_second_reading_decodes_nothing_and_finds_the_same(
    draw_isic: Draw, tmp_path: Path, decoded: list[bytes]
) -> None:
    root = draw_isic(tmp_path / "isic", 3)
    first = read_manifest(root)
    assert len(decoded) == 6
    decoded.clear()
    second = read_manifest(root)
    assert decoded == []
    assert second.table.equals(first.table)


def test_a_changed_file_alone_is_read_again(draw_isic: Draw, tmp_path: Path, decoded: list[bytes]) -> None:
    root = draw_isic(tmp_path / "isic", 3)
    before = read_manifest(root)
    decoded.clear()
    changed = picture(root / IMAGES / "ISIC_0000001.jpg", size=(48, 64), seed=9)
    after = read_manifest(root)
    assert changed.read_bytes() in decoded
    assert len(decoded) == 2  # it and its mask
    assert after.hash != before.hash


def test_a_file_of_equal_size_that_was_touched_is_read_again(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    before = read_manifest(root)
    path = root / IMAGES / "ISIC_0000001.jpg"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(0, 0))
    assert read_manifest(root).hash != before.hash


def test_a_file_of_equal_time_that_grew_is_read_again(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    before = read_manifest(root)
    path = root / IMAGES / "ISIC_0000001.jpg"
    time = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes() + b"more")
    os.utime(path, ns=(time, time))
    assert read_manifest(root).hash != before.hash


def test_new_metadata_holds_without_reading_a_picture(draw_isic: Draw, tmp_path: Path, decoded: list[bytes]) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    before = read_manifest(root)
    decoded.clear()
    (root / "metadata.csv").write_text("image_id,lesion_id\nISIC_0000000,one\nISIC_0000001,one\n")
    after = read_manifest(root)
    assert column(after, "lesion_id") == ["one", "one"]
    assert after.hash != before.hash
    assert decoded == []


def test_the_hash_is_of_content_and_not_of_time_or_place(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    before = read_manifest(root).hash
    for path in root.rglob("*.*g"):
        os.utime(path, ns=(1, 1))
    assert read_manifest(root).hash == before
    shutil.copytree(root, tmp_path / "elsewhere" / "copy")
    assert read_manifest(tmp_path / "elsewhere" / "copy").hash == before


@pytest.mark.parametrize("part", ["image", "mask"])
def test_the_hash_changes_with_an_image_and_with_a_mask(part: str, draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    before = read_manifest(root).hash
    if part == "image":
        picture(root / IMAGES / "ISIC_0000001.jpg", size=(48, 64))
    else:
        stripes = np.resize(np.array([0, 255], np.uint8), (48, 64))
        cv2.imwrite(str(root / MASKS / "ISIC_0000001_segmentation.png"), stripes)
    assert read_manifest(root).hash != before


def test_a_table_that_is_damaged_is_made_again(draw_isic: Draw, tmp_path: Path, decoded: list[bytes]) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    before = read_manifest(root)
    decoded.clear()
    (kept_folder(root) / "manifest.parquet").write_bytes(b"PAR1 and no more")
    assert read_manifest(root).hash == before.hash
    assert len(decoded) == 4


def test_a_file_that_could_not_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[bytes]
) -> None:
    picture(tmp_path / "set" / "a.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
        assert column(read_manifest(tmp_path / "set"), "problem") == ["cannot be read: Permission denied"]
    assert column(read_manifest(tmp_path / "set"), "problem") == [""]
    assert len(decoded) == 1


def test_the_table_is_kept_beside_the_data_set(
    draw_isic: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DERMSSL_CACHE")
    root = draw_isic(tmp_path / "isic", 2)
    read_manifest(root)
    assert (root / ".dermssl" / "manifest.parquet").is_file()
    assert len(read_manifest(root)) == 2  # what is kept there is not taken for data


def test_a_read_only_data_set_is_not_written_to(
    draw_isic: Draw,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files_in: Callable[[Path], dict[str, bytes]],
    decoded: list[bytes],
) -> None:
    monkeypatch.delenv("DERMSSL_CACHE")
    root = draw_isic(tmp_path / "isic", 2)
    before = files_in(root)
    root.chmod(0o555)
    try:
        read_manifest(root)
        assert files_in(root) == before
        assert kept_folder(root).parent == tmp_path / "xdg" / "dermssl"
        decoded.clear()
        read_manifest(root)
        assert decoded == []
    finally:
        root.chmod(0o755)


def test_two_data_sets_of_one_name_keep_their_tables_apart(draw_isic: Draw, tmp_path: Path) -> None:
    one, two = draw_isic(tmp_path / "x" / "isic", 2), draw_isic(tmp_path / "y" / "isic", 3)
    assert kept_folder(one) != kept_folder(two)
    assert (len(read_manifest(one)), len(read_manifest(two)), len(read_manifest(one))) == (2, 3, 2)


@pytest.mark.parametrize("home", ["", "missing"])
def test_a_read_only_set_of_somebody_without_a_home_is_kept_in_a_temporary_folder(
    home: str, draw_isic: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("DERMSSL_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    if home == "missing":
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    else:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    kept.user_cache.cache_clear()
    root = draw_isic(tmp_path / "isic", 2)
    root.chmod(0o555)
    try:
        assert len(read_manifest(root)) == len(read_manifest(root)) == 2
        assert kept_folder(root).parent == tmp_path / f"dermssl-{os.getuid()}"
    finally:
        root.chmod(0o755)
        kept.user_cache.cache_clear()
    assert capsys.readouterr().out.count("note: the data set is read-only, and a home folder cannot be written to") == 1


def test_a_temporary_folder_that_others_could_write_to_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    planted = tmp_path / f"dermssl-{os.getuid()}"
    planted.mkdir()
    planted.chmod(0o777)
    assert kept.temporary_folder() != planted


def test_a_cache_that_cannot_be_written_to_is_named_by_its_variable(
    draw_isic: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DERMSSL_CACHE", "/proc/cache")
    with pytest.raises(UserError, match=r"DERMSSL_CACHE /proc/cache: is closed to you"):
        read_manifest(draw_isic(tmp_path / "isic", 2))


def test_names_that_are_no_utf_8_are_read_like_any_other(draw_isic: Draw, tmp_path: Path) -> None:
    root = draw_isic(tmp_path / "isic", 2)
    odd = os.fsdecode(b"na\xefve")
    (root / IMAGES / "ISIC_0000000.jpg").rename(root / IMAGES / f"{odd}.jpg")
    (root / MASKS / "ISIC_0000000_segmentation.png").rename(root / MASKS / f"{odd}_segmentation.png")
    for _ in range(2):  # read, and kept
        manifest = read_manifest(root)
        assert column(manifest, "image_id") == ["ISIC_0000001", "na\\udcefve"]
        assert column(manifest, "problem") == ["", ""]
        assert [path.is_file() for path in manifest.paths("mask_path")] == [True, True]
