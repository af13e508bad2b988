"""A file of features holds what the encoder says of each picture that can be read, in every format."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dermssl.data.manifest import read_manifest
from dermssl.errors import UserError
from dermssl.features.frozen import FrozenEncoder
from dermssl.weights.encoder import start_from
from probe.embed.config import EmbedConfig
from probe.embed.feature_files import feature_writer
from probe.embed.run import embed_pictures
from probe.features import kept_features

ENCODER = "tu-test_efficientnet"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven pictures of several sizes, one of them in a folder below."""
    folder = tmp_path_factory.mktemp("embed") / "pictures"
    (folder / "below").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in range(7):
        pixels = rng.integers(0, 256, (40 + 9 * number, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / ("below" if number == 3 else "") / f"ISIC_{number:07d}.png")
    return folder


def embedded(pictures: Path, out: Path, **more: object) -> Path:
    options: dict[str, object] = {"init": "random", "encoder": ENCODER, "image_size": 32, "batch_size": 3, "threads": 1}
    return embed_pictures(EmbedConfig(out=out, data=pictures, **(options | more)))  # type: ignore[arg-type]


def expected(pictures: Path) -> tuple[list[str], np.ndarray]:
    start = start_from("random", ENCODER, 0)
    manifest = read_manifest(pictures)
    frozen = FrozenEncoder(start, 32, 3, torch.device("cpu"))
    return manifest.table["image_id"].tolist(), kept_features(frozen, start.sha256, manifest)


def test_parquet_holds_the_features_that_probes_take_and_what_they_are_of(pictures: Path, tmp_path: Path) -> None:
    file = embedded(pictures, tmp_path / "features.parquet", stages=True)
    table = pd.read_parquet(file)
    ids, features = expected(pictures)
    assert table["image_id"].tolist() == ids
    assert np.array_equal(np.stack(table["features"]), features)
    assert np.array_equal(np.stack(table["features"]), np.stack(table["stage_5"]))
    assert {f"stage_{number}" for number in range(1, 6)} < set(table)
    assert "below/ISIC_0000003.png" in table["path"].tolist()
    facts = json.loads(pq.read_schema(file).metadata[b"dermssl"])
    assert (facts["encoder"], facts["init"], facts["image_size"]) == (ENCODER, "random", 32)
    assert pq.read_metadata(file).num_row_groups == 3  # a batch each, so memory does not grow with the pictures


def test_csv_and_npz_hold_the_same_numbers_to_the_last_bit(pictures: Path, tmp_path: Path) -> None:
    ids, features = expected(pictures)
    lines = pd.read_csv(embedded(pictures, tmp_path / "features.csv"), dtype={"image_id": str})
    assert lines["image_id"].tolist() == ids
    assert np.array_equal(lines.filter(regex=r"^f\d+$").to_numpy(np.float32), features)
    arrays = np.load(embedded(pictures, tmp_path / "features.npz", stages=True))
    assert arrays["image_id"].tolist() == ids
    assert np.array_equal(arrays["features"], features)
    assert json.loads(str(arrays["facts"]))["encoder"] == ENCODER
    assert [path.name for path in tmp_path.iterdir() if ".npz." in path.name] == []


@pytest.mark.slow
def test_the_map_stands_beside_the_features(pictures: Path, tmp_path: Path) -> None:
    table = pd.read_parquet(embedded(pictures, tmp_path / "features.parquet", umap=True))
    assert np.isfinite(table[["x", "y"]].to_numpy()).all()
    few = pictures / "below"
    with pytest.raises(UserError, match="a map takes 4 pictures or more, got 1"):
        embedded(few, tmp_path / "few.parquet", umap=True)
    assert not (tmp_path / "few.parquet").exists()


def test_a_picture_that_cannot_be_read_is_left_out_and_named(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "some"
    folder.mkdir()
    for name in ("ISIC_0000000.png", "ISIC_0000001.png"):
        (folder / name).write_bytes((pictures / name).read_bytes())
    (folder / "broken.png").write_bytes(b"no picture")
    table = pd.read_parquet(embedded(folder, tmp_path / "features.parquet"))
    assert table["image_id"].tolist() == ["ISIC_0000000", "ISIC_0000001"]
    assert "left out: 1 picture that cannot be read (broken.png)" in capsys.readouterr().out
    for name in ("ISIC_0000000.png", "ISIC_0000001.png"):
        (folder / name).unlink()
    with pytest.raises(UserError, match="none of its 1 picture can be read"):
        embedded(folder, tmp_path / "none.parquet")


@pytest.mark.parametrize("form", [".parquet", ".csv", ".npz"])
def test_a_file_that_fails_on_the_way_leaves_nothing_behind(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"features{form}"
    batch = {"image_id": np.array(["a"]), "features": np.zeros((1, 3), np.float32)}

    def write() -> None:
        with feature_writer(path, form, {}) as file:
            file.write(batch)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write()
    assert [found.name for found in tmp_path.iterdir() if found != path] == []


def test_another_ending_is_refused() -> None:
    with pytest.raises(ValueError, match=r"--out features.xlsx: its ending says the format"):
        EmbedConfig(out=Path("features.xlsx"))
