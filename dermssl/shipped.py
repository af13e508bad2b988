"""The configs that come with the code: beside its packages in a checkout, inside of one where it was installed."""

import os
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent / "configs"

# Other packages may have a folder of this name beside ours where they are installed.
CONFIGS = _CHECKOUT if (_CHECKOUT.parent / "pyproject.toml").is_file() else _PACKAGE / "configs"


def shipped_file(path: Path) -> Path:
    """The file itself, or, where `configs/...` is meant and there is none in the current folder, the one shipped."""
    if path.parts[:1] != ("configs",) or os.path.lexists(path):
        return path
    shipped = CONFIGS.joinpath(*path.parts[1:])
    return shipped if shipped.is_file() else path
