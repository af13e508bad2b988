"""Submissions: what the official scorer takes and refuses, and that ours refuses it with a sentence before."""

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from dermssl.errors import UserError
from finetune.predict.submission import check_submission, official_name, unofficial, write_submission

IDS = ["ISIC_0000000", "ISIC_0000001", "ISIC_0000012"]
SIZES = {"ISIC_0000000": (4, 6), "ISIC_0000001": (5, 3), "ISIC_0000012": (4, 4)}

# Of the official scorer's own code: pandas 3 wants it to say rename without inplace.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword in Series.rename")


def png(height: int, width: int, mode: str = "L", high: int = 255) -> bytes:
    """A mask with its left half lesion."""
    values = np.zeros((height, width), np.uint8)
    values[:, : width // 2] = high
    return encoded(Image.fromarray(values).convert(mode))


def encoded(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()


def write(folder: Path, **changed: bytes | None) -> Path:
    """A submission of every id, with other bytes for some ids, or none."""
    folder.mkdir()
    for image_id in IDS:
        data = changed.get(image_id, png(*SIZES[image_id]))
        if data is not None:
            (folder / official_name(image_id)).write_bytes(data)
    return folder


def pack(folder: Path, below: str = "") -> Path:
    """The folder's files as a zip archive beside it, in a folder inside of it where `below` names one."""
    archive = folder.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.iterdir()):
            opened.write(path, below + path.name)
    return archive


def refused(place: Path, ids: list[str] = IDS) -> str:
    """The sentence."""
    with pytest.raises(UserError) as error:
        check_submission(place, ids, SIZES)
    return str(error.value)


def test_a_whole_submission_passes_as_folder_and_as_archive(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    for place in (folder, pack(folder), pack(folder, below="masks/")):
        check_submission(place, IDS, SIZES)
        check_submission(place, IDS)


def add(name: str, data: bytes) -> Callable[[Path], None]:
    """What writes one more file into a submission."""
    return lambda folder: (folder / name).write_bytes(data) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


FIRST = "ISIC_0000000_segmentation.png"
WHOLE = png(4, 6)
BROKEN = {  # what is done to a submission -> what we say of it
    "missing": (remove(FIRST), "ids without a mask: 1 (ISIC_0000000)"),
    "double": (
        add("ISIC_0000000.png", WHOLE),
        "ids of several masks: 1 (ISIC_0000000: ISIC_0000000.png and ISIC_0000000_segmentation.png)",
    ),
    "number twice": (
        add("x00000001.png", WHOLE),
        "ids of several masks: 2 (ISIC_0000000: ISIC_0000000_segmentation.png and x00000001.png, "
        "ISIC_0000001: ISIC_0000001_segmentation.png and x00000001.png)",
    ),
    "size": (add(FIRST, png(6, 4)), f"masks that do not fit: 1 ({FIRST} is 4 x 6 and its image 6 x 4)"),
    "colour": (
        add(FIRST, png(4, 6, "RGB")),
        f"masks that do not fit: 1 ({FIRST} is RGB and not a single channel of 8 bits)",
    ),
    "opacity": (
        add(FIRST, png(4, 6, "LA")),
        f"masks that do not fit: 1 ({FIRST} is LA and not a single channel of 8 bits)",
    ),
    "palette": (
        add(FIRST, png(4, 6, "P")),
        f"masks that do not fit: 1 ({FIRST} is P and not a single channel of 8 bits)",
    ),
    "16 bits": (
        add(FIRST, encoded(Image.fromarray(np.zeros((4, 6), np.uint16)))),
        f"masks that do not fit: 1 ({FIRST} is I;16 and not a single channel of 8 bits)",
    ),
    "no picture": (
        add(FIRST, b"lesion"),
        f"masks that do not fit: 1 ({FIRST} cannot be decoded (no picture but a text: lesion",
    ),
    "nothing": (add(FIRST, b""), f"masks that do not fit: 1 ({FIRST} cannot be decoded (empty, a file of 0 bytes))"),
    "half": (add(FIRST, png(64, 64)[:-30]), f"masks that do not fit: 1 ({FIRST} cannot be decoded ("),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_the_official_scorer_refuses_is_refused_with_a_sentence(
    official_scorer: ModuleType, tmp_path: Path, kind: str
) -> None:
    from isic_challenge_scoring.types import ScoreError  # once the fixture has made it importable

    breaking, said = BROKEN[kind]
    truths, folder = write(tmp_path / "truths"), write(tmp_path / "s")
    breaking(folder)
    with pytest.raises((ScoreError, OSError)):
        official_scorer.SegmentationScore.from_dir(truths, folder)
    for place in (folder, pack(folder)):
        assert refused(place).startswith(f"{place}: ")
        assert said in refused(place)


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (add("notes.txt", b"hello"), "files that belong to no id: 1 (notes.txt)"),
        (add("ISIC_9999999_segmentation.png", WHOLE), "files that belong to no id: 1 (ISIC_9999999_segmentation.png)"),
        (add(FIRST, png(4, 6, high=1)), f"{FIRST} has other values than 0 and 255 (0, 1)"),
        (add(FIRST, png(4, 6, high=200)), f"{FIRST} has other values than 0 and 255 (0, 200)"),
    ],
    ids=["text", "another id", "values of 0 and 1", "values of 0 and 200"],
)
def test_what_the_official_scorer_passes_over_is_refused_as_well(
    official_scorer: ModuleType, tmp_path: Path, breaking: Callable[[Path], None], said: str
) -> None:
    folder = write(tmp_path / "s")
    breaking(folder)
    official_scorer.SegmentationScore.from_dir(write(tmp_path / "truths"), folder)
    assert said in refused(folder)


def test_a_mask_that_exif_turns_is_refused_since_the_scorer_does_not_turn_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    data = encoded(Image.fromarray(np.zeros((4, 6), np.uint8)), exif=exif)
    assert "is turned by its EXIF orientation" in refused(write(tmp_path / "s", ISIC_0000000=data))


def test_a_mask_of_one_bit_passes_as_it_does_with_the_official_scorer(
    official_scorer: ModuleType, tmp_path: Path
) -> None:
    folder = write(tmp_path / "s", ISIC_0000000=png(4, 6, "1"))
    check_submission(folder, IDS, SIZES)
    score = official_scorer.SegmentationScore.from_dir(write(tmp_path / "truths"), folder)
    assert score.macro_average["jaccard"] == 1


def test_ids_of_more_than_seven_digits_that_the_scorer_cannot_tell_apart_are_refused(
    official_scorer: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    ids = [f"ISIC_00000000{number}" for number in range(3)]
    for image_id in ids:
        (folder / official_name(image_id)).write_bytes(WHOLE)
    with pytest.raises(Exception, match="Multiple matching submissions"):
        official_scorer.SegmentationScore.from_dir(folder, folder)
    said = refused(folder, ids)
    first, second = (official_name(image_id) for image_id in ids[:2])
    assert f"ids of several masks: 3 (ISIC_000000000: {first} and {second} and 1 more, " in said


def test_all_findings_come_at_once_and_ten_culprits_of_each(tmp_path: Path) -> None:
    folder = write(tmp_path / "s", ISIC_0000000=png(4, 6, "RGB"))
    (folder / "notes.txt").write_text("hello")
    said = refused(folder, [*IDS, *(f"ISIC_1000{number:03d}" for number in range(100))])
    assert "ids without a mask: 100 (ISIC_1000000, ISIC_1000001, " in said
    assert "ISIC_1000009 and 90 more); files that belong to no id: 1 (notes.txt); masks that do not fit: 1 (" in said


def test_an_archive_with_a_name_in_two_folders_is_refused_since_the_scorer_takes_the_last(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "s"))
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(f"more/{FIRST}", WHOLE)
    assert f"ids of several masks: 1 (ISIC_0000000: {FIRST} and {FIRST})" in refused(archive)


def test_what_systems_strew_in_is_no_finding(tmp_path: Path) -> None:
    folder = write(tmp_path / "s")
    (folder / ".DS_Store").write_bytes(b"x")
    archive = pack(folder)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(f"__MACOSX/._{FIRST}", b"x")
        opened.mkdir("masks")
    check_submission(folder, IDS, SIZES)
    check_submission(archive, IDS, SIZES)


@pytest.mark.parametrize("content", [b"no archive", None], ids=["text", "nothing there"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "s.zip"
    place.write_bytes(content) if content is not None else None
    assert re.match(rf"{re.escape(str(place))}: neither a folder nor a zip archive that can be read \(", refused(place))


def test_a_damaged_member_of_an_archive_is_an_unfit_mask(tmp_path: Path) -> None:
    archive = pack(write(tmp_path / "s"))
    data = bytearray(archive.read_bytes())
    data[data.index(WHOLE) + 40] ^= 1
    archive.write_bytes(bytes(data))
    assert f"masks that do not fit: 1 ({FIRST} cannot be decoded (Bad CRC-32" in refused(archive)


def test_a_written_submission_is_what_the_official_scorer_takes(official_scorer: ModuleType, tmp_path: Path) -> None:
    folder, archive = write(tmp_path / "s"), tmp_path / "out" / "submission.zip"
    (folder / "ISIC_0000000_overlay.jpg").write_bytes(b"beside the masks")
    write_submission(archive, folder, IDS)
    check_submission(archive, IDS, SIZES)
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == [official_name(image_id) for image_id in IDS]
        assert opened.testzip() is None
    score = official_scorer.SegmentationScore.from_zip_file(pack(write(tmp_path / "truths")), archive)
    assert score.macro_average["jaccard"] == 1


def test_equal_masks_give_equal_bytes_wherever_and_whenever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [tmp_path / "one.zip", tmp_path / "two.zip"]
    write_submission(places[0], write(tmp_path / "a"), IDS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("sys.platform", "win32")
    write_submission(places[1], write(tmp_path / "b"), IDS[::-1])
    assert places[0].read_bytes() == places[1].read_bytes()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "ids without a mask: 1 (ISIC_0000000)"),
        (png(4, 6, "RGB"), f"masks that do not fit: 1 ({FIRST} is RGB"),
        (png(4, 6, high=1), f"masks that do not fit: 1 ({FIRST} has other values than 0 and 255 (0, 1))"),
    ],
    ids=["missing", "colour", "values"],
)
def test_no_archive_is_written_of_masks_that_would_not_count(tmp_path: Path, data: bytes | None, said: str) -> None:
    archive = tmp_path / "s.zip"
    archive.write_bytes(b"an earlier one")
    with pytest.raises(UserError, match=re.escape(said)):
        write_submission(archive, write(tmp_path / "s", ISIC_0000000=data), IDS)
    assert archive.read_bytes() == b"an earlier one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s", "s.zip"]


