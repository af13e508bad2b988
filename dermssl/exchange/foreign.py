"""Checkpoints of other libraries, opened without running anything that is in them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from dermssl.errors import UserError
from dermssl.exchange.foreign_pickle import Blank, load_pickle
from dermssl.weights.file_kind import SAFETENSORS, kind_of
from dermssl.weights.tensor_file import read_fields, readable, short_reason

Place = tuple[str, ...]  # keys and names down to a tensor: {"state_dict": {"module.conv1.weight": ...}} has four parts

# What torch.compile, Lightning's Fabric and FSDP put between a module's name and its parts.
WRAPPERS = {"_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
DEEPEST, MOST = 64, 10**6  # parts of a place; entries of a container, and containers
RECORDED = frozenset({"mean", "std", "image_mean", "image_std", "in_channels"})  # names of numbers that are asked for
ARCHITECTURE: tuple[Place, ...] = (
    ("arch",), ("args", "arch"), ("args", "model"), ("hyper_parameters", "model"), ("hyper_parameters", "backbone"),
)  # fmt: skip


@dataclass(frozen=True)
class ForeignCheckpoint:
    """What lies in a checkpoint."""

    file: Path
    tensors: Mapping[Place, Tensor]
    words: Mapping[Place, str]
    """Texts beside the tensors, such as the architecture's name."""
    card: Mapping[str, Any]
    """The card of a file that was written here; empty for others."""
    numbers: Mapping[Place, float] = field(default_factory=dict)
    """Numbers beside the tensors, where they are called as one of RECORDED is."""

    @property
    def architecture(self) -> str:
        """What the file calls its network where moco, DINO, timm, torchvision and torchgeo say it; else nothing."""
        return next((self.words[place] for place in ARCHITECTURE if place in self.words), "")


def read_foreign_checkpoint(file: Path) -> ForeignCheckpoint:
    """Every tensor in a checkpoint, however deep, by where it lies.

    Files of `torch.save` are read with `weights_only=True`; of classes that are no tensors only those of BLANKS and
    TABLES are let through, as blanks.

    Raises:
        UserError: If the file is missing, no checkpoint, or could be read only by running code that is in it.
    """
    if not file.is_file():
        raise UserError(f"{file}: no such file; import takes a checkpoint, such as a .pth, .ckpt or .safetensors file")
    by_safetensors = kind_of(file) is SAFETENSORS
    content = load_safetensors(file) if by_safetensors else load_pickle(file)
    entries: dict[Place, object] = {}
    try:
        for place, value in leaves(content, set()):
            if isinstance(value, Tensor | str) or RECORDED.intersection(place[-2:]):
                entries.setdefault(without_wrappers(place), value)
    except ValueError as error:
        raise UserError(f"{file}: {error}, as no checkpoint known here; take one with a network's weights") from error
    tensors = {place: value.detach() for place, value in entries.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{file}: holds no tensors; import takes a checkpoint with a network's weights")
    words = {place: value for place, value in entries.items() if isinstance(value, str)}
    numbers = {place: float(value) for place, value in entries.items() if type(value) in (int, float)}  # type: ignore[arg-type]
    return ForeignCheckpoint(file, tensors, words, card_in(file) if by_safetensors else {}, numbers)


def card_in(file: Path) -> Mapping[str, Any]:
    """The card that a safetensors file of ours has in its header, the hash checked if it has one; else nothing."""
    with readable(file), safe_open(file, framework="pt") as stream:
        header = stream.metadata() or {}
    if "card_sha256" in header:
        return read_fields(file)
    try:
        card = json.loads(header.get("card", "{}"))
    except (ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def load_safetensors(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file."""
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise UserError(
            f"{file}: a safetensors file that is damaged ({short_reason(error)}); copy it again, or make it anew"
        ) from error


def leaves(value: object, opened_containers: set[int], place: Place = ()) -> Iterator[tuple[Place, object]]:
    """Everything that is no container, with where it lies; a container that stands twice is opened once.

    Raises:
        ValueError: If containers lie in one another, or entries beside one another, as in no checkpoint.
    """
    if isinstance(value, Blank):
        value = value.state
    entries = value if isinstance(value, Mapping | list | tuple) else ()
    if len(place) > DEEPEST or max(len(entries), len(opened_containers)) > MOST:
        raise ValueError(f"its entries lie more than {DEEPEST} deep, or are more than {MOST:,}")
    if entries is not value:
        yield place, value
        return
    if id(value) in opened_containers:
        return
    opened_containers.add(id(value))
    for key, item in entries.items() if isinstance(entries, Mapping) else enumerate(entries):
        yield from leaves(item, opened_containers, (*place, *printable(str(key)).split(".")))


def printable(name: str) -> str:
    """A name as a sentence can show it: letters that a terminal would obey are written out."""
    return name if name.isprintable() else name.encode("unicode_escape").decode()


def without_wrappers(place: Place) -> Place:
    """The place without the parts that wrappers put into it."""
    return tuple(part for part in place if part not in WRAPPERS)
