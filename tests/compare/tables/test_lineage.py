from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn_study import Design, draw_study, sha256_of

from compare.records.study import Study, read_study
from compare.tables.lineage import LINEAGE, ancestry, lineage_table
from dermssl.weights.encoder_file import EncoderCard, read_card, write_encoder_file

CARD = EncoderCard(encoder="resnet18", method="simclr", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), parent="imagenet")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    design = Design(decoder=("unet",), label_fraction=(1.0,), images=8)
    return read_study(draw_study(tmp_path / "study", design))


def test_an_encoder_that_was_pretrained_here_tells_of_what_and_how_long(study: Study) -> None:
    row = lineage_table(study).iloc[0]
    assert row[["arm", "method", "parents", "manifest", "licence"]].tolist() == [
        "ssl", "simclr", "imagenet", "0123456789ab", "CC-BY",
    ]  # fmt: skip
    assert row[["epochs", "images_seen", "image_size", "images"]].tolist() == [10, 10_000, 96, 1000]
    assert row["sha256"] == sha256_of("ssl")[:10]


def test_every_encoder_stands_once_and_random_ones_have_a_hash_a_seed(study: Study) -> None:
    table = lineage_table(study)
    assert table.columns.tolist() == LINEAGE
    assert table["arm"].tolist() == ["ssl", "imagenet", "random"]
    assert table["sha256"].tolist() == [sha256_of("ssl")[:10], sha256_of("imagenet")[:10], ""]


def test_an_encoder_file_that_cannot_be_read_says_so(study: Study) -> None:
    (study.folder / "runs" / "pretrain-simclr" / "encoder.safetensors").write_bytes(b"gone")
    row = lineage_table(study).iloc[0]
    assert row[["arm", "parents"]].tolist() == ["ssl", "unknown: its file cannot be read"]


def test_ancestors_are_followed_up_to_the_first_weights(tmp_path: Path) -> None:
    first = write_encoder_file(tmp_path / "first.safetensors", {"w": torch.zeros(1)}, CARD)
    config = {"init": str(tmp_path / "first.safetensors")}
    second = replace(CARD, method="byol", parent=first.sha256, config=config)
    write_encoder_file(tmp_path / "second.safetensors", {"w": torch.ones(1)}, second)
    card = read_card(tmp_path / "second.safetensors")
    assert list(ancestry(card)) == [f"simclr {first.sha256[:10]}", "imagenet"]
    write_encoder_file(tmp_path / "first.safetensors", {"w": torch.full((1,), 2.0)}, CARD)  # another one in its place
    assert list(ancestry(card)) == [f"{first.sha256[:10]} (its file is gone)"]
