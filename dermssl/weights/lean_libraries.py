"""timm and segmentation-models-pytorch, imported without what no network needs.

timm imports wandb wherever that is installed: two of the seconds that every command took to begin.
"""

import sys
from typing import Any

_modules: dict[str, Any] = sys.modules  # None in it says that there is no such module, which timm takes well
_hidden = "wandb" not in _modules and "timm" not in _modules
if _hidden:
    _modules["wandb"] = None
try:
    import segmentation_models_pytorch as smp
    import timm
finally:
    if _hidden:
        del _modules["wandb"]

__all__ = ["smp", "timm"]
