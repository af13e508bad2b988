"""The ground that pretrain, finetune, probe and compare share: data, encoders, scores, run folders.

For programs of one's own (docs/python.md): `load_encoder`, `load_model`, `study_scores`.
"""

import os
from pkgutil import resolve_name
from typing import Any

__version__ = "0.1.0"

# Both are read when the library in question is first imported, so they stand here, above every import of ours.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # albumentations asks the network for updates otherwise
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads starve whatever shares the cores

_FUNCTIONS = {  # imported when they are asked for: no command needs them, and torch takes seconds
    "load_encoder": "dermssl.weights.loaded_encoder:load_encoder",
    "load_model": "finetune.predict.loaded_model:load_model",
    "study_scores": "compare.records.study:study_scores",
}


def __getattr__(name: str) -> Any:
    """One of the functions for programs of one's own."""
    if name not in _FUNCTIONS:
        raise AttributeError(f"module 'dermssl' has no attribute {name!r}")
    return resolve_name(_FUNCTIONS[name])


def __dir__() -> list[str]:
    """What the module has, with these functions."""
    return sorted([*globals(), *_FUNCTIONS])
