"""From a checkpoint of another library to an encoder file that every command takes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from dermssl.errors import UserError
from dermssl.exchange.candidates import chosen, origin
from dermssl.exchange.foreign import Foreign, read_foreign
from dermssl.exchange.import_config import ImportConfig
from dermssl.exchange.proof import largest_difference, side_for
from dermssl.exchange.recognise import COUNTER, Dialect, Fit, Wanted, encoders_in, wanted
from dermssl.exchange.refusal import refuse
from dermssl.exchange.source_model import Source, source_model
from dermssl.files import sha256_of
from dermssl.runs.environment import commit
from dermssl.runs.folder import closing
from dermssl.weights.encoder import IMAGENET_MEAN, IMAGENET_STD, Three, build_encoder, load_strictly, normalisation
from dermssl.weights.encoder_file import Card, card_from, read_card, read_seen, sha256_of_tensors, write_encoder_file

TOLERANCE = 1e-5  # of a map's largest value
UNKNOWN = "imported"  # the method on the card where neither the file nor the user says one


def run(config: ImportConfig) -> Path:
    """Imports as `config` says; returns the encoder file.

    Raises:
        UserError: If the file cannot be read as data, does not hold the encoder whole, holds several and no rule says
            which to take, or gives other features than the model that it comes from.
    """
    # What the encoder needs, and where it lies in the file.
    want = wanted(config.encoder)
    foreign = read_foreign(config.file)
    whole = encoders_in(foreign, want, config.prefix)
    if not whole:
        raise refuse(foreign, want, config.prefix)
    fit, left = chosen(whole)
    refuse_encoder_file(config, fit)
    print(f"recognised: {origin(fit.prefix).words} at {fit.where}, {fit.dialect}, "
          f"{len(fit.found)} of {len(want.tensors)} tensors")  # fmt: skip
    for other, why in left:
        print(f"left: {origin(other.prefix).words} at {other.where}, for {why}")

    # Its tensors under our names, proved to be loaded and to give what they give in their own model.
    tensors = tensors_of(foreign, want, fit)
    refuse_other_weights(config.place, tensors)
    for change in changes(foreign, want, fit):
        print(f"changed: {change}")
    encoder = load_strictly(build_encoder(config.encoder), tensors, str(config.file))
    source = source_model(config.encoder, fit.dialect, tensors, foreign.architecture)
    print(f"features: {compared(encoder, fit, source, config.encoder)}")

    # The file, with a card that says where it is from.
    card, seen = card_of(config, fit, foreign), read_seen(config.file) if foreign.card else None
    write_encoder_file(config.place, tensors, card, seen)
    print(f"pixels: mean {numbers(card.mean)}, std {numbers(card.std)}, {said_by(config, fit, foreign)}")
    if card.method == UNKNOWN:
        print(
            "method: not known; --method says it for the card, with imagenet for weights that were trained with labels"
        )
    if seen is None and card.method != "imagenet":
        print("leaks: no list of the images that it was trained on, so nothing can be crossed with held-out ones; "
              "see to it yourself that it was trained on none of them")  # fmt: skip
    print(closing(config.place, f"python -m finetune --init {config.place} --encoder {config.encoder}"))
    return config.place


def refuse_encoder_file(config: ImportConfig, fit: Fit) -> None:
    """Stops at a file that `--init` takes as it is."""
    try:
        known = read_card(config.file)
    except UserError:
        return
    if known.encoder == config.encoder and all(name == ".".join(place) for name, place in fit.found.items()):
        raise UserError(f"{config.file}: is an encoder file of '{config.encoder}'; give it to --init as it is")


def refuse_other_weights(place: Path, tensors: Mapping[str, Tensor]) -> None:
    """Stops where another import would be written over: many checkpoints are called alike."""
    if place.is_file() and read_card(place).sha256 != sha256_of_tensors(tensors):
        raise UserError(f"{place}: holds other weights already; give --out with another name")


def tensors_of(foreign: Foreign, want: Wanted, fit: Fit) -> dict[str, Tensor]:
    """The encoder's tensors under our names, of our shapes and types, contiguous; what no feature needs is 0.

    Raises:
        UserError: If one holds NaN or infinity.
    """
    tensors = {}
    for name, ours in want.tensors.items():
        place = fit.found.get(name)
        given = torch.zeros(ours.shape) if place is None else foreign.tensors[place].reshape(ours.shape)
        if not bool(given.isfinite().all()):
            raise UserError(f"{foreign.file}: '{name}' holds NaN or infinity; take a checkpoint from before that")
        tensors[name] = given.to(ours.dtype, memory_format=torch.contiguous_format, copy=True)
    return tensors


def changes(foreign: Foreign, want: Wanted, fit: Fit) -> Iterator[str]:
    """What is not as it lies in the file."""
    types = [(foreign.tensors[place].dtype, want.tensors[name].dtype) for name, place in fit.found.items()]
    for theirs, ours in sorted({pair for pair in types if pair[0] != pair[1]}, key=str):
        yield f"{types.count((theirs, ours))} tensors from {plain(theirs)} to {plain(ours)}"
    counters = [name for name in fit.missing if name.rpartition(".")[2] == COUNTER]
    idle = [name for name in fit.missing if name not in counters]
    if counters:
        yield f"{len(counters)} counters ({COUNTER}) set to 0, for the file lacks them; no feature needs them"
    if idle:
        yield f"{', '.join(idle)} set to 0, for the file lacks them; no feature needs them"


def plain(dtype: torch.dtype) -> str:
    """The type without torch's name before it."""
    return str(dtype).removeprefix("torch.")


