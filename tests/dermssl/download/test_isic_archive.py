"""A pool of the ISIC Archive: whatever its program does or leaves undone, the pool is whole or not there."""

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dermssl.download.config import IsicArchiveConfig
from dermssl.download.run import run
from dermssl.errors import UserError

Output = pytest.CaptureFixture[str]


def told_off(config: IsicArchiveConfig) -> str:
    with pytest.raises(UserError) as caught:
        run(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


ISIC = """#!{python}
import os, sys
from pathlib import Path
words = sys.argv[1:]
out, limit = Path(words[-1]), int([word for word in words if word.startswith("--limit=")][0][8:])
out.mkdir(exist_ok=True)
Path(r"{log}").open("a").write(" ".join(words) + "\\n")
mode = os.environ.get("ISIC_MODE", "")
for i in range(limit - (mode in ("lost", "killed"))):
    (out / f"ISIC_{{i}}.jpg").write_bytes(b"x" * 10)
if mode in ("fails", "killed"):
    sys.exit(3)
if mode == "quiet":
    sys.exit(0)
rows = 0 if mode == "none" else limit
(out / "metadata.csv").write_text("isic_id,attribution,copyright_license,diagnosis_3\\n"
    + "".join(f"ISIC_{{i}},Vienna,CC-0,Nevus\\n" for i in range(rows)))
(out / "attribution.txt").write_text("Vienna")
(out / "licenses").mkdir(exist_ok=True)
(out / "licenses" / "CC-0.txt").write_text("Creative Commons Zero")
"""


@pytest.fixture
def isic_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `isic` on the PATH that does as `ISIC_MODE` says; gives the list of its calls."""
    program, log = tmp_path / "bin" / "isic", tmp_path / "calls"
    program.parent.mkdir()
    program.write_text(ISIC.format(python=sys.executable, log=log))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))
    return log


def test_the_archives_images_come_with_licences_and_a_table(
    isic_cli: Path, tmp_path: Path, capsys: Output, files_in: Callable[[Path], dict[str, bytes]]
) -> None:
    out = tmp_path / "pool"
    run(IsicArchiveConfig(limit=3, search="age_approx:50", out=out))
    said = capsys.readouterr().out
    assert isic_cli.read_text() == f"image download --limit=3 --search=age_approx:50 {tmp_path / '.pool.part'}\n"
    assert sorted(name for name in files_in(out) if not name.endswith(".jpg")) == [
        ".dermssl-download.json",
        "attribution.txt",
        "licenses/CC-0.txt",
        "metadata.csv",
    ]
    header, first, *_ = (out / "metadata.csv").read_text().splitlines()
    assert header == "image_id,lesion_id,patient_id,dx,licence,isic_id,attribution,copyright_license,diagnosis_3"
    assert first == "ISIC_0,,,Nevus,CC-0,ISIC_0,Vienna,CC-0,Nevus"
    assert "fetched 3 images: 3 under CC-0" in said
    assert f"{out / 'licenses' / 'CC-0.txt'} begins:\n    Creative Commons Zero\n" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "calls", "pool"]


def test_a_pool_that_is_there_is_not_fetched_again(isic_cli: Path, tmp_path: Path) -> None:
    for _ in range(2):
        run(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    assert len(isic_cli.read_text().splitlines()) == 1


def test_another_pool_needs_another_folder(isic_cli: Path, tmp_path: Path) -> None:
    run(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    said = told_off(IsicArchiveConfig(limit=4, out=tmp_path / "pool"))
    assert said == f"--out {tmp_path / 'pool'}: holds a pool fetched with --limit '3'; give another folder"


def test_a_folder_with_other_things_is_left_alone(isic_cli: Path, tmp_path: Path) -> None:
    (tmp_path / "pool").mkdir()
    (tmp_path / "pool" / "mine").touch()
    assert "is not empty; give a folder that does not exist" in told_off(
        IsicArchiveConfig(limit=3, out=tmp_path / "pool")
    )


@pytest.mark.parametrize("mode", ["fails", "killed", "quiet"])
def test_a_program_that_does_not_reach_its_end_is_gone_on_with(
    isic_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("ISIC_MODE", mode)
    said = told_off(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    assert said.endswith("before its end, see its words above; what came is kept, and the same command goes on")
    assert not (tmp_path / "pool").exists()
    monkeypatch.setenv("ISIC_MODE", "")
    run(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    assert len(list((tmp_path / "pool").glob("*.jpg"))) == 3


def test_an_image_that_the_program_lost_without_a_word_is_named(
    isic_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISIC_MODE", "lost")
    said = told_off(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    assert said == "ISIC_2: the program isic did not fetch these of 3 images; the same command goes on"
    assert not (tmp_path / "pool").exists()


def test_images_of_an_earlier_search_are_not_kept(
    isic_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISIC_MODE", "fails")
    told_off(IsicArchiveConfig(limit=5, out=tmp_path / "pool"))
    (tmp_path / ".pool.part" / ".isic-partial.7.x").touch()
    monkeypatch.setenv("ISIC_MODE", "")
    run(IsicArchiveConfig(limit=2, out=tmp_path / "pool"))
    assert sorted(path.name for path in (tmp_path / "pool").glob("*ISIC*")) == ["ISIC_0.jpg", "ISIC_1.jpg"]
    assert not list((tmp_path / "pool").glob(".isic*"))


def test_a_search_that_finds_nothing_leaves_nothing(
    isic_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISIC_MODE", "none")
    assert "has no image for this --search" in told_off(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "calls"]


def test_where_the_program_is_absent_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = told_off(IsicArchiveConfig(limit=3, out=tmp_path / "pool"))
    assert "get it with `uv tool install isic-cli` (it is no dependency, since" in said
    assert list(tmp_path.iterdir()) == []


def test_many_images_are_asked_for(isic_cli: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "isatty", lambda _: False)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**12))
    said = told_off(IsicArchiveConfig(limit=10_000, out=tmp_path / "pool"))
    assert said == "3.0 GB are left to fetch, and nobody is at a terminal to agree; give --yes to agree beforehand"
    assert not isic_cli.exists()
