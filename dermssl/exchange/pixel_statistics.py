"""What pixels a stranger's encoder was trained on: mean and deviation, and whose word they are."""

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, cast

from dermssl.errors import UserError
from dermssl.exchange.foreign import ForeignCheckpoint, Place
from dermssl.exchange.recognise import EncoderMatch
from dermssl.weights.encoder import IMAGENET_MEAN, IMAGENET_STD, Three, normalisation
from dermssl.weights.library_names import counterparts

NAMES = (("mean", "std"), ("image_mean", "image_std"))
CONFIGS = ("config.json", "preprocessor_config.json")  # that the hub's files lie beside
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
LARGEST_CONFIG = 2**20  # bytes
TORCHGEO = (("state_dict", "backbone"), ("state_dict", "model", "backbone"))
ELSE = "if the training took others, give --mean and --std"


class PixelStatistics(NamedTuple):
    """Mean and standard deviation of pixels in [0, 1], and where they were taken from."""

    mean: Three
    std: Three
    source: str


def pixel_statistics(encoder: str, match: EncoderMatch, checkpoint: ForeignCheckpoint) -> PixelStatistics:
    """What stands on the file's card, in the file, or beside it; else what the library takes that it comes from.

    Raises:
        UserError: If several stand there that differ, or such as no pixels have.
    """
    card = checkpoint.card
    if {"mean", "std"} <= card.keys():
        return in_unit(card["mean"], card["std"], "from the file's card", checkpoint.file)
    stated = [*stated_in(checkpoint), *stated_beside(checkpoint.file, encoder)]
    for one, other in pairwise(stated):
        if one[:2] != other[:2]:
            raise UserError(f"{checkpoint.file}: pixels are one thing {one.source} and another {other.source}; "
                            "say with --mean and --std which the encoder was trained on")  # fmt: skip
    if stated:
        return stated[0]
    in_channels = ("hyper_parameters", "in_channels") in checkpoint.numbers
    if in_channels and any(match.prefix[: len(place)] == place for place in TORCHGEO):
        return PixelStatistics((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), f"as torchgeo divides by 255 alone; {ELSE}")
    library = match.dialect.library
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if library == "torchvision" else normalisation(encoder)
    return PixelStatistics(mean, std, f"which {library} takes by default; {ELSE}")


def stated_in(checkpoint: ForeignCheckpoint) -> Iterator[PixelStatistics]:
    """Every pair of three numbers in the file that is called mean and std: options of a training, or tensors."""
    threes: dict[Place, list[float]] = {}
    for place, number in checkpoint.numbers.items():
        threes.setdefault(place[:-1], []).append(number)
    for place, tensor in checkpoint.tensors.items():
        if tensor.numel() == 3 and tensor.is_floating_point() and tensor.device.type == "cpu":
            threes[place] = tensor.flatten().tolist()
    for place, mean in threes.items():
        for called, deviation in NAMES:
            std = threes.get((*place[:-1], deviation)) if place[-1:] == (called,) else None
            if std is not None:
                yield in_unit(mean, std, f"from {'.'.join(place)} in the file", checkpoint.file)


def stated_beside(file: Path, encoder: str) -> Iterator[PixelStatistics]:
    """What timm's or transformers' file beside the hub's weights says, unless it is of another network."""
    for config in [file.with_name(name) for name in CONFIGS] if file.name in HUB_FILES else []:
        fields = fields_of(config) if config.is_file() else {}
        ours = counterparts(encoder).get("timm", "").partition(".")[0]
        if fields.get("architecture", ours) != ours:
            continue
        own = fields.get("pretrained_cfg", fields)
        for mean, std in NAMES if isinstance(own, dict) else ():
            if mean in own and std in own:
                yield in_unit(own[mean], own[std], f"from {config.name} beside it", file)


def fields_of(config: Path) -> Mapping[str, Any]:
    """The entries of a small file of JSON.

    Raises:
        UserError: If it is none.
    """
    try:
        fields = json.loads(config.read_bytes()) if config.stat().st_size <= LARGEST_CONFIG else None
    except (ValueError, OSError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise UserError(f"{config}: no table in JSON, as timm writes one; mend it, or give --mean and --std")
    return fields


def in_unit(mean: object, std: object, source: str, file: Path) -> PixelStatistics:
    """The numbers for pixels in [0, 1], where they may be for pixels in [0, 255].

    Raises:
        UserError: If they are none of pixels.
    """
    sides = [list(side) if isinstance(side, list | tuple) else [] for side in (mean, std)]
    sound = all(
        len(side) == 3 and all(type(number) in (int, float) and isfinite(number) and number >= 0 for number in side)
        for side in sides
    )
    by_255 = sound and max(*sides[0], *sides[1]) > 1
    threes = [cast(Three, tuple(number / (255 if by_255 else 1) for number in side)) for side in sides]
    if not sound or max(*threes[0], *threes[1]) > 1 or min(threes[1]) == 0:
        raise UserError(
            f"{file}: mean and std {source} are no three numbers of pixels; give --mean and --std, in [0, 1]"
        )
    return PixelStatistics(threes[0], threes[1], f"{source}, divided by 255" if by_255 else source)
