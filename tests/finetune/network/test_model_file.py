import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dermssl.errors import UserError
from dermssl.weights.encoder import start_from
from dermssl.weights.encoder_file import write_encoder_file
from dermssl.weights.tensor_file import read_fields, write_tensors
from finetune.augmentation.fit import Fit
from finetune.network.build import build_model
from finetune.network.model_file import ModelCard, read_model, write_model
from finetune.scoring.inference import Cut, TorchSegmenter

ENCODER = "tu-test_efficientnet"
FIRST_FIELDS = {  # of the files that the first version wrote
    "encoder": ENCODER, "decoder": "fpn", "encoder_depth": 4, "image_size": 32, "mean": (0.5, 0.4, 0.3),
    "std": (0.2, 0.2, 0.2), "init": "random", "encoder_sha256": "e", "data": "d", "commit": "c",
}  # fmt: skip


def card(**more: object) -> ModelCard:
    return ModelCard(**FIRST_FIELDS | more)  # type: ignore[arg-type]


def test_a_model_file_gives_the_same_network_and_card_back(tmp_path: Path) -> None:
    ours = card(
        decoder="unet", encoder_depth=None, decoder_options={"encoder_depth": 4, "decoder_channels": [32, 16, 8, 8]},
        fit="letterbox", padding="reflect", cache_size=300, threshold=0.37,
        symmetries=True, largest=True, fill_holes=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = build_model(ours.encoder, ours.decoder, ours.options)
    write_model(tmp_path / "model.safetensors", model, ours)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        again, found = read_model(path)
        assert dataclasses.replace(found, sha256="") == ours
        assert found.fitted == Fit("letterbox", 32, "reflect")
        assert found.cut == Cut(0.37, largest=True, fill_holes=True)
        answers = [TorchSegmenter(net, ours.normalise)(pixels) for net in (model, again)]
        assert np.array_equal(*answers)


def test_a_file_of_the_first_version_is_read_as_it_was_meant(tmp_path: Path) -> None:
    model = build_model(ENCODER, "fpn", {"encoder_depth": 4})
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), FIRST_FIELDS)
    _, found = read_model(tmp_path)
    assert found.fitted == Fit("resize", 32, "skin")
    assert (found.cut, found.symmetries, found.cache_size) == (Cut(0.5), False, None)
    assert found.mean == (0.5, 0.4, 0.3)


def test_what_a_later_version_adds_to_the_card_is_passed_over(tmp_path: Path) -> None:
    model = build_model(ENCODER, "fpn", {"encoder_depth": 4})
    write_tensors(tmp_path / "model.safetensors", model.state_dict(), FIRST_FIELDS | {"mood": "good"})
    assert dataclasses.replace(read_model(tmp_path)[1], sha256="") == card()


@pytest.mark.parametrize("where", ["of a tensor", "of a tensor's end", "of the card"])
def test_one_flipped_bit_is_refused(tmp_path: Path, where: str) -> None:
    path = tmp_path / "model.safetensors"
    write_model(path, build_model(ENCODER, "fpn", {"encoder_depth": 4}), card())
    assert read_fields(path)["image_size"] == 32
    data = bytearray(path.read_bytes())
    place = {"of a tensor": len(data) // 2, "of a tensor's end": len(data) - 1, "of the card": data.index(b"0.4, 0.3")}
    data[place[where]] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"model\.safetensors: damaged.*; copy it or make it again"):
        read_model(tmp_path)


def test_a_file_of_another_kind_is_no_model(tmp_path: Path) -> None:
    start = start_from("random", ENCODER, seed=0)
    write_encoder_file(tmp_path / "encoder.safetensors", start.encoder.state_dict(), start.card)
    with pytest.raises(UserError, match="holds no segmentation network: its card lacks init; give a run folder"):
        read_model(tmp_path / "encoder.safetensors")


def test_a_finished_run_without_a_network_is_told_to_have_scored_no_held_out_images(tmp_path: Path) -> None:
    (tmp_path / "result.json").touch()
    with pytest.raises(UserError, match="give the run folder of a `python -m finetune` that scored held-out images"):
        read_model(tmp_path)


def test_a_missing_model_is_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"model.safetensors: no such file; give the run folder of a `python -m finetune`"
    ):
        read_model(tmp_path)
