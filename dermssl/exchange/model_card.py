"""What an exported encoder says of itself: its card, timm's config and a model card for people."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import timm

from dermssl.exchange.forms import TimmCall
from dermssl.weights.encoder_file import EncoderCard

SIDE = 224  # pixels; timm's usual one


def public(card: EncoderCard) -> dict[str, Any]:
    """The card without the paths of the machine that it was made on."""
    return without_paths(dataclasses.asdict(card))


def without_paths(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, and those within them, whose text has no slash."""
    inner = {key: without_paths(value) if isinstance(value, Mapping) else value for key, value in fields.items()}
    return {key: value for key, value in inner.items() if not (isinstance(value, str) and os.sep in value)}


def card_text(card: EncoderCard) -> dict[str, str]:
    """The card as texts for a file's header. `format` is what readers of safetensors files ask for."""
    return {"format": "pt", "card": json.dumps(public(card))}


def timm_config(card: EncoderCard, call: TimmCall) -> dict[str, Any]:
    """What `config.json` tells timm: the architecture, its arguments, and how pictures are normalised.

    A network of features is filled before it is cut out of the whole, which timm does loosely where the classes differ
    and strictly where they do not; hence no word on classes there.
    """
    settings = timm.get_pretrained_cfg(call.model)
    features = "features_only" in call.options
    side = card.image_size or SIDE
    size = [3, side, side] if settings is None or not settings.fixed_input_size else list(settings.input_size)
    normal: dict[str, Any] = {"input_size": size, "mean": card.mean, "std": card.std, "interpolation": "bilinear"}
    if settings is not None:
        normal |= {"first_conv": settings.first_conv, "classifier": settings.classifier}
        normal |= {"fixed_input_size": settings.fixed_input_size, "crop_pct": 1.0}
    config = {"architecture": call.model.split(".")[0], "pretrained_cfg": normal}
    return {**config, "model_args": dict(call.options)} if features else {**config, "num_classes": 0}


def model_card(card: EncoderCard, lines: Sequence[str], remark: str) -> str:
    """README.md: what the weights are, where they come from, under which licence, and how to open them."""
    licence = str(card.data.get("licence", "unknown"))
    facts = {
        "encoder": card.encoder, "method": card.method, "continued from": card.parent or "nothing that is known",
        **({"learned from": card.teacher} if card.teacher else {}),
        "trained at": f"{card.image_size} pixels" if card.image_size else "a size that is not known",
        "epochs": card.epochs, "images seen": card.images_seen, "images": card.data.get("count", "unknown"),
        "manifest of the images": card.data.get("manifest", "unknown"), "licence": licence,
        "mean": card.mean, "std": card.std, "sha256 of the tensors": card.sha256,
        "dermssl": f"{card.version}, commit {card.commit or 'unknown'}",
    }  # fmt: skip
    table = "\n".join(f"| {key} | {value} |" for key, value in facts.items())
    code = "\n".join(lines).replace("PATH", "FOLDER")
    return f"""---
library_name: timm
license: {"unknown" if licence == "unknown" else "other"}
tags:
- image-feature-extraction
- timm
- dermoscopy
---
# {card.encoder}, {card.method}

Weights of an encoder for dermoscopy pictures, without a classifier.

| | |
|---|---|
{table}

The licences of the images bind what may be done with these weights, as do those of the weights that they continue.

```python
{code}
```

Pixels are divided by 255, then `mean` is subtracted and `std` divides.{f" Note: {remark}." if remark else ""}
"""
