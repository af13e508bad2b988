"""Vectors made elsewhere are probed as an encoder's own are, and files that hold none are refused in a sentence."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dermssl.data.manifest import read_manifest
from dermssl.errors import UserError
from dermssl.splits.drawn import Split
from probe.config import ProbeConfig
from probe.given_features import GivenFeatures, covered_split, given_features, is_feature_file, read_features
from probe.run import run

IDS = [f"ISIC_{number:07d}" for number in range(4)]
VECTORS = np.arange(12, dtype=np.float32).reshape(4, 3)


def written(path: Path) -> Path:
    if path.suffix == ".parquet":
        pd.DataFrame({"image_id": IDS, "path": "x", "features": list(VECTORS)}).to_parquet(path)
    elif path.suffix == ".npz":
        np.savez(path, image_id=np.array(IDS), vectors=VECTORS)
    else:
        columns = {f"f{place}": VECTORS[:, place] for place in range(3)}
        pd.DataFrame({"image_id": IDS, "age": 50, **columns}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", [".parquet", ".npz", ".csv"])
def test_every_format_gives_ids_and_vectors(form: str, tmp_path: Path) -> None:
    ids, vectors = read_features(written(tmp_path / f"own{form}"))
    assert ids == IDS
    assert np.array_equal(vectors, VECTORS)


def test_parquet_with_a_column_a_number_is_read_as_well(tmp_path: Path) -> None:
    path = tmp_path / "wide.parquet"
    pd.DataFrame({"image_id": IDS, "0": VECTORS[:, 0], "1": VECTORS[:, 1]}).to_parquet(path)
    assert np.array_equal(read_features(path)[1], VECTORS[:, :2])


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"image": IDS, "f0": VECTORS[:, 0]}, "cannot be read as features"),
        ({"image_id": IDS}, r"4 ids and vectors of shape \(4, 0\)"),
        ({"image_id": IDS, "f0": [1.0, np.nan, 2.0, np.inf]}, "no finite numbers for ISIC_0000001, ISIC_0000003"),
    ],
)
def test_a_file_without_vectors_is_refused(table: dict[str, object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    with pytest.raises(UserError, match=sentence):
        read_features(path)


def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    for form in (".parquet", ".npz", ".csv"):
        path = tmp_path / f"own{form}"
        path.write_bytes(b"\x00\x01nothing")
        with pytest.raises(UserError, match=r"cannot be read as features|vectors of shape"):
            read_features(path)


def test_only_endings_of_features_are_taken_for_features() -> None:
    assert is_feature_file("panderm.PARQUET")
    assert not is_feature_file("encoder.safetensors")
    assert not is_feature_file("imagenet")


def test_a_split_keeps_its_sides_and_loses_what_has_no_vector() -> None:
    split = Split(0, "lesion", ("a", "b", "c"), ("d", "e"))
    given = {"x.npz": GivenFeatures(Path("x.npz"), {"a": 0, "c": 1, "e": 2}, VECTORS[:3], 0)}
    covered = covered_split(split, given)
    assert (covered.train, covered.val) == (("a", "c"), ("e",))
    with pytest.raises(UserError, match="no vector of any image that is held out"):
        covered_split(split, {"x.npz": GivenFeatures(Path("x.npz"), {"a": 0}, VECTORS[:1], 0)})


@pytest.fixture
def classes(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Thirty pictures of two classes."""
    from PIL import Image

    folder = tmp_path / "set"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(30):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"ISIC_{number:07d}.png")
        rows.append({"image_id": f"ISIC_{number:07d}", "dx": ("mel", "nv")[number % 2]})
    pd.DataFrame(rows).to_csv(folder / "metadata.csv", index=False)
    return folder


def test_features_that_hold_the_class_are_probed_without_an_encoder(classes: Path, tmp_path: Path) -> None:
    ids = read_manifest(classes).table["image_id"].tolist()
    known = ids[1:]  # one image has no vector
    vectors = np.array([[1.0, 0.0] if int(image[-3:]) % 2 else [0.0, 1.0] for image in known], np.float32)
    path = tmp_path / "own.parquet"
    pd.DataFrame({"image_id": [*known, "STRANGER"], "features": [*vectors, vectors[0]]}).to_parquet(path)
    folder = run(
        ProbeConfig(init=str(path), data=classes, out=tmp_path / "runs", umap=False, sheets=False, k=3, threads=1)
    )
    result = json.loads((folder / "result.json").read_text())
    assert result["knn"]["balanced_accuracy"] == 1
    assert result["linear"]["balanced_accuracy"] == 1
    assert "dense" not in result
    assert "invariance" not in result
    assert result["n_images"] == 29
    log = (folder / "log.txt").read_text()
    assert "1 image without a vector left out of every probe; 1 row of other images not used" in log
    assert log.rstrip().splitlines()[-1].startswith("next:    open ")


def test_vectors_of_other_images_and_of_one_image_twice_are_refused(classes: Path, tmp_path: Path) -> None:
    manifest = read_manifest(classes)
    path = tmp_path / "own.npz"
    np.savez(path, image_id=np.array(["a", "b"]), features=VECTORS[:2])
    with pytest.raises(UserError, match="none of its 2 rows"):
        given_features(path, manifest)
    np.savez(path, image_id=np.array(["ISIC_0000001", "ISIC_0000001.png"]), features=VECTORS[:2])
    with pytest.raises(UserError, match="several rows of ISIC_0000001"):
        given_features(path, manifest)
