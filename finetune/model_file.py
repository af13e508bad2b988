"""The model file: a trained network with a card that says all it takes to go from pictures to masks."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from dermssl.encoder import load_strictly
from dermssl.encoder_file import read_tensors, write_tensors
from dermssl.errors import UserError
from finetune.model import build_model


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """What a model file says of itself."""

    encoder: str
    decoder: str
    encoder_depth: int | None
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    init: str
    encoder_sha256: str
    data: str
    """Hash of the manifest it was trained on."""
    commit: str
    sha256: str = ""


def write_model(path: Path, model: nn.Module, card: ModelCard) -> None:
    """Writes the network with its card, whole or not at all."""
    write_tensors(path, model.state_dict(), dataclasses.asdict(card))


def read_model(path: Path) -> tuple[nn.Module, ModelCard]:
    """The network in a run folder or a model file, every tensor compared.

    Raises:
        UserError: If there is none, it is damaged, or it is another kind of file.
    """
    path = path / "model.safetensors" if path.is_dir() else path
    if not path.is_file():
        raise UserError(f"--model {path}: no such file; give the run folder of a finished `python -m finetune`")
    fields, tensors = read_tensors(path)
    try:
        card = ModelCard(**fields)
    except TypeError as error:
        raise UserError(
            f"--model {path}: holds no segmentation network; give a run folder of `python -m finetune`"
        ) from error
    model = build_model(card.encoder, card.decoder, card.encoder_depth)
    return load_strictly(model, tensors, str(path)), card
