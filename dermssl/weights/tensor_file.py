"""Tensors with a card, in one safetensors file that holds nothing executable; reading believes nothing."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from dermssl.errors import UserError
from dermssl.files import whole_file
from dermssl.weights.file_kind import SAFETENSORS, FileKind, kind_of
from dermssl.wording import spelling_hint

Tensors = Mapping[str, Tensor]
LONGEST = 100  # letters of what a library says
OURS = "file of `python -m pretrain` or `finetune`"


def sha256_of_tensors(tensors: Tensors) -> str:
    """Hex digest of names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


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
    """Card and tensors of a file of ours, the hash checked, every number finite.

    Raises:
        UserError: If the file is missing, damaged, or none of ours, or holds NaN or infinity.
    """
    fields = read_fields(path)
    with readable(path), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        digest = sha256_of_tensors(tensors)
    if digest != fields.get("sha256"):
        raise UserError(f"{path}: damaged: its tensors do not have the hash on its card; copy it or make it again")
    refuse_not_finite(path, tensors)
    return fields, tensors


def refuse_not_finite(path: Path, tensors: Tensors) -> None:
    """Stops at the first tensor that holds NaN or infinity: nothing can be computed from it."""
    for name, tensor in tensors.items():
        if not is_finite(tensor):
            raise UserError(
                f"{path}: its tensor '{in_a_short_line(name)}' holds NaN or infinity, so its training broke; "
                "take weights from before that"
            )


def is_finite(tensor: Tensor) -> bool:
    """Whether every number of a tensor is finite; whole numbers are."""
    if not tensor.is_floating_point():
        return True
    values = tensor.float() if tensor.element_size() == 1 else tensor  # torch looks through no number of 8 bits
    return bool(values.isfinite().all())


def read_text(path: Path, name: str) -> str | None:
    """A text of the header, its hash checked; None where there is none of that name.

    Raises:
        UserError: If it is damaged.
    """
    with readable(path), safe_open(path, framework="pt") as file:
        header = file.metadata() or {}
        if name not in header:
            return None
        if digest_of(header[name]) != header.get(f"{name}_sha256"):
            raise ValueError(f"'{name}' in its header does not have its hash")
        return str(header[name])


def read_fields(path: Path) -> dict[str, Any]:
    """The card's fields as the header holds them."""
    if not path.is_file():
        raise UserError(
            f"{path}: no such file; --init takes ssl, imagenet, random or a file of `python -m pretrain`"
            f"{spelling_hint(str(path), ('ssl', 'imagenet', 'random'))}"
        )
    text = read_text(path, "card")
    if text is None:
        raise UserError(FileKind("a safetensors file without a card", SAFETENSORS.remedy).sentence(path, OURS))
    with readable(path):
        fields = json.loads(text)
        if not isinstance(fields, dict):
            raise ValueError("its card is no table")
        return fields


def digest_of(text: str) -> str:
    """Hex digest of a card: a mean that lost a bit would spoil every score and tell nobody."""
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns what is found wrong while a file is read into a sentence.

    What safetensors and torch say of a stranger's file has no class in common: types that torch lacks, texts that are
    no letters, lists within lists without end.
    """
    try:
        yield
    except UserError:
        raise
    except (SafetensorError, LookupError, ValueError, TypeError, RuntimeError, OSError, OverflowError) as error:
        raise UserError(foreign_file(path, error)) from error


def foreign_file(path: Path, error: Exception) -> str:
    """What a file is that cannot be read as one of ours, and what to do."""
    kind = kind_of(path)
    if kind is None or kind is SAFETENSORS:
        return f"{path}: damaged, or no {OURS} ({short_reason(error)}); copy it or make it again"
    return kind.sentence(path, OURS)


def short_reason(error: Exception) -> str:
    """What an error of a library says of a file, in one short line; its kind where it says nothing."""
    return in_a_short_line(str(error).removeprefix("Error while deserializing header: ")) or type(error).__name__


def in_a_short_line(text: str) -> str:
    """A library's words in one short line, without letters that a terminal would obey."""
    return " ".join(text.encode("ascii", "backslashreplace").decode().split())[:LONGEST]
