"""A decoder that was pretrained with its encoder is where fine-tuning under that decoder starts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, build_encoder, start_from
from dermssl.weights.encoder_file import EncoderCard, write_encoder_file
from finetune.network.build import build_model, build_network
from finetune.options.config import FinetuneConfig

ENCODER = "tu-test_efficientnet"


@pytest.fixture
def pretrained(tmp_path: Path) -> Start:
    torch.manual_seed(3)
    model = build_model(ENCODER, "unet")
    tensors = {f"decoder.{name}": tensor for name, tensor in model.decoder.state_dict().items()}
    card = EncoderCard(encoder=ENCODER, method="decoder", mean=(0.5,) * 3, std=(0.2,) * 3, decoder="unet")
    write_encoder_file(tmp_path / "encoder.safetensors", {**build_encoder(ENCODER).state_dict(), **tensors}, card)
    return start_from(str(tmp_path / "encoder.safetensors"), ENCODER, 0)


def test_it_is_loaded_whole_under_its_own_decoder(pretrained: Start) -> None:
    net = build_network(pretrained, FinetuneConfig(image_size=64))
    there = net.model.decoder.state_dict()
    assert net.decoder_compared == len(there) == len(pretrained.decoder) > 0
    assert all(torch.equal(tensor, pretrained.decoder[name]) for name, tensor in there.items())


def test_another_decoder_starts_from_the_seed_and_the_encoder_from_the_file(pretrained: Start) -> None:
    net = build_network(pretrained, FinetuneConfig(decoder="fpn", image_size=64))
    assert net.decoder_compared == 0
    assert net.tensors_compared == len(pretrained.encoder.state_dict())


def test_options_that_keep_its_shape_are_fine(pretrained: Start) -> None:
    net = build_network(pretrained, FinetuneConfig(image_size=64, encoder_depth=5, decoder_interpolation="bilinear"))
    assert net.decoder_compared == len(pretrained.decoder)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"encoder_depth": 4}, "--encoder_depth"),
        ({"decoder_norm": "identity"}, "--decoder_norm"),
        ({"decoder_channels": (64, 32, 32, 16, 8), "decoder_attention": None}, "--decoder_channels"),
    ],
)
def test_options_that_change_its_shape_are_refused(pretrained: Start, options: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError) as refusal:
        build_network(pretrained, FinetuneConfig(image_size=64, **options))
    assert str(refusal.value) == (
        f"{named}: --init holds a unet decoder that was pretrained in another shape; "
        "leave what changes the shape out, or take another --decoder or --init"
    )


def test_it_is_left_on_wish_and_the_network_is_that_of_another_decoder_file(pretrained: Start) -> None:
    """What the encoder alone brings: every tensor of the decoder as if the file held none."""
    alone = replace(pretrained, decoder={}, card=replace(pretrained.card, decoder=""))
    net = build_network(pretrained, FinetuneConfig(image_size=64, decoder_init="random"))
    without = build_network(alone, FinetuneConfig(image_size=64))
    assert (net.decoder_compared, net.decoder_left, without.decoder_left) == (0, "unet", None)
    ours, theirs = net.model.state_dict(), without.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_decoder_of_another_architecture_is_said_to_be_left(pretrained: Start) -> None:
    assert build_network(pretrained, FinetuneConfig(decoder="fpn", image_size=64)).decoder_left == "unet"
    assert build_network(pretrained, FinetuneConfig(image_size=64)).decoder_left is None