def test_ids_in_folders_lie_flat_and_are_refused_where_they_would_meet(tmp_path: Path) -> None:
    for part in ("a", "b"):
        write(tmp_path / part)
    write_submission(tmp_path / "s.zip", tmp_path, ["a/ISIC_0000000", "b/ISIC_0000001"])
    check_submission(tmp_path / "s.zip", ["ISIC_0000000", "ISIC_0000001"], SIZES)
    with pytest.raises(UserError, match="ids of several masks: 2"):
        write_submission(tmp_path / "s.zip", tmp_path, ["a/ISIC_0000000", "b/ISIC_0000000"])


def test_other_names_than_isics_stay_and_are_told(official_scorer: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    folder.mkdir()
    for name in ("mole", "mole_2"):
        (folder / f"{name}_segmentation.png").write_bytes(WHOLE)
    write_submission(tmp_path / "s.zip", folder, ["mole", "mole_2"])
    check_submission(tmp_path / "s.zip", ["mole", "mole_2"])
    assert unofficial(["mole", "ISIC_0000000", "mole_2"]) == (
        "names that are not ISIC's: 2 (mole, mole_2); the official scorer knows an image by ISIC_ and seven digits"
    )
    assert unofficial(IDS) == ""
    with pytest.raises(Exception, match="Unknown ground truth file"):
        official_scorer.SegmentationScore.from_zip_file(tmp_path / "s.zip", tmp_path / "s.zip")
