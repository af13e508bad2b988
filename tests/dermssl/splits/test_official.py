"""Splits that somebody else has drawn: the challenges' own, and files; a mistake in one is told in a sentence."""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError
from dermssl.splits import official
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import Split
from dermssl.splits.official import SPLIT_FILE, isic2017, read_split, split_of

pytestmark = pytest.mark.usefixtures("workplace")

IDS = ("a", "b", "c", "d", "e")
BOTH_FORMATS = pytest.mark.parametrize("suffix", ["json", "csv"])
IN_2018 = {
    "ISIC2018_Task1-2_Training_Input": ["ISIC_0000000", "ISIC_0012086", "ISIC_0001769", "ISIC_0024306"],
    "ISIC2018_Task1-2_Validation_Input": ["ISIC_0012255"],
    "ISIC2018_Task1-2_Test_Input": ["ISIC_0012169", "ISIC_0012236"],
}
IN_2017 = {
    "ISIC-2017_Training_Data": ["ISIC_0000000", "ISIC_0000001"],
    "ISIC-2017_Validation_Data": ["ISIC_0001769"],
    "ISIC-2017_Test_v2_Data": ["ISIC_0012086", "ISIC_0012092", "ISIC_0012095"],
}


def picture_set(root: Path, folders: Mapping[str, list[str]]) -> Manifest:
    """Specks of noise under these names."""
    rng = np.random.default_rng(0)
    for folder, ids in folders.items():
        (root / folder).mkdir(parents=True)
        for image in ids:
            cv2.imwrite(str(root / folder / f"{image}.png"), rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    return read_manifest(root)


def listed(**path_of: str) -> Manifest:
    """Images of no official part at these paths."""
    table = {"image_id": list(path_of), "path": list(path_of.values()), "part": [""] * len(path_of)}
    return Manifest(Path("set"), pd.DataFrame(table), ())


@pytest.fixture
def five() -> Manifest:
    return listed(**{image: f"{image}.jpg" for image in IDS})


def written(path: Path, train: list[str], val: list[str]) -> Path:
    """A split file as its suffix says."""
    if path.suffix == ".json":
        path.write_text(json.dumps({"train": train, "val": val}))
    else:
        rows = [f"{image},train" for image in train] + [f"{image},val" for image in val]
        path.write_text("\n".join(["image_id,split", *rows]))
    return path


def refusal(name: str | Path, manifest: Manifest) -> str:
    with pytest.raises(UserError) as caught:
        split_of(manifest, SplitConfig(split=str(name)))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"--split {name}: ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "held", "aside"),
    [
        ("isic2018", ("ISIC_0012169", "ISIC_0012236"), ("ISIC_0012255",)),
        ("isic2018-validation", ("ISIC_0012255",), ("ISIC_0012169", "ISIC_0012236")),
    ],
)
def test_the_split_of_2018_goes_by_its_folders(
    name: str, held: tuple[str, ...], aside: tuple[str, ...], tmp_path: Path
) -> None:
    found = split_of(picture_set(tmp_path / "isic", IN_2018), SplitConfig(split=name))
    train = ("ISIC_0000000", "ISIC_0001769", "ISIC_0012086", "ISIC_0024306")
    assert found == Split(0, "as given", train, held, aside, name)


@pytest.mark.parametrize(
    ("name", "held", "aside"),
    [
        ("isic2017", ("ISIC_0012086", "ISIC_0012092", "ISIC_0012095"), ("ISIC_0001769",)),
        ("isic2017-validation", ("ISIC_0001769",), ("ISIC_0012086", "ISIC_0012092", "ISIC_0012095")),
    ],
)
def test_the_split_of_2017_goes_by_its_own_folders(
    name: str, held: tuple[str, ...], aside: tuple[str, ...], tmp_path: Path
) -> None:
    found = split_of(picture_set(tmp_path / "isic", IN_2017), SplitConfig(split=name))
    assert found == Split(0, "as given", ("ISIC_0000000", "ISIC_0000001"), held, aside, name)


@pytest.mark.parametrize(("name", "held"), [("isic2017", "ISIC_0012086"), ("isic2017-validation", "ISIC_0001769")])
def test_the_split_of_2017_goes_by_ids_in_the_folders_of_2018(name: str, held: str, tmp_path: Path) -> None:
    found = split_of(picture_set(tmp_path / "isic", IN_2018), SplitConfig(split=name))
    assert (found.train, found.val) == (("ISIC_0000000",), (held,))
    assert len(found.aside) == 5


def test_an_image_whose_number_holds_2017_is_no_folder_of_that_challenge() -> None:
    ids = ["ISIC_0000000", "ISIC_0012086", "ISIC_0032017"]  # the last is one of HAM10000
    manifest = listed(**{image: f"images/{image}.jpg" for image in ids})
    found = split_of(manifest, SplitConfig(split="isic2017"))
    assert (found.train, found.val, found.aside) == (("ISIC_0000000",), ("ISIC_0012086",), ("ISIC_0032017",))


def test_the_ids_of_2017_are_those_of_2018s_training_images_that_it_had() -> None:
    parts = pd.Series(isic2017())
    assert parts.value_counts().to_dict() == {"train": 1800, "test": 529, "validation": 121}
    assert parts.index.str.fullmatch(r"ISIC_\d{7}").all()


