"""A decoder of segmentation-models-pytorch on an encoder whose weights are proved to be the ones asked for."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from dermssl.errors import UserError
from dermssl.weights.encoder import Start, any_size, build_encoder, refuse_unknown_encoder
from dermssl.weights.lean_libraries import smp
from dermssl.weights.loading import State, load_strictly, prove_equal
from finetune.network.compatibility import REFUSALS, neighbours, objection, one_line, share_used, takes
from finetune.network.linear import LinearNetwork
from finetune.options.config import FinetuneConfig
from finetune.options.decoder import ARGUMENTS, DECODERS, WIDTH_PER_STAGE, DecoderConfig, as_typed, decoder_options_of

SIZES = (256, 224)  # one of which a decoder must take to be named as one that goes with an encoder


@dataclass(frozen=True)
class Network:
    """A segmentation network, and how much of the pretrained encoder is in it."""

    model: nn.Module
    """uint8-normalised images (B, 3, H, W) to logits (B, 1, H, W)."""
    tensors_compared: int
    """Tensors of the encoder, each equal to its origin."""
    share_used: float
    """Share of the encoder's parameters that the decoder's output depends on, in (0, 1]."""
    decoder_compared: int = 0
    """Tensors of a decoder that was pretrained with the encoder; 0 where it starts from random weights."""
    decoder_left: str | None = None
    """Name of a pretrained decoder that came with the encoder and is not used."""


def build_model(encoder: str, decoder: str, options: Mapping[str, object] | None = None) -> nn.Module:
    """The architecture with random weights: images (B, 3, H, W) to logits (B, 1, H, W).

    Args:
        encoder: Name in smp, or `tu-NAME`.
        decoder: One of `finetune.options.decoder.DECODERS`.
        options: What `finetune.options.decoder.decoder_options_of` gives, or the card of a model file holds; tuples may
            be lists, and what is left out or None is the architecture's own. The depth is one of them, `encoder_depth`.

    Raises:
        UserError: If the decoder does not go with this encoder or these options.
    """
    refuse_unknown_encoder(encoder)  # smp would hand it on to timm, which asks the hub for some names
    own_options = {name: value for name, value in (options or {}).items() if value is not None}
    try:
        return assemble(encoder, decoder, own_options)
    except REFUSALS as error:
        raise UserError(misfit_sentence(encoder, decoder, own_options, one_line(error))) from error


def assemble(encoder: str, decoder: str, options: Mapping[str, object]) -> nn.Module:
    """What smp, or for linear our own network, makes of a decoder with these options, in its own words where not."""
    arguments = {ARGUMENTS[name][decoder]: argument(decoder, name, value) for name, value in options.items()}
    arguments = {**arguments_of_depth(encoder, decoder, options), **arguments, **any_size(encoder)}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`timm-` encoders are deprecated", DeprecationWarning)
        if decoder == "linear":
            return LinearNetwork(encoder, **cast("dict[str, Any]", arguments))
        # encoder_weights None and not False, which would download
        return cast(nn.Module, smp.create_model(decoder, encoder, encoder_weights=None, **arguments))


def argument(decoder: str, name: str, value: object) -> object:
    """The value as smp takes it."""
    if name == "decoder_channels" and decoder not in WIDTH_PER_STAGE:
        (value,) = cast("Sequence[int]", value)  # one for all of its maps
    if value == "instancenorm":
        value = {"type": "instancenorm", "affine": True}  # smp sets the weights that it has only so, and stops
    return value


def arguments_of_depth(encoder: str, decoder: str, options: Mapping[str, object]) -> dict[str, object]:
    """What smp must be told beside the options, for its defaults are those of one depth and one kind of encoder.

    The enlargement at the end follows from the depth: any other gives masks of another size than the image.
    """
    depth = cast("int | None", options.get("encoder_depth"))
    match decoder:
        case "unet" | "unetplusplus" | "manet" if depth:
            return {"decoder_channels": (256, 128, 64, 32, 16)[5 - depth :]}
        case "pspnet" if depth:
            return {"upsampling": 2**depth}
        case "fpn" if depth:
            return {"upsampling": 2 ** (depth - 3)}
        case "dpt":
            return readout(encoder, options) | {"decoder_intermediate_channels": (256, 512, 1024, 1024)[: depth or 4]}
        case _:
            return {}


def readout(encoder: str, options: Mapping[str, object]) -> dict[str, object]:
    """What DPT does with the class token of a plain transformer: nothing where there is none.

    Raises:
        ValueError: If the encoder is no plain transformer, or has no token for a readout that is asked for.
    """
    transformer = build_encoder(encoder)
    if not isinstance(transformer, smp.encoders.TimmViTEncoder):
        raise ValueError("it takes plain transformers of timm, such as tu-vit_tiny_patch16_224")
    if not transformer.has_prefix_tokens and options.get("decoder_readout", "ignore") != "ignore":
        raise ValueError(
            f"the encoder has no class token; take --decoder_readout ignore, not {options['decoder_readout']}"
        )
    return {"decoder_readout": "cat" if transformer.has_prefix_tokens else "ignore"}


def misfit_sentence(encoder: str, decoder: str, options: Mapping[str, object], reason: str) -> str:
    """The sentence for parts that do not go together, with the decoders that take the encoder."""
    build_encoder(encoder)  # an unknown name is told first
    fitting = [other for other in DECODERS if compatible(encoder, other)]
    if decoder in fitting and not options:
        return f"--decoder {decoder} on --encoder {encoder} refuses this --image_size ({reason}); take another one"
    if decoder in fitting:
        flags = " ".join(f"--{name} {as_typed(value)}" for name, value in options.items())
        return (
            f"--decoder {decoder} on --encoder {encoder} does not go with {flags} ({reason}); leave these options out"
        )
    remedy = f"these decoders do: {', '.join(fitting)}" if fitting else "no decoder does; take another --encoder"
    return f"--decoder {decoder} does not go with --encoder {encoder} ({reason}); {remedy}"


def compatible(encoder: str, decoder: str) -> bool:
    """Whether the decoder takes the encoder at its own options and some common size."""
    for device in ("meta", "cpu"):  # nothing is drawn on the first, but MiT reads values while it is built
        try:
            with torch.device(device):
                model = assemble(encoder, decoder, {}).eval()
        except (*REFUSALS, UserError):
            continue
        return any(takes(model, size) for size in SIZES)
    return False


def build_network(start: Start, config: FinetuneConfig) -> Network:
    """Puts the encoder of `start` under its own decoder, or one whose weights depend on `config.seed` alone.

    Raises:
        UserError: If the decoder does not go with this encoder, its options, the size of the images, or the decoder
            that was pretrained with the encoder.
    """
    torch.manual_seed(config.seed)
    options = decoder_options_of(config)
    model = build_model(start.card.encoder, config.decoder, options)
    refuse_size(model, start.card.encoder, config)
    encoder = cast(nn.Module, model.encoder)
    tensors = start.encoder.state_dict()
    # A shallow decoder's encoder may end early: it must find every tensor of its own, and leaves the rest.
    encoder_tensors = {name: tensors[name] for name in encoder.state_dict() if name in tensors}
    load_strictly(encoder, encoder_tensors, f"--init under {config.decoder}")
    wanted = config.decoder_init == "pretrained" and start.card.decoder == config.decoder
    pretrained = start.decoder if wanted else {}
    if pretrained:
        load_decoder(cast(nn.Module, model.decoder), pretrained, config)
    share = share_used(model.eval(), start.encoder, config.image_size)
    left = start.card.decoder if start.decoder and not pretrained else None
    return Network(model.train(), prove_equal(encoder, tensors), share, len(pretrained), left)


def load_decoder(decoder: nn.Module, pretrained: State, config: DecoderConfig) -> None:
    """Loads the decoder that was pretrained with the encoder, every tensor compared.

    Raises:
        UserError: If the options give it another shape than it was pretrained in.
    """
    options = decoder_options_of(config)
    shapes = {name: tensor.shape for name, tensor in decoder.state_dict().items()}
    if options and shapes != {name: tensor.shape for name, tensor in pretrained.items()}:
        raise UserError(
            f"--{' and --'.join(options)}: --init holds a {config.decoder} decoder that was pretrained in another "
            f"shape; leave what changes the shape out, or take another --decoder or --init"
        )
    load_strictly(decoder, pretrained, f"the {config.decoder} decoder of --init")


def refuse_size(model: nn.Module, encoder: str, config: FinetuneConfig) -> None:
    """Stops at a size that the network does not take, with the next sizes that it does."""
    size = config.image_size
    if takes(model.eval(), size):
        return
    below, above = neighbours(model, size)
    if below is above is None:
        raise UserError(misfit_sentence(encoder, config.decoder, decoder_options_of(config), objection(model, size)))
    raise UserError(f"--image_size {size}: {encoder} under {config.decoder} takes {sizes_in_words(below, above)}")


def sizes_in_words(below: int | None, above: int | None) -> str:
    """The sizes that a network takes next to one that it does not, in words."""
    if below and above:
        step = above - below
        return f"multiples of {step}; the next are {below} and {above}" if below % step == 0 else f"{below} or {above}"
    return f"no image so large; the next size is {below}" if below else f"no image so small; the next size is {above}"
