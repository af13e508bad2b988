"""Checkpoints of other libraries, opened without running anything that is in them."""

import json
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from dermssl.errors import UserError
from dermssl.weights.encoder_file import read_fields
from dermssl.weights.file_kind import TORCH, kind_of

Place = tuple[str, ...]  # keys and names down to a tensor: {"state_dict": {"module.conv1.weight": ...}} has four parts

# What torch.compile, Lightning's Fabric and FSDP put between a module's name and its parts.
WRAPPERS = {"_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
ARCHITECTURE: tuple[Place, ...] = (
    ("arch",), ("args", "arch"), ("args", "model"), ("hyper_parameters", "model"), ("hyper_parameters", "backbone"),
)  # fmt: skip


class Blank:
    """Stands in for an object of another library: keeps the state that it is given and runs nothing."""

    state: object = None

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        self.state = state


class BlankTable:
    """Stands in for a dictionary of another class; its entries are read into a plain one."""

    def __new__(cls, *_: object) -> dict[object, object]:  # type: ignore[misc]
        """Makes a plain dictionary, which is all that torch's reader fills."""
        return {}


# What trainings leave beside their tensors. Each becomes a blank, so that the class itself is never called.
BLANKS = (
    "argparse.Namespace", "typing.Any",
    *(f"builtins.{kind}" for kind in ("bool", "dict", "float", "int", "list", "str")),
    *(f"pathlib.{kind}Path" for kind in ("Posix", "PurePosix", "Windows", "PureWindows")),
    "numpy.dtype", "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{maker}" for core in ("core", "_core") for maker in ("scalar", "_reconstruct")),
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.base.Metadata", "omegaconf.base.ContainerMetadata",
    *(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Boolean", "Bytes", "Enum", "Float", "Integer", "String")),
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
)  # fmt: skip
TABLES = (
    "collections.defaultdict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    *(f"{package}.utilities.data.AttributeDict" for package in ("lightning_fabric", "lightning.fabric")),
)


@dataclass(frozen=True)
class ForeignCheckpoint:
    """What lies in a checkpoint."""

    file: Path
    tensors: Mapping[Place, Tensor]
    words: Mapping[Place, str]
    """Texts beside the tensors, such as the architecture's name."""
    card: Mapping[str, Any]
    """The card of a file that was written here; empty for others."""

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
    content = load_safetensors(file) if is_safetensors(file) else load_pickle(file)
    entries: dict[Place, object] = {}
    for place, value in leaves(content, set()):
        entries.setdefault(without_wrappers(place), value)
    tensors = {place: value.detach() for place, value in entries.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{file}: holds no tensors; import takes a checkpoint with a network's weights")
    words = {place: value for place, value in entries.items() if isinstance(value, str)}
    return ForeignCheckpoint(file, tensors, words, card_in(file) if is_safetensors(file) else {})


def is_safetensors(file: Path) -> bool:
    """Whether the file begins as safetensors do: the header's length, then its JSON."""
    with file.open("rb") as stream:
        head = stream.read(9)
    return len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < file.stat().st_size


def card_in(file: Path) -> Mapping[str, Any]:
    """The card that a safetensors file of ours has in its header, the hash checked if it has one; else nothing."""
    with safe_open(file, framework="pt") as stream:
        header = stream.metadata() or {}
    if "card_sha256" in header:
        return read_fields(file)
    try:
        card = json.loads(header.get("card", "{}"))
    except ValueError:
        return {}
    return card if isinstance(card, dict) else {}


def load_safetensors(file: Path) -> Mapping[str, Tensor]:
    """The tensors of a safetensors file."""
    try:
        return load_file(file)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: damaged ({error}); copy it again") from error


def load_pickle(file: Path) -> object:
    """What `torch.save` wrote, tensors and plain values alone."""
    blanks: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
        (kind, name) for kind, names in ((Blank, BLANKS), (BlankTable, TABLES)) for name in names
    ]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(blanks):
            warnings.simplefilter("ignore")  # what torch warns of is refused just below
            return torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError) as error:
        raise UserError(unreadable_sentence(file, str(error))) from error
    except (
        OSError,
        EOFError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        AssertionError,
        struct.error,
    ) as error:
        raise UserError(no_checkpoint(file, type(error).__name__)) from error


def unreadable_sentence(file: Path, complaint: str) -> str:
    """Why torch does not read the file as data, and how its owner makes one that it does."""
    stranger = re.search(r"GLOBAL ([\w.]+)", complaint)
    if kind_of(file) is not TORCH:
        return no_checkpoint(file, complaint)
    if stranger is None and "Cannot use ``weights_only=True`` with" not in complaint:
        return no_checkpoint(file, complaint.partition("error: ")[2] or complaint)
    what = f"an object of {stranger.group(1)}" if stranger else "a format that holds programs"
    clean = "torch.save(model.state_dict(), 'clean.pt')"
    if stranger and stranger.group(1).split(".")[0] == "lightly_train":
        clean = f"lightly_train.export(out='clean.pt', checkpoint='{file}', part='model', format='torch_state_dict')"
    return (
        f"{file}: holds {what}, which cannot be read without running code that is in the file; "
        f"where it was made, save its tensors alone: `{clean}`"
    )


def no_checkpoint(file: Path, reason: str) -> str:
    """What a file is instead of a checkpoint, and what to do; of a damaged checkpoint, what torch says of it."""
    kind = kind_of(file)
    if kind is not None and kind is not TORCH:
        return kind.sentence(file, "checkpoint of torch")
    with file.open("rb") as stream:
        head = stream.read(8)
    of_torch = reason.strip().split(". ")[0].partition("\n")[0]
    why = of_torch if kind is TORCH and of_torch else f"it begins with the bytes {head.hex(' ')}, as no file known here"
    return f"{file}: damaged, or no checkpoint of torch ({why}); copy it again"


def leaves(value: object, opened_containers: set[int], place: Place = ()) -> Iterator[tuple[Place, object]]:
    """Everything that is no container, with where it lies; a container that stands twice is opened once."""
    if isinstance(value, Blank):
        value = value.state
    if not isinstance(value, Mapping | list | tuple):
        yield place, value
        return
    if id(value) in opened_containers:
        return
    opened_containers.add(id(value))
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
        yield from leaves(item, opened_containers, (*place, *str(key).split(".")))


def without_wrappers(place: Place) -> Place:
    """The place without the parts that wrappers put into it."""
    return tuple(part for part in place if part not in WRAPPERS)
