"""A decoder that was pretrained with its encoder is where fine-tuning under that decoder starts."""

from pathlib import Path

import pytest
import torch

from dermssl.encoder import Start, build_encoder, start_from
from dermssl.encoder_file import Card, write_encoder_file
from finetune.model import build_model, network

ENCODER = "tu-test_efficientnet"


@pytest.fixture
def pretrained(tmp_path: Path) -> Start:
    torch.manual_seed(3)
    model = build_model(ENCODER, "unet", None)
    tensors = {f"decoder.{name}": tensor for name, tensor in model.decoder.state_dict().items()}
    card = Card(encoder=ENCODER, method="decoder", mean=(0.5,) * 3, std=(0.2,) * 3, decoder="unet")
    write_encoder_file(tmp_path / "encoder.safetensors", {**build_encoder(ENCODER).state_dict(), **tensors}, card)
    return start_from(str(tmp_path / "encoder.safetensors"), ENCODER, 0)


def test_it_is_loaded_whole_under_its_own_decoder(pretrained: Start) -> None:
    net = network(pretrained, "unet", None, seed=0, image_size=64)
    there = net.model.decoder.state_dict()
    assert net.decoder_compared == len(there) == len(pretrained.decoder) > 0
    assert all(torch.equal(tensor, pretrained.decoder[name]) for name, tensor in there.items())


def test_another_decoder_starts_from_the_seed_and_the_encoder_from_the_file(pretrained: Start) -> None:
    net = network(pretrained, "fpn", None, seed=0, image_size=64)
    assert net.decoder_compared == 0
    assert net.tensors_compared == len(pretrained.encoder.state_dict())
