"""What can be fetched, and what the tables that come with it mean to our manifest."""

import re
from pathlib import Path

import pytest

from dermssl.download.catalogue import (
    CLASSES,
    HAM10000,
    ISIC2018,
    MIRROR,
    RemoteFile,
    address_of,
    archive_rows,
    ham10000_rows,
    write_catalogue_table,
)
from dermssl.download.config import PARTS
from dermssl.errors import UserError

HEAD = "image," + ",".join(CLASSES)
LESIONS = "image,lesion_id,diagnosis_confirm_type"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_part_of_isic2018_has_photographs_and_masks_with_a_hash() -> None:
    assert tuple(ISIC2018.parts) == PARTS
    for part, files in ISIC2018.parts.items():
        name = part.capitalize().replace("Train", "Training")
        assert [file.makes for file in files] == [
            f"ISIC2018_Task1-2_{name}_Input",
            f"ISIC2018_Task1_{name}_GroundTruth",
        ]
        assert all(re.fullmatch(r"[0-9a-f]{64}", file.sha256 or "") for file in files)


def test_no_two_files_share_a_hash() -> None:
    hashes = [file.sha256 for files in ISIC2018.parts.values() for file in files]
    assert len(set(hashes)) == len(hashes) == 6


def test_parts_come_in_the_order_of_the_catalogue_and_once() -> None:
    assert ISIC2018.files(["test", "train", "test"]) == [*ISIC2018.parts["train"], *ISIC2018.parts["test"]]


def test_only_a_zip_becomes_a_folder() -> None:
    assert [RemoteFile("a.zip").makes, RemoteFile("a.csv").makes] == ["a", "a.csv"]


@pytest.mark.parametrize("mirror", ["https://example.org/isic", "https://example.org/isic/"])
def test_a_mirror_stands_in_for_the_folder(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MIRROR, raising=False)
    file = HAM10000.parts["all"][0]
    assert address_of(file, HAM10000.base) == f"https://isic-archive.s3.amazonaws.com/challenges/2018/{file.name}"
    monkeypatch.setenv(MIRROR, mirror)
    assert address_of(file, HAM10000.base) == f"https://example.org/isic/{file.name}"


def test_ham10000s_two_tables_become_one_in_its_own_words(tmp_path: Path) -> None:
    classes = write(tmp_path / "c.csv", HEAD, "A,0.0,1.0,0.0,0.0,0.0,0.0,0.0", "B,1,0,0,0,0,0,0", "C,0,0,0,1.0,0,0,0")
    lesions = write(
        tmp_path / "l.csv", LESIONS, "C,L2,histopathology", "A,L1,serial imaging showing no change", "B,L1,by a new way"
    )
    assert [tuple(row.values()) for row in ham10000_rows(classes, lesions)] == [
        ("A", "L1", "nv", "follow_up"),
        ("B", "L1", "mel", "by a new way"),
        ("C", "L2", "akiec", "histo"),
    ]


@pytest.mark.parametrize(
    ("image", "lesion"),
    [("A,0,0,0,0,0,0,0", "A,L,histopathology"), ("A,1,1,0,0,0,0,0", "A,L,x"), ("A,1,0,0,0,0,0,0", "B,L,x")],
    ids=["no class", "two classes", "no lesion"],
)
def test_an_image_without_one_class_and_a_lesion_is_named(image: str, lesion: str, tmp_path: Path) -> None:
    classes, lesions = write(tmp_path / "c.csv", HEAD, image), write(tmp_path / "l.csv", LESIONS, lesion)
    with pytest.raises(UserError, match=r"c\.csv: A without one class and a lesion"):
        list(ham10000_rows(classes, lesions))


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.csv: has no column isic_id, copyright_license; remove its folder"):
        list(archive_rows(write(tmp_path / "x.csv", "a,b", "1,2")))


def test_a_table_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"x\.csv: no CSV table in UTF-8"):
        list(archive_rows(tmp_path / "x.csv"))


def test_the_archives_table_gets_our_columns_and_loses_none(tmp_path: Path) -> None:
    path = write(
        tmp_path / "metadata.csv",
        "isic_id,attribution,copyright_license,age_approx,diagnosis_1,diagnosis_3,lesion_id",
        'ISIC_1,"A, and B",CC-0,50,Benign,Nevus,IL_1',
        "ISIC_2,B,CC-BY,,Indeterminate,,",
        "ISIC_3,B,CC-BY-NC,,,,",
    )
    rows = list(archive_rows(path))
    ours = ("image_id", "lesion_id", "patient_id", "dx", "licence")
    assert [tuple(row[column] for column in ours) for row in rows] == [
        ("ISIC_1", "IL_1", "", "Nevus", "CC-0"),
        ("ISIC_2", "", "", "Indeterminate", "CC-BY"),
        ("ISIC_3", "", "", "", "CC-BY-NC"),
    ]
    assert (rows[0]["attribution"], rows[0]["age_approx"], rows[0]["diagnosis_3"]) == ("A, and B", "50", "Nevus")


def test_a_table_is_written_as_it_is_read(tmp_path: Path) -> None:
    write_catalogue_table(tmp_path / "x.csv", [{"isic_id": 'a "b", c', "copyright_license": "ü"}])
    row = next(archive_rows(tmp_path / "x.csv"))
    assert (row["image_id"], row["licence"]) == ('a "b", c', "ü")