def compared(encoder: nn.Module, fit: Fit, source: Source, name: str) -> str:
    """What comparing every map with the source model's gave, in words.

    Raises:
        UserError: If they differ.
    """
    try:
        difference = largest_difference(encoder, source.model, side_for(name))
    except (RuntimeError, NotImplementedError, ValueError, TypeError, AssertionError) as error:
        return f"not compared with {source.title}, which does not run as it is ({type(error).__name__})"
    if difference == float("inf"):
        return f"not compared with {source.title}, whose layers give no maps of the encoder's sizes"
    if not difference <= TOLERANCE:  # nan is a failure too
        raise UserError(
            f"'{name}' fits tensor by tensor at {fit.where}, but the features of {source.title} differ by "
            f"{difference:.1e} of the largest value, so it is another network; name that one with --as"
        )
    return f"equal to those of {source.title}: largest difference {difference:.1g}"


def card_of(config: ImportConfig, fit: Fit, foreign: Foreign) -> Card:
    """What the encoder file says of itself: what an export of ours says where the file is one, else what is known."""
    own = foreign.card
    if own.get("encoder") == config.encoder and {"method", "mean", "std"} <= own.keys():
        known = card_from(config.file, own)
    else:
        mean, std = pixels(config.encoder, fit.dialect, own)
        known = Card(encoder=config.encoder, method=origin(fit.prefix).method or UNKNOWN, mean=mean, std=std)
    source = {
        "file": config.file.name, "sha256": sha256_of(config.file), "prefix": ".".join(fit.prefix),
        "names": str(fit.dialect), "architecture": foreign.architecture,
    }  # fmt: skip
    return replace(
        known,
        method=config.method or known.method,
        mean=cast(Three, config.mean) if config.mean else known.mean,
        std=cast(Three, config.std) if config.std else known.std,
        config={**known.config, "imported": source},
        data={**known.data, "licence": config.licence or known.data.get("licence", "unknown")},
        commit=commit(),
    )


def pixels(encoder: str, dialect: Dialect, own: Mapping[str, Any]) -> tuple[Three, Three]:
    """Mean and standard deviation: of a card of ours, such as a model's, else what the naming library takes."""
    if {"mean", "std"} <= own.keys():
        return cast(Three, tuple(own["mean"])), cast(Three, tuple(own["std"]))
    return (IMAGENET_MEAN, IMAGENET_STD) if dialect.library == "torchvision" else normalisation(encoder)


def said_by(config: ImportConfig, fit: Fit, foreign: Foreign) -> str:
    """Whose word the mean and the deviation are."""
    if config.mean and config.std:
        return "as given"
    if "mean" in foreign.card:
        return "from the file's card"
    return f"which {fit.dialect.library} takes by default; if the training took others, give --mean and --std"


def numbers(three: Three) -> str:
    """Three numbers with spaces, as an option takes them."""
    return " ".join(f"{number:g}" for number in three)
