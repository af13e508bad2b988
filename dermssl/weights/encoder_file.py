"""The encoder file: weights and a card that describes them, in one safetensors file that holds nothing executable."""

import base64
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import dermssl
from dermssl.errors import UserError
from dermssl.files import whole_file
from dermssl.weights.file_kind import SAFETENSORS, FileKind, kind_of

Tensors = Mapping[str, Tensor]
OURS = "file of `python -m pretrain` or `finetune`"


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


def sha256_of_tensors(tensors: Tensors) -> str:
    """Hex digest of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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


def packed(table: pd.DataFrame) -> str:
    """A table as parquet in letters, which is what a safetensors header can hold."""
    return base64.b64encode(table.to_parquet(engine="pyarrow", compression="zstd", index=False)).decode()


def read_seen(path: Path) -> pd.DataFrame | None:
    """What the file keeps of the images that its encoder was trained on; None where it says nothing of them.

    Raises:
        UserError: If what it says is damaged.
    """
    with readable(path), safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if "seen" not in header:
            return None
        if digest_of(header["seen"]) != header["seen_sha256"]:
            raise ValueError("the list of images does not have its hash")
        return pd.read_parquet(io.BytesIO(base64.b64decode(header["seen"])))


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
    """The card in the header's fields; those of a later version are left out."""
    field_names = {field.name for field in dataclasses.fields(EncoderCard)}
    try:
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
        return EncoderCard(**{key: value for key, value in values.items() if key in field_names})  # type: ignore[arg-type]
    except TypeError as error:
        raise UserError(f"{path}: not an encoder's card; --init takes a file of `python -m pretrain`") from error


def write_tensors(
    path: Path, tensors: Tensors, card: Mapping[str, object], more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Writes tensors with any card, to which their hash is added, as one safetensors file; returns that card.

    `more` are further texts for the header, each kept with its hash.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    fields = {**card, "sha256": sha256_of_tensors(contiguous)}
    texts = {"card": json.dumps(fields), **(more or {})}
    hashes = {f"{name}_sha256": digest_of(text) for name, text in texts.items()}
    with whole_file(path) as part:
        save_file(contiguous, part, metadata=texts | hashes)
    return fields


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Card and tensors of a file of ours, the hash checked.

    Raises:
        UserError: If the file is missing, damaged, or none of ours.
    """
    fields = read_fields(path)
    with readable(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if sha256_of_tensors(tensors) != fields.get("sha256"):
        raise UserError(f"{path}: damaged: its tensors do not have the hash on its card; copy it or make it again")
    return fields, tensors


def read_fields(path: Path) -> dict[str, Any]:
    """The card's fields as the header holds them."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; --init takes ssl, imagenet, random or a file of `python -m pretrain`")
    with readable(path), safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if digest_of(header["card"]) != header["card_sha256"]:
            raise ValueError("the card does not have its hash")
        return dict(json.loads(header["card"]))


def digest_of(text: str) -> str:
    """Hex digest of a card: a mean that lost a bit would spoil every score and tell nobody."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what safetensors finds wrong into a sentence."""
    try:
        yield
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(foreign_file(path, error)) from error


def foreign_file(path: Path, error: Exception) -> str:
    """What a file is that cannot be read as one of ours, and what to do."""
    kind = kind_of(path)
    if kind is SAFETENSORS and isinstance(error, KeyError):
        return FileKind("a safetensors file without a card", kind.remedy).sentence(path, OURS)
    if kind is None or kind is SAFETENSORS:
        return f"{path}: damaged, or no {OURS} ({type(error).__name__}); copy it or make it again"
    return kind.sentence(path, OURS)