@pytest.mark.parametrize(
    ("name", "paths", "absent", "parts"),
    [
        ("isic2018", {"ISIC_0000000": "a.jpg"}, "train and test", "train,test"),
        ("isic2017", {"ISIC_0000000": "a.jpg"}, "test", "train,test"),
        ("isic2017", {"ISIC_0012086": "a.jpg"}, "train", "train,test"),
        ("isic2017-validation", {"a": "a.jpg"}, "train and validation", "train,validation"),
    ],
)
def test_an_official_split_without_one_side_says_which_and_how_to_fetch_it(
    name: str, paths: dict[str, str], absent: str, parts: str
) -> None:
    said = refusal(name, listed(**paths))
    assert f"set has no image of the {absent} part; " in said
    assert f"`python -m dermssl download isic2018 --parts {parts}`" in said


def test_a_drawn_split_is_drawn_with_the_near_duplicates(monkeypatch: pytest.MonkeyPatch, five: Manifest) -> None:
    pairs = pd.DataFrame({"image_a": ["a", "b", "c"], "image_b": ["b", "c", "d"]})
    monkeypatch.setattr(official, "near_pairs", lambda _: pairs)
    table = five.table.assign(lesion_id=five.table["image_id"], patient_id="")
    found = split_of(Manifest(five.root, table, ()), SplitConfig())
    assert {frozenset(found.train), frozenset(found.val)} == {frozenset("abcd"), frozenset("e")}


@BOTH_FORMATS
def test_a_file_gives_both_sides_in_its_order_and_the_rest_is_set_aside(
    suffix: str, five: Manifest, tmp_path: Path
) -> None:
    path = written(tmp_path / f"mine.{suffix}", ["d", "a"], ["e", "b"])
    assert split_of(five, SplitConfig(split=str(path))) == Split(
        0, "as given", ("d", "a"), ("e", "b"), ("c",), f"mine.{suffix}"
    )


@BOTH_FORMATS
def test_an_id_that_a_side_names_twice_counts_once(suffix: str, five: Manifest, tmp_path: Path) -> None:
    path = written(tmp_path / f"split.{suffix}", ["d", "a", "d"], ["e", "e"])
    found = read_split(path, five)
    assert (found.train, found.val) == (("d", "a"), ("e",))


@pytest.mark.parametrize(
    ("rows", "train", "val"),
    [
        (["a,Training", "b, TEST "], "a", "b"),
        (["a,train", "b,val", "c,test"], "a", "b"),
        (["a,train", "b,validation", "c,"], "a", "b"),
        (["c,test", "a,train", "d,nothing"], "a", "c"),
    ],
    ids=["words", "val before test", "blank", "other"],
)
def test_a_csv_names_its_sides_in_words(rows: list[str], train: str, val: str, five: Manifest, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("\n".join(["image_id,split", *rows]))
    found = read_split(tmp_path / "split.csv", five)
    assert (found.train, found.val) == ((train,), (val,))


def test_a_csv_may_have_more_columns_in_any_order(five: Manifest, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text('split,dx,image_id\ntrain,"a, b",a\nval,nv,b\n')
    found = read_split(tmp_path / "split.csv", five)
    assert (found.train, found.val) == (("a",), ("b",))


@BOTH_FORMATS
def test_ids_without_an_image_are_named(suffix: str, five: Manifest, tmp_path: Path) -> None:
    path = written(tmp_path / f"split.{suffix}", ["a", "z"], ["b", "y"])
    assert (
        "2 of its ids have no image in set, or could be several (y, z); remove them from it, or give --data"
        in refusal(path, five)
    )


@BOTH_FORMATS
def test_ids_on_both_sides_are_named(suffix: str, five: Manifest, tmp_path: Path) -> None:
    path = written(tmp_path / f"split.{suffix}", ["a", "b", "c"], ["b", "a"])
    assert "2 ids are on both sides (a, b); a split has images to train on" in refusal(path, five)


@BOTH_FORMATS
@pytest.mark.parametrize(("train", "val", "empty"), [([], ["a"], "train"), (["a"], [], "val")])
def test_an_empty_side_is_named(
    suffix: str, train: list[str], val: list[str], empty: str, five: Manifest, tmp_path: Path
) -> None:
    path = written(tmp_path / f"split.{suffix}", train, val)
    assert f"no image under {empty}; a split has images to train on" in refusal(path, five)


def test_a_name_that_is_neither_a_split_nor_a_file_gets_the_list_of_splits(five: Manifest) -> None:
    names = "drawn, folders, isic2018, isic2018-validation, isic2017, isic2017-validation"
    assert refusal("isic2019", five) == (
        f"--split isic2019: no such file; give a split file, or one of {names}; did you mean 'isic2018'?"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b""),
        ("a.json", b"train: a\nval: b\n"),
        ("a.json", b"[]"),
        ("a.json", b"7"),
        ("a.json", b'{"train": ["a"]}'),
        ("a.json", b'{"train": ["a"], "val": null}'),
        ("a.json", b'{"train": 1, "val": 2}'),
        ("a.json", b"\xff\xfe\x00"),
        ("a.csv", b""),
        ("a.csv", b"image_id,split\n"),
        ("a.csv", b"image,side\na,train\nb,val\n"),
        ("a.csv", b"id,split\na,train\nb,val\n"),
        ("a.csv", b"\xff\xfe\x00"),
        ("a.csv", b"image_id,split\n" + b"x" * 200_000 + b",train\n"),
    ],
)
def test_junk_is_told_in_a_sentence_that_says_what_a_split_file_is(
    name: str, content: bytes, five: Manifest, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    said = refusal(tmp_path / name, five)
    assert said.startswith(f"--split {tmp_path / name}: ")
    assert any(part in said for part in (SPLIT_FILE, "cannot be read as a table", "no image under train"))


def test_a_folder_is_no_split_file(five: Manifest, tmp_path: Path) -> None:
    assert refusal(tmp_path, five) == f"--split {tmp_path}: a folder; {SPLIT_FILE}"
