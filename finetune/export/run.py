"""The story of an export: from a finished run to an ONNX file."""

import shlex
from pathlib import Path

from dermssl.errors import UserError
from dermssl.log import say
from dermssl.places import try_places
from dermssl.runs.folder import closing
from dermssl.training.device import prepare
from finetune.export.config import ModelExportConfig
from finetune.network.model_file import read_model
from finetune.network.onnx_model import write_onnx_model


def export_onnx(config: ModelExportConfig) -> Path:
    """Writes the network as ONNX, proved by onnxruntime; returns the file.

    Raises:
        UserError: If there is no such model, a file stands in its place, or the network cannot be written.
    """
    try_places({"--model": config.model}, files={"--out": config.out})
    if config.out.exists():
        raise UserError(f"--out {config.out}: this file exists already; give another name, or remove it")
    prepare(config.threads)
    model, card = read_model(config.model)
    difference = write_onnx_model(config.out, model, card)
    side = card.image_size
    say(
        f"network: {card.decoder} on {card.encoder}; its input `pixels` is (B, 3, {side}, {side}), RGB in uint8, and "
        f"its output `probability` (B, 1, {side}, {side}); probabilities that onnxruntime computes differ from "
        f"torch's by {difference:.0e} at most"
    )
    place = shlex.quote(str(config.out))
    images = "--images FOLDER_OF_IMAGES --out FOLDER_OF_MASKS"
    say(closing(config.out, f"python -m finetune.predict --model {place} {images}"))
    return config.out
