"""The encoder file: weights and a card that describes them, in one safetensors file that holds nothing executable."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from torch import Tensor

import dermssl
from dermssl.weights.card_schema import LARGEST_SIDE, Rule, between, card_of
from dermssl.weights.seen import packed
from dermssl.weights.tensor_file import Tensors, read_fields, read_tensors, write_tensors

NO_CARD = "--init takes a file of `python -m pretrain`"


@dataclass(frozen=True, kw_only=True)
class EncoderCard:
    """What an encoder file says of itself."""

    encoder: str
    """Name in segmentation-models-pytorch."""
    method: str
    """simclr, moco, ...; imagenet or random for weights that were never pretrained here."""
    mean: tuple[float, float, float]
    """Mean of the pixels in [0, 1], subtracted before the encoder."""
    std: tuple[float, float, float]
    image_size: int = 0
    """Side of the views it was trained on, pixels."""
    epochs: int = 0
    images_seen: int = 0
    parent: str = ""
    """The init it continued from: imagenet, random, or the sha256 of another encoder."""
    decoder: str = ""
    """The decoder that was trained with it, whose tensors stand beside its own as `decoder.NAME`; mostly none."""
    teacher: str = ""
    """The frozen network that it learned from: its name, and imagenet or the sha256 of its tensors; mostly none."""
    config: Mapping[str, object] = field(default_factory=dict)
    """The resolved options of its pretraining."""
    data: Mapping[str, object] = field(default_factory=dict)
    """Fingerprint of its images: how many, the manifest's hash, their licence."""
    seen_whole: bool = True
    """Whether the list of images that the file keeps is whole: not where it continued from weights that keep none."""
    version: str = dermssl.__version__
    commit: str = ""
    sha256: str = ""
    """sha256 over the tensors' names, types, shapes and bytes."""


MOST_COUNTED = 2**53
RULES: Mapping[str, Rule] = {
    "image_size": between(0, LARGEST_SIDE),
    "epochs": between(0, MOST_COUNTED),
    "images_seen": between(0, MOST_COUNTED),
}


def write_encoder_file(
    path: Path, tensors: Tensors, card: EncoderCard, seen: pd.DataFrame | None = None
) -> EncoderCard:
    """Writes the file whole or not at all; returns the card with the tensors' hash in it.

    Args:
        path: The file.
        tensors: The encoder's.
        card: What the file says of itself.
        seen: The images that it was trained on, as `dermssl.splits.leaks.seen_rows` gives them.
    """
    more = {} if seen is None else {"seen": packed(seen)}
    return EncoderCard(**write_tensors(path, tensors, dataclasses.asdict(card), more))


def read_card(path: Path) -> EncoderCard:
    """The card alone, without reading the weights.

    Raises:
        UserError: If the file is missing, damaged, or not an encoder file.
    """
    return card_from_fields(path, read_fields(path))


def read_encoder_file(path: Path) -> tuple[EncoderCard, dict[str, Tensor]]:
    """The card and the tensors, whose hash is checked.

    Raises:
        UserError: If the file is missing, damaged, or not an encoder file.
    """
    fields, tensors = read_tensors(path)
    return card_from_fields(path, fields), tensors


def card_from_fields(path: Path, fields: Mapping[str, object]) -> EncoderCard:
    """The card in the header's fields; those of a later version are left out.

    Raises:
        UserError: If they are no card of an encoder.
    """
    return card_of(EncoderCard, fields, RULES, f"{path}: not an encoder's file", NO_CARD)
