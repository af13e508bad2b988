"""A decoder of segmentation-models-pytorch on an encoder whose weights are proved to be the ones asked for."""

from dataclasses import dataclass
from typing import cast

import segmentation_models_pytorch as smp
import torch
from torch import nn

from dermssl.encoder import ANY_SIZE, Start, load_strictly, prove_equal
from dermssl.errors import UserError


@dataclass(frozen=True)
class Network:
    """A segmentation network, and how much of the pretrained encoder is in it."""

    model: nn.Module
    """uint8-normalised images (B, 3, H, W) to logits (B, 1, H, W)."""
    tensors_compared: int
    """Of the encoder, each equal to its origin."""
    share_used: float
    """Share of the encoder's parameters that the decoder's output depends on, in (0, 1]."""
    decoder_compared: int = 0
    """Tensors of a decoder that was pretrained with the encoder; 0 where it starts from random weights."""


def build_model(encoder: str, decoder: str, depth: int | None) -> nn.Module:
    """The architecture with random weights.

    Raises:
        UserError: If the decoder does not go with this encoder or depth.
    """
    options: dict[str, object] = {} if depth is None else {"encoder_depth": depth, **beside_depth(decoder, depth)}
    if decoder == "dpt":
        options |= ANY_SIZE
    try:
        # encoder_weights None and not False, which would download
        return cast(nn.Module, smp.create_model(decoder, encoder, encoder_weights=None, classes=1, **options))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"--decoder {decoder}: does not go with --encoder {encoder}: {error}") from error


def beside_depth(decoder: str, depth: int) -> dict[str, object]:
    """What the library must be told beside the depth, for its defaults are those of one depth alone."""
    match decoder:
        case "unet" | "unetplusplus" | "manet":
            return {"decoder_channels": (256, 128, 64, 32, 16)[5 - depth :]}
        case "pspnet":
            return {"upsampling": 2**depth}
        case "fpn":
            return {"upsampling": 2 ** (depth - 3)}
        case _:
            return {}


def network(start: Start, decoder: str, depth: int | None, seed: int, image_size: int) -> Network:
    """Puts the encoder of `start` under its own decoder, or one whose weights depend on `seed` alone.

    Raises:
        UserError: If the decoder does not go with this encoder, depth or image size.
    """
    torch.manual_seed(seed)
    model = build_model(start.card.encoder, decoder, depth)
    inside = cast(nn.Module, model.encoder)
    given = start.encoder.state_dict()
    # A shallow decoder's encoder may end early: it must find every tensor of its own, and leaves the rest.
    load_strictly(
        inside, {name: given[name] for name in inside.state_dict() if name in given}, f"--init under {decoder}"
    )
    pretrained = start.decoder if start.card.decoder == decoder and depth in (None, 5) else {}
    if pretrained:
        load_strictly(cast(nn.Module, model.decoder), pretrained, f"the {decoder} decoder of --init")
    used = share_used(model, start.encoder, image_size)
    return Network(model, prove_equal(inside, given), used, len(pretrained))


def share_used(model: nn.Module, whole: nn.Module, image_size: int) -> float:
    """Share of the parameters of the `whole` encoder that a gradient from the output of `model` reaches.

    Measured and not read off the depth: some encoders keep stages that their decoder never asks for.
    """
    training = model.training
    try:
        output = model.eval()(torch.zeros(1, 3, image_size, image_size))
    except (RuntimeError, ValueError, AssertionError) as error:  # a pool without pixels, a transformer's own size
        raise UserError(f"--image_size {image_size}: does not go with encoder and decoder: {error}") from error
    assert output.shape == (1, 1, image_size, image_size), f"{image_size} px in, {tuple(output.shape)} out"
    output.sum().backward()
    encoder = cast(nn.Module, model.encoder)
    reached = sum(p.numel() for p in encoder.parameters() if p.grad is not None)
    model.zero_grad(set_to_none=True)
    model.train(training)
    return reached / sum(p.numel() for p in whole.parameters())
