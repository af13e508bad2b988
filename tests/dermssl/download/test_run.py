"""`python -m dermssl download` from end to end, against a mirror on this machine that holds a few drawn images."""

import csv
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from dermssl.data.manifest import read_manifest
from dermssl.download import consent
from dermssl.download import run as download
from dermssl.download.catalogue import CLASSES, HAM10000, HAM_CLASSES, HAM_IMAGES, HAM_LESIONS, ISIC2018
from dermssl.download.config import Ham10000Config, Isic2018Config
from dermssl.download.run import run
from dermssl.errors import UserError
from dermssl.parts import machine
from dermssl.runs.lock import locked_folder

Draw = Callable[..., Path]
Output = pytest.CaptureFixture[str]
Server = Any  # of conftest.py
LICENCE = "CC-0 1.0 Universal\n\nNo copyright.\n"


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {f"{folder.name}/{path.name}": path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def isic(mirror: Server, draw_isic: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The training part of ISIC 2018 on the mirror, with the hashes that its drawn files have."""
    drawn = draw_isic(tmp_path / "drawn")
    for file in ISIC2018.parts["train"]:
        licence = {f"{file.makes}/LICENSE.txt": LICENCE.encode()} if "Input" in file.name else {}
        mirror.files[file.name] = zipped(contents(drawn / file.makes) | licence)
    files = tuple(
        replace(file, sha256=hashlib.sha256(mirror.files[file.name]).hexdigest()) for file in ISIC2018.parts["train"]
    )
    monkeypatch.setattr(download, "ISIC2018", replace(ISIC2018, parts={"train": files}))
    return mirror


@pytest.fixture
def ham(mirror: Server, draw_isic: Draw, tmp_path: Path) -> Server:
    """HAM10000 on the mirror: six drawn images, two of one lesion."""
    images = contents(next((draw_isic(tmp_path / "drawn", masks=False)).iterdir()))
    ids = [Path(name).stem for name in images]
    rows = [f"{name}," + ",".join("1.0" if i == j % 7 else "0.0" for i in range(7)) for j, name in enumerate(ids)]
    table = "\n".join(["image," + ",".join(CLASSES), *rows])
    lesions = [f"{name},HAM_{max(j, 1)},histopathology" for j, name in enumerate(ids)]
    mirror.files = {
        f"{HAM_IMAGES}.zip": zipped({f"{HAM_IMAGES}/{Path(name).name}": data for name, data in images.items()}),
        f"{HAM_CLASSES}.zip": zipped({f"{HAM_CLASSES}/{HAM_CLASSES}.csv": table.encode()}),
        HAM_LESIONS: "\n".join(["image,lesion_id,diagnosis_confirm_type", *lesions]).encode(),
    }
    return mirror


def tree(folder: Path) -> list[str]:
    """Every file, hidden ones too; images shortened to how many there are."""
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    return sorted(str(path) for path in files if path.suffix not in (".jpg", ".png"))


def told_off(config: Isic2018Config | Ham10000Config) -> str:
    with pytest.raises(UserError) as caught:
        run(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


IMAGES, MASKS = (file.makes for file in ISIC2018.parts["train"])
WHOLE = sorted([f"{IMAGES}/.dermssl-download.json", f"{MASKS}/.dermssl-download.json", f"{IMAGES}/LICENSE.txt"])


def test_isic2018_comes_in_its_own_folders_and_is_read(isic: Server, tmp_path: Path, capsys: Output) -> None:
    out = tmp_path / "set"
    run(Isic2018Config(out=out))
    said = capsys.readouterr().out
    manifest = read_manifest(out, keep_in=tmp_path / "kept")
    assert tree(out) == WHOLE
    assert (len(manifest), manifest.has_masks) == (6, True)
    first = min((out / IMAGES).glob("*.jpg"))
    assert said.endswith(f"open:    {first}\nresults: {out} (13 files)\nnext:    python -m dermssl check {out}\n")
    assert "licence: CC BY-NC 4.0 or CC-0" in said
    assert f"{out / IMAGES / 'LICENSE.txt'} begins:\n    CC-0 1.0 Universal\n    No copyright.\n" in said
    assert f"{MASKS} came without a text of its licence; by its publisher it is: CC BY-NC 4.0 or CC-0" in said


def test_the_receipt_tells_archive_hash_size_and_day(isic: Server, tmp_path: Path) -> None:
    run(Isic2018Config(out=tmp_path / "set"))
    receipt = json.loads((tmp_path / "set" / IMAGES / ".dermssl-download.json").read_text())
    archive = isic.files[f"{IMAGES}.zip"]
    assert receipt.pop("date").endswith("+00:00")
    assert receipt.pop("address").endswith(f"/{IMAGES}.zip")
    assert receipt == {
        "name": f"{IMAGES}.zip", "sha256": hashlib.sha256(archive).hexdigest(), "bytes": len(archive), "files": 7,
    }  # fmt: skip


def test_what_is_there_is_not_even_asked_for(isic: Server, tmp_path: Path, capsys: Output) -> None:
    run(Isic2018Config(out=tmp_path / "set"))
    isic.asked.clear()
    (tmp_path / "set" / f"{MASKS}.zip").write_bytes(b"left by a kill right after unpacking")
    run(Isic2018Config(out=tmp_path / "set"))
    assert isic.asked == []
    assert capsys.readouterr().out.count("here already") == 2
    assert tree(tmp_path / "set") == WHOLE


def test_one_lost_folder_is_fetched_alone(isic: Server, tmp_path: Path) -> None:
    out = tmp_path / "set"
    run(Isic2018Config(out=out))
    isic.asked.clear()
    for path in (out / MASKS).iterdir():
        path.unlink()
    (out / MASKS).rmdir()
    run(Isic2018Config(out=out))
    assert {name for _, name, _ in isic.asked} == {f"{MASKS}.zip"}
    assert tree(out) == WHOLE


def test_a_folder_that_lost_files_is_named(isic: Server, tmp_path: Path) -> None:
    run(Isic2018Config(out=tmp_path / "set"))
    next((tmp_path / "set" / MASKS).glob("*.png")).unlink()
    said = told_off(Isic2018Config(out=tmp_path / "set"))
    assert said == f"{tmp_path / 'set' / MASKS}: 5 of its 6 files are left; remove it, and the same command fetches it"


def test_a_folder_of_somebody_elses_is_left_alone(isic: Server, tmp_path: Path) -> None:
    (tmp_path / "set" / IMAGES).mkdir(parents=True)
    (tmp_path / "set" / IMAGES / "mine.txt").touch()
    said = told_off(Isic2018Config(out=tmp_path / "set"))
    assert "is there, but this command did not make it; move it elsewhere" in said
    assert tree(tmp_path / "set") == [f"{IMAGES}/mine.txt"]


def test_an_archive_that_somebody_put_there_is_verified_and_unpacked(isic: Server, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / f"{IMAGES}.zip").write_bytes(isic.files[f"{IMAGES}.zip"])
    run(Isic2018Config(out=tmp_path / "set"))
    assert ("GET", f"{IMAGES}.zip", "") not in isic.asked
    assert tree(tmp_path / "set") == WHOLE


def test_wrong_content_leaves_nothing(isic: Server, tmp_path: Path) -> None:
    isic.files[f"{IMAGES}.zip"] = zipped({"a": b"of somebody else"})
    assert "wrong content, expected sha256" in told_off(Isic2018Config(out=tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_a_file_that_is_not_there_is_told_before_anything_is_made(isic: Server, tmp_path: Path) -> None:
    del isic.files[f"{MASKS}.zip"]
    assert f"/{MASKS}.zip: the server answers 404 (no such file)" in told_off(Isic2018Config(out=tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_an_archive_that_is_not_safe_leaves_nothing(ham: Server, tmp_path: Path) -> None:
    ham.files[f"{HAM_IMAGES}.zip"] = zipped({"../a.jpg": b"a"})
    assert "would leave the folder" in told_off(Ham10000Config(out=tmp_path / "deep" / "set"))
    assert not (tmp_path / "deep" / "set").exists()


def test_a_full_disk_is_told_before_anything_is_made(
    isic: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=9))
    assert "the download, unpacked, needs" in told_off(Isic2018Config(out=tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_what_a_killed_unpacking_left_is_swept_away(isic: Server, tmp_path: Path) -> None:
    (tmp_path / "set" / f".part-{2**30}-{machine()}-{IMAGES}-abc").mkdir(parents=True)
    run(Isic2018Config(out=tmp_path / "set"))
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == sorted([IMAGES, MASKS])


def test_what_a_kill_right_after_fetching_left_is_removed(ham: Server, tmp_path: Path) -> None:
    run(Ham10000Config(out=tmp_path / "ham"))
    memo = tmp_path / "ham" / f"{HAM_LESIONS}.part.json"
    memo.write_text('{"tag": "one"}')
    run(Ham10000Config(out=tmp_path / "ham"))
    assert not memo.exists()


def test_two_downloads_do_not_work_in_one_folder(isic: Server, tmp_path: Path) -> None:
    with locked_folder(tmp_path / "set", "download"):
        said = told_off(Isic2018Config(out=tmp_path / "set"))
    assert said == f"{tmp_path / 'set'}: another download works there; wait for that one to end"


def test_a_place_that_is_a_file_is_one_sentence(isic: Server, tmp_path: Path) -> None:
    (tmp_path / "set").write_text("mine")
    assert told_off(Isic2018Config(out=tmp_path / "set")).endswith("is a file; give a folder")


def large(isic: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent, "ASK_ABOVE", 1000)


def test_much_is_not_fetched_unasked_where_nobody_can_be_asked(
    isic: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large(isic, monkeypatch)
    monkeypatch.setattr(os, "isatty", lambda _: False)
    said = told_off(Isic2018Config(out=tmp_path / "set"))
    assert said.endswith(" are left to fetch, and nobody is at a terminal to agree; give --yes to agree beforehand")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(("answer", "fetched"), [("", False), ("n", False), ("y", True), ("YES", True)])
def test_much_is_fetched_when_the_user_says_so(
    isic: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, fetched: bool
) -> None:
    large(isic, monkeypatch)
    asked: list[str] = []

    def ask_user(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr(os, "isatty", lambda _: True)
    monkeypatch.setattr("builtins.input", ask_user)
    run(Isic2018Config(out=tmp_path / "set"))
    assert asked[0].startswith("Fetch ")
    assert asked[0].endswith(" kB? [y/N] ")
    assert (tmp_path / "set").exists() == fetched


def test_the_end_of_input_is_a_no(isic: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(_: str) -> NoReturn:
        raise EOFError

    large(isic, monkeypatch)
    monkeypatch.setattr(os, "isatty", lambda _: True)
    monkeypatch.setattr("builtins.input", end)
    run(Isic2018Config(out=tmp_path / "set"))
    assert not (tmp_path / "set").exists()


def test_yes_is_not_asked(isic: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large(isic, monkeypatch)
    run(Isic2018Config(out=tmp_path / "set", yes=True))
    assert tree(tmp_path / "set") == WHOLE


def test_ctrl_c_keeps_what_came(isic: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "unpack", press)
    with pytest.raises(KeyboardInterrupt):
        run(Isic2018Config(out=tmp_path / "set"))
    assert tree(tmp_path / "set") == [f"{IMAGES}.zip"]


def test_ham10000_comes_with_a_table_that_the_manifest_reads(ham: Server, tmp_path: Path) -> None:
    out = tmp_path / "ham"
    run(Ham10000Config(out=out))
    table = read_manifest(out, keep_in=tmp_path / "kept").table
    assert list(table["label"]) == ["mel", "nv", "bcc", "akiec", "bkl", "df"]
    assert list(table["lesion_id"]) == ["HAM_1", "HAM_1", "HAM_2", "HAM_3", "HAM_4", "HAM_5"]
    with (out / "metadata.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert first == {"image_id": "ISIC_0000000", "lesion_id": "HAM_1", "dx": "mel", "dx_type": "histo"}
    assert {path.name for path in out.iterdir()} == {HAM_IMAGES, HAM_CLASSES, HAM_LESIONS, "metadata.csv"}


def test_a_table_that_is_there_is_not_written_again(ham: Server, tmp_path: Path) -> None:
    run(Ham10000Config(out=tmp_path / "ham"))
    (tmp_path / "ham" / "metadata.csv").write_text("image_id,dx\nmine,nv\n")
    run(Ham10000Config(out=tmp_path / "ham"))
    assert (tmp_path / "ham" / "metadata.csv").read_text() == "image_id,dx\nmine,nv\n"


def test_the_program_goes_on_where_it_was_killed(ham: Server, tmp_path: Path) -> None:
    name = f"{HAM_IMAGES}.zip"
    ham.files[name] = zipped({f"{HAM_IMAGES}/{i}.jpg": os.urandom(20_000) for i in range(10)})
    command = [sys.executable, "-m", "dermssl", "download", "ham10000", "--out", str(tmp_path / "ham")]
    part, ham.always = tmp_path / "ham" / f"{name}.part", ham.turn(pace=0.02)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > 10_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGKILL)
    came, ham.always = part.stat().st_size, ham.turn()
    assert sorted(path.name for path in (tmp_path / "ham").iterdir()) == [f"{name}.part", f"{name}.part.json"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=False)  # its table lacks these ids: only the images count
    assert ("GET", name, f"bytes={came}-") in ham.asked
    assert len(list((tmp_path / "ham" / HAM_IMAGES).glob("*.jpg"))) == 10
    assert not list((tmp_path / "ham").glob("*.part*"))


def test_the_names_of_ham10000s_files_are_those_that_are_read() -> None:
    assert [file.name for file in HAM10000.parts["all"]] == [f"{HAM_IMAGES}.zip", f"{HAM_CLASSES}.zip", HAM_LESIONS]
