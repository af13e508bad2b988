"""Archives: unpacked whole or not at all, and nothing outside of the folder whatever they hold."""

import io
import json
import stat
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile, ZipInfo

import pytest

from dermssl.download import archives
from dermssl.download.archives import BadArchiveError, count_files, first_lines, licence_texts, read_receipt, unpack
from dermssl.errors import UserError

NOTHING: dict[str, object] = {}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder whose surroundings a test can look at."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def pack(path: Path, members: Mapping[str, bytes], method: int = ZIP_DEFLATED) -> Path:
    """A zip with these members, under names that zipfile would not tidy."""
    with ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            info = ZipInfo("x")
            info.filename, info.compress_type, info.external_attr = name, method, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    return path


def pack_one(path: Path, info: ZipInfo, data: bytes = b"x") -> Path:
    with ZipFile(path, "w") as archive:
        archive.writestr(info, data)
    return path


def forge(path: Path, offset: int, value: int, form: str = "<I") -> Path:
    """Overwrites a field at `offset` behind the signature of the first entry of the central directory."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, data.index(b"PK\x01\x02") + offset, value)
    path.write_bytes(data)
    return path


def refused(archive: Path) -> str:
    """The sentence, with nothing left behind or written elsewhere."""
    place = archive.parent
    before = sorted(path for path in place.parent.rglob("*"))
    with pytest.raises(BadArchiveError) as caught:
        unpack(archive, place / "set", NOTHING)
    assert sorted(path for path in place.parent.rglob("*")) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("top", ["set/", ""], ids=["with a top folder", "without"])
def test_the_folder_has_the_archives_name_once(place: Path, top: str) -> None:
    archive = pack(place / "set.zip", {f"{top}a.jpg": b"a", f"{top}sub/b.jpg": b"b"})
    unpack(archive, place / "set", NOTHING)
    assert files_of(place) == ["set.zip", "set/.dermssl-download.json", "set/a.jpg", "set/sub/b.jpg"]
    assert (place / "set" / "sub" / "b.jpg").read_bytes() == b"b"


def test_what_systems_strew_in_is_left_out(place: Path) -> None:
    archive = pack(place / "set.zip", {"set/a": b"a", "__MACOSX/set/._a": b"j", "set/.DS_Store": b"j"})
    unpack(archive, place / "set", NOTHING)
    assert files_of(place / "set") == [".dermssl-download.json", "a"]


def test_the_receipt_says_what_it_was_told_and_how_many_files_there_are(place: Path) -> None:
    unpack(pack(place / "set.zip", {"a": b"", "b/c": b"c"}), place / "set", {"sha256": "0a"})
    assert read_receipt(place / "set") == {"sha256": "0a", "files": 2}
    assert count_files(place / "set") == 2


@pytest.mark.parametrize("text", [None, "{", "[]", '{"files": "2"}'])
def test_a_receipt_that_says_nothing_is_none(place: Path, text: str | None) -> None:
    if text is not None:
        (place / archives.RECEIPT).write_text(text)
    assert read_receipt(place) is None


@pytest.mark.parametrize(
    "name",
    ["../out", "a/../../out", "/tmp/out", "//host/out", "C:/out", "c:out", "..\\out", "a\\b", ".", "a/.."],
)
def test_a_member_that_would_leave_the_folder_stops_it_all(place: Path, name: str) -> None:
    said = refused(pack(place / "set.zip", {"set/a": b"a", name: b"out"}))
    assert f"members {name!r} would leave the folder" in said


def test_a_name_with_a_zero_byte_stops_it_all(place: Path) -> None:
    archive = pack(place / "set.zip", {"aXb": b"a"})
    archive.write_bytes(archive.read_bytes().replace(b"aXb", b"a\0b"))
    assert "would leave the folder" in refused(archive)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_stop_it_all(place: Path, kind: int) -> None:
    info = ZipInfo("set/a")
    info.external_attr = (kind | 0o777) << 16
    assert "members 'set/a' are links or devices" in refused(pack_one(place / "set.zip", info, b"/etc/passwd"))


@pytest.mark.parametrize(
    "pair", [("a", "A"), ("set/a", "a"), ("a", "./a"), ("a/b", "a/B"), ("a", "a/b"), ("\u00e9", "e\u0301")]
)
def test_two_members_that_would_be_one_file_stop_it_all(place: Path, pair: tuple[str, str]) -> None:
    assert "are there twice" in refused(pack(place / "set.zip", dict.fromkeys(pair, b"a")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_name_twice_stops_it_all(place: Path) -> None:
    with ZipFile(place / "set.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert "members 'a' are there twice" in refused(place / "set.zip")


def test_an_encrypted_member_stops_it_all(place: Path) -> None:
    archive = forge(pack(place / "set.zip", {"a": b"a"}), 8, 1, "<H")
    assert "members 'a' are encrypted" in refused(archive)


def test_packing_that_cannot_be_unpacked_in_pieces_stops_it_all(place: Path) -> None:
    assert "members 'a' are packed in an unusual way" in refused(pack(place / "set.zip", {"a": b"a"}, ZIP_LZMA))


def test_a_name_too_long_for_file_systems_stops_it_all(place: Path) -> None:
    assert "have names that are too long" in refused(pack(place / "set.zip", {"a" * 256: b"a"}))


def test_a_member_that_swells_stops_it_all(place: Path) -> None:
    said = refused(pack(place / "set.zip", {"a": bytes(3 << 20)}))
    assert "members 'a' unpack to more than 200 times their size" in said


def test_many_small_members_that_swell_stop_it_all(place: Path) -> None:
    said = refused(pack(place / "set.zip", {f"{i}": bytes(500_000) for i in range(8)}))
    assert "bytes unpack to 4000000, which is no honest data set" in said


def test_a_small_text_may_shrink_as_much_as_it_likes(place: Path) -> None:
    unpack(pack(place / "set.zip", {"a": bytes(500_000)}), place / "set", NOTHING)
    assert (place / "set" / "a").stat().st_size == 500_000


@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED])
@pytest.mark.parametrize(("announced", "word"), [(10, "more"), (5_000, "less")])
def test_a_member_that_lies_about_its_size_stops_it_all(place: Path, method: int, announced: int, word: str) -> None:
    archive = forge(pack(place / "set.zip", {"a": bytes(1000)}, method), 24, announced)
    assert f"'a' gives {word} than the {announced} bytes that it announces" in refused(archive)


@pytest.mark.parametrize("method", [ZIP_STORED, ZIP_DEFLATED])
def test_a_lie_about_size_and_checksum_together_stops_it_all(place: Path, method: int) -> None:
    archive = forge(pack(place / "set.zip", {"a": bytes(1000)}, method), 24, 10)
    refused(forge(archive, 16, zlib.crc32(bytes(10))))


def test_a_checksum_that_differs_is_one_sentence(place: Path) -> None:
    archive = pack(place / "set.zip", {"a": b"first", "b": b"a photograph"}, ZIP_STORED)
    archive.write_bytes(archive.read_bytes().replace(b"photograph", b"photOgraph"))
    assert refused(archive) == (f"{archive}: damaged, or no zip archive (Bad CRC-32 for file 'b'); fetch it anew")


@pytest.mark.parametrize("keep", [0, 1, 30, 2_000, -1, -30])
def test_a_truncated_archive_is_one_sentence(place: Path, keep: int) -> None:
    archive = pack(place / "set.zip", {"a": bytes(range(256)) * 20}, ZIP_STORED)
    archive.write_bytes(archive.read_bytes()[:keep])
    assert refused(archive).startswith(f"{archive}: damaged, or no zip archive (")


def test_a_flipped_byte_gives_the_right_files_or_a_sentence_and_nothing(place: Path) -> None:
    right = [b"one" * 9, b"two" * 9]
    whole = pack(place / "set.zip", {"a": right[0], "b": right[1]}).read_bytes()
    for byte in (number * len(whole) // 40 for number in range(40)):
        folder = place / str(byte)
        folder.mkdir()
        archive = folder / "set.zip"
        archive.write_bytes(whole[:byte] + bytes([whole[byte] ^ 0xFF]) + whole[byte + 1 :])
        try:
            unpack(archive, folder / "set", NOTHING)
        except UserError:
            assert files_of(folder) == ["set.zip"], byte
        else:
            files = [path for path in (folder / "set").iterdir() if path.name != archives.RECEIPT]
            assert sorted(path.read_bytes() for path in files) == right, byte


def test_an_archive_of_nothing_is_refused(place: Path) -> None:
    assert "it holds 0 files" in refused(pack(place / "set.zip", {}))


def test_what_does_not_fit_the_disk_is_not_begun(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3))
    archive = pack(place / "set.zip", {"a": b"four"})
    with pytest.raises(UserError, match=r"what set\.zip holds needs"):
        unpack(archive, place / "set", NOTHING)
    assert files_of(place) == ["set.zip"]


def test_a_folder_that_is_there_is_left_alone(place: Path) -> None:
    (place / "set").mkdir()
    (place / "set" / "mine").touch()
    with pytest.raises(UserError, match=r"exists; move it elsewhere, and the same command unpacks set\.zip"):
        unpack(pack(place / "set.zip", {"a": b"a"}), place / "set", NOTHING)
    assert files_of(place / "set") == ["mine"]


def test_licences_are_found_by_name_or_by_folder(place: Path) -> None:
    for name in ("LICENSE.txt", "sub/ATTRIBUTION", "sub/licence.md", "licenses/CC-0.txt", "unlicensed.txt", "a.jpg"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).touch()
    found = [str(path.relative_to(place)) for path in licence_texts(place)]
    assert found == ["LICENSE.txt", "licenses/CC-0.txt", "sub/ATTRIBUTION", "sub/licence.md"]


def test_the_first_lines_are_fit_for_a_terminal(place: Path) -> None:
    text = "\n\n".join(["\x1b[2Jone\u202e", "x" * 500, *(str(i) for i in range(20))]).encode() + b"\xff"
    (place / "LICENSE").write_bytes(text)
    lines = first_lines(place / "LICENSE")
    assert lines[:3] == ["[2Jone", "x" * 120, "0"]
    assert len(lines) == 10


def test_a_receipt_in_the_archive_is_not_believed(place: Path) -> None:
    archive = pack(place / "set.zip", {"a": b"a", archives.RECEIPT: json.dumps({"files": 0}).encode()})
    unpack(archive, place / "set", {"name": "ours"})
    assert read_receipt(place / "set") == {"name": "ours", "files": 1}


def test_members_that_share_their_bytes_count_as_often_as_they_unpack(place: Path) -> None:
    once = io.BytesIO()
    with ZipFile(once, "w", ZIP_DEFLATED) as archive:
        archive.writestr("aaa", bytes(900_000))
    data = once.getvalue()
    start = data.index(b"PK\x01\x02")
    entry, end = data[start : data.index(b"PK\x05\x06")], data[data.index(b"PK\x05\x06") :]
    entries = b"".join(entry.replace(b"aaa", b"%03d" % i) for i in range(20))
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 20, 20, len(entries), start, 0)
    (place / "set.zip").write_bytes(data[:start] + entries + tail)
    assert len(end) == len(tail)
    assert zipfile.is_zipfile(place / "set.zip")
    assert "which is no honest data set" in refused(place / "set.zip")
