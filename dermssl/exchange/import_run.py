"""From a checkpoint of another library to an encoder file that every command takes."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.exchange.candidates import choose_encoder, origin_of, pretraining_told_by
from dermssl.exchange.foreign import ForeignCheckpoint, read_foreign_checkpoint
from dermssl.exchange.import_config import ImportConfig
from dermssl.exchange.peer_network import peer_source
from dermssl.exchange.peer_tensors import translated
from dermssl.exchange.pixel_statistics import PixelStatistics, pixel_statistics
from dermssl.exchange.proof import largest_difference, side_for
from dermssl.exchange.recognise import (
    COUNTER,
    EncoderLayout,
    EncoderMatch,
    encoders_in,
    layout_of,
    left_in_words,
)
from dermssl.exchange.refusal import incomplete_encoder
from dermssl.exchange.source_model import SourceModel, source_model
from dermssl.files import sha256_of
from dermssl.places import try_places
from dermssl.runs.environment import commit
from dermssl.runs.folder import closing
from dermssl.weights.encoder import Three, build_encoder
from dermssl.weights.encoder_file import EncoderCard, card_from_fields, read_card, write_encoder_file
from dermssl.weights.loading import load_strictly
from dermssl.weights.seen import read_seen
from dermssl.weights.tensor_file import is_finite, sha256_of_tensors

TOLERANCE = 1e-5  # of a map's largest value
UNKNOWN = "imported"  # the method on the card where neither the file nor the user says one


def run(config: ImportConfig) -> Path:
    """Imports as `config` says; returns the encoder file.

    Raises:
        UserError: If the file cannot be read as data, does not hold the encoder whole, holds several and no rule says
            which to take, or gives other features than the model that it comes from.
    """
    try_places({"--file": config.file}, files={"--out": config.place} if config.file.is_file() else {})
    # What the encoder needs, and where it lies in the file.
    layout = layout_of(config.encoder)
    as_read = read_foreign_checkpoint(config.file)
    checkpoint, peers = translated(as_read, layout)
    matches = encoders_in(checkpoint, layout, config.prefix)
    if not matches:
        raise incomplete_encoder(as_read, layout, config.prefix)
    match, others = choose_encoder(matches)
    refuse_encoder_file(config, match)
    peer = peers.get(match.prefix)
    if peer:
        match = replace(match, dialect=replace(match.dialect, origin=peer.format.title))
    print(f"recognised: {origin_of(match.prefix).words} at {match.where}, {match.dialect}, "
          f"{len(match.places)} of {len(layout.tensors)} tensors")  # fmt: skip
    for other, why in others:
        print(f"not taken: {origin_of(other.prefix).words} at {other.where}, for {why}")
    if left := left_in_words(checkpoint, match):
        print(f"left: {left}")

    # Its tensors under our names, proved to be loaded and to give what they give in their own model.
    tensors = encoder_tensors(checkpoint, layout, match)
    refuse_other_weights(config.place, tensors)
    for change in [*(peer.changes if peer else ()), *tensor_changes(checkpoint, layout, match)]:
        print(f"changed: {change}")
    encoder = load_strictly(build_encoder(config.encoder), tensors, str(config.file))
    if peer and peer.format.plain:
        source = peer_source(encoder, peer, checkpoint)
    else:
        source = source_model(config.encoder, match.dialect, tensors, checkpoint.architecture)
    print(f"features: {comparison(encoder, match, source, config.encoder)}")

    # The file, with a card that says where it is from.
    pixels = chosen_statistics(config, match, checkpoint)
    card = imported_card(config, match, checkpoint, pixels)
    seen = read_seen(config.file) if checkpoint.card else None
    write_encoder_file(config.place, tensors, card, seen)
    print(f"pixels: mean {with_spaces(card.mean)}, std {with_spaces(card.std)}, {pixels.source}")
    if card.method == UNKNOWN:
        print("method: not known; say with --method how the weights were trained: imagenet, if it was with labels")
    if seen is None and card.method != "imagenet":
        print("leaks: the checkpoint does not list the images that it was trained on, so no command can compare them "
              "with held-out images; make sure yourself that none of those was among them")  # fmt: skip
    print(
        closing(config.place, f"python -m finetune --init {shlex.quote(str(config.place))} --encoder {config.encoder}")
    )
    return config.place


def refuse_encoder_file(config: ImportConfig, match: EncoderMatch) -> None:
    """Stops at a file that `--init` takes as it is."""
    try:
        card = read_card(config.file)
    except UserError:
        return
    if card.encoder == config.encoder and all(name == ".".join(place) for name, place in match.places.items()):
        raise UserError(f"{config.file}: is an encoder file of '{config.encoder}'; give it to --init as it is")


def refuse_other_weights(place: Path, tensors: Mapping[str, Tensor]) -> None:
    """Stops where another import would be written over: many checkpoints are called alike."""
    if place.is_file() and read_card(place).sha256 != sha256_of_tensors(tensors):
        raise UserError(f"{place}: holds other weights already; give --out with another name")


def encoder_tensors(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch) -> dict[str, Tensor]:
    """The encoder's tensors under our names, of our shapes and types, contiguous; what no feature needs is 0.

    Raises:
        UserError: If one holds NaN or infinity.
    """
    tensors = {}
    for name, ours in layout.tensors.items():
        place = match.places.get(name)
        tensor = torch.zeros(ours.shape) if place is None else checkpoint.tensors[place].reshape(ours.shape)
        if not is_finite(tensor):
            raise UserError(
                f"{checkpoint.file}: its tensor '{name}' holds NaN or infinity; take a checkpoint from before that"
            )
        tensors[name] = tensor.to(ours.dtype, memory_format=torch.contiguous_format, copy=True)
    return tensors


def tensor_changes(checkpoint: ForeignCheckpoint, layout: EncoderLayout, match: EncoderMatch) -> Iterator[str]:
    """What is not as it lies in the file."""
    types = [(checkpoint.tensors[place].dtype, layout.tensors[name].dtype) for name, place in match.places.items()]
    for theirs, ours in sorted({pair for pair in types if pair[0] != pair[1]}, key=str):
        yield f"{types.count((theirs, ours))} tensors from {dtype_name(theirs)} to {dtype_name(ours)}"
    counters = [name for name in match.missing if name.rpartition(".")[2] == COUNTER]
    idle = [name for name in match.missing if name not in counters]
    if counters:
        yield f"{len(counters)} counters ({COUNTER}) set to 0, for the file lacks them; no feature needs them"
    if idle:
        yield f"{', '.join(idle)} set to 0, for the file lacks them; no feature needs them"


def dtype_name(dtype: torch.dtype) -> str:
    """The type without torch's name before it."""
    return str(dtype).removeprefix("torch.")


