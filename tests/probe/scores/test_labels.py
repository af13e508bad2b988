import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dermssl.data.manifest import Manifest, read_manifest
from dermssl.errors import UserError
from dermssl.splits.drawn import Split
from probe.scores.labels import class_split, labels_of

Draw = Callable[..., Path]


@pytest.fixture
def manifest(draw: Draw) -> Manifest:
    return read_manifest(draw(count=8, size=32, masks=False))


def written(folder: Path, text: str) -> Path:
    path = folder / "labels.csv"
    path.write_text(text)
    return path


def test_the_data_sets_own_classes_are_the_default(manifest: Manifest) -> None:
    assert set(labels_of(manifest, None).values()) == {"mel", "nv"}


def test_a_column_of_another_file_can_be_named_and_gaps_stay_without_class(manifest: Manifest, tmp_path: Path) -> None:
    path = written(tmp_path, "image_id,malignant\npicture_00,0\npicture_01,\npicture_02,1\n")
    assert labels_of(manifest, f"{path}:malignant") == {"picture_00": "0", "picture_02": "1"}


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        (
            "image_id,dx\nstranger_1,nv\nstranger_2,nv\n",
            "dx",
            "none of its 2 rows matches an image (it has stranger_1, the",
        ),
        ("image_id,diagnosis\npicture_00,nv\n", "diagnosi", "did you mean 'diagnosis'"),
        ("image_id,diagnosis\npicture_00,nv\n", "age", "has no column 'age'; it has image_id, diagnosis"),
        ("who,dx\npicture_00,nv\n", "dx", "no column 'image_id'"),
        (
            "image_id,dx\npicture_00,nv\npicture_00,mel\n",
            "dx",
            "says that image picture_00 is nv, and in another row mel; keep one row",
        ),
        ("", "dx", "has no column 'dx'; it has none"),
    ],
)
def test_a_wrong_file_is_met_with_a_sentence(
    manifest: Manifest, tmp_path: Path, text: str, column: str, says: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=re.escape(says).replace(r"\.\*", ".*")):
        labels_of(manifest, f"{path}:{column}")


@pytest.mark.parametrize(
    ("given", "says"), [("nowhere.csv:dx", "no such file"), ("metadata.csv", "FILE:COLUMN, such as metadata.csv:dx")]
)
def test_a_file_that_cannot_be_found_is_met_with_a_sentence(manifest: Manifest, given: str, says: str) -> None:
    with pytest.raises(UserError, match=says):
        labels_of(manifest, given)


def test_a_class_with_one_lesion_to_train_on_is_left_out_with_the_reason(manifest: Manifest) -> None:
    ids = manifest.table["image_id"].tolist()
    split = Split(0, "lesion", tuple(ids[:6]), tuple(ids[6:]))  # lesions 0, 1, 2 and 3
    labels = dict(zip(ids, ["rare", "rare", "nv", "nv", "nv", "nv", "nv", "nv"], strict=True))
    classes = class_split(manifest, split, labels)
    assert classes.names == ("nv",)
    assert classes.left_out == {"rare": "1 lesions to train on, of 2 needed; 0 images to score, of 1 needed"}
    assert classes.refusal.startswith("fewer than two classes")
    assert (len(classes.train), len(classes.val)) == (4, 2)