def comparison(encoder: nn.Module, match: EncoderMatch, source: SourceModel, name: str) -> str:
    """What comparing every map with the source model's gave, in words.

    Raises:
        UserError: If they differ.
    """
    try:
        difference = largest_difference(encoder, source.model, source.side or side_for(name))
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AssertionError) as error:
        return f"not compared with {source.title}, which does not run as it is ({type(error).__name__})"
    if difference == float("inf"):
        return f"not compared with {source.title}, whose layers give no maps of the encoder's sizes"
    if not difference <= TOLERANCE:  # nan is a failure too
        raise UserError(
            f"'{name}' fits tensor by tensor at {match.where}, but the features of {source.title} differ by "
            f"{difference:.1e} of the largest value, so it is another network; name that one with --as"
        )
    return f"equal to those of {source.title}{source.remark}: largest difference {difference:.1g}"


def chosen_statistics(config: ImportConfig, match: EncoderMatch, checkpoint: ForeignCheckpoint) -> PixelStatistics:
    """What pixels it was trained on: as the user says, and else as the file does or its library."""
    if config.mean and config.std:
        return PixelStatistics(cast(Three, config.mean), cast(Three, config.std), "as given")
    told = pixel_statistics(config.encoder, match, checkpoint)
    if config.mean:
        return told._replace(mean=cast(Three, config.mean), source=f"mean as given, std {told.source}")
    if config.std:
        return told._replace(std=cast(Three, config.std), source=f"std as given, mean {told.source}")
    return told


def imported_card(
    config: ImportConfig, match: EncoderMatch, checkpoint: ForeignCheckpoint, pixels: PixelStatistics
) -> EncoderCard:
    """What the encoder file says of itself: what an export of ours says where the file is one, else what is known."""
    own = checkpoint.card
    if own.get("encoder") == config.encoder and {"method", "mean", "std"} <= own.keys():
        card = card_from_fields(config.file, own)
    else:
        method = pretraining_told_by(match.prefix, checkpoint.tensors) or UNKNOWN
        card = EncoderCard(encoder=config.encoder, method=method, mean=pixels.mean, std=pixels.std)
    source = {
        "file": config.file.name, "sha256": sha256_of(config.file), "prefix": ".".join(match.prefix),
        "names": str(match.dialect), "architecture": checkpoint.architecture,
    }  # fmt: skip
    return replace(
        card,
        method=config.method or card.method,
        mean=pixels.mean,
        std=pixels.std,
        config={**card.config, "imported": source},
        data={**card.data, "licence": config.licence or card.data.get("licence", "unknown")},
        commit=commit(),
    )


def with_spaces(three: Three) -> str:
    """Three numbers with spaces, as an option takes them."""
    return " ".join(f"{number:g}" for number in three)
