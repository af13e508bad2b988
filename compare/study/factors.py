"""The factors of a study: what may vary from run to run, and how a level of each is said."""

from collections.abc import Mapping
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Literal

FACTORS = (
    "init", "method", "encoder", "decoder", "decoder_init", "loss", "lr", "image_size", "padding", "augmentation",
    "label_fraction", "fold", "seed",
)  # fmt: skip
NUMBERS = frozenset({"lr", "image_size", "label_fraction", "fold", "seed"})
OPTIONAL = ("decoder_init", "loss", "lr", "image_size", "padding", "augmentation", "fold")
"""Factors only where a study lists levels of them; else they are as the file of fixed options says."""
Arms = Literal["init", "encoder", "decoder", "decoder_init", "loss", "lr", "image_size", "padding", "augmentation"]
"""Factors whose levels can be compared. A method belongs to an init; over fractions, folds and seeds is averaged."""

PLAN_COLUMNS = [
    "id", "stage", "name", "hash", "state", "attempts", "seconds", "memory_mb", "host", "started", *FACTORS, "folder",
    "error",
]  # fmt: skip
"""The columns of plan.csv: the ledger writes them, tables and status read them."""

Level = str | int | float | None


def level(factor: str, value: Level) -> str:
    """A level as a person says it where its factor is known: `96 px`, `10 %`, `0.001`, `unet`.

    An encoder file is called by its name, or by its folder's where it is named as all are: `moco/encoder.safetensors`;
    a recipe of pretraining by its file's name.
    """
    if value is None or value == "" or (isinstance(value, float) and isnan(value)):
        return ""
    if factor == "init" and str(value).endswith(".safetensors"):
        path = Path(str(value))
        return path.parent.name if path.stem == "encoder" else path.stem
    if factor == "method" and is_recipe_file(str(value)):
        return Path(str(value)).stem
    if factor == "label_fraction":
        return f"{100 * float(value):.3g} %"
    if factor == "lr":
        return f"{Decimal(f'{float(value):g}'):f}"  # 0.00003 and not 3e-05, as a person types it
    number = f"{float(value):g}" if factor in NUMBERS else str(value)
    return f"{number} px" if factor == "image_size" else number


def is_recipe_file(method: str) -> bool:
    """Whether a level of `method` names a YAML file of options, and not a method."""
    return method.endswith((".yaml", ".yml"))


def phrase(factor: str, value: Level) -> str:
    """A level as a person says it among others: `on resnet18`, `lr 0.001`, `padding skin`, `10 % of labels`."""
    word = level(factor, value)
    forms = {
        "init": "from {}", "encoder": "on {}", "decoder_init": "{} decoder", "lr": "lr {}", "padding": "padding {}",
        "augmentation": "augmentation {}", "label_fraction": "{} of labels", "fold": "fold {}", "seed": "seed {}",
    }  # fmt: skip
    return forms.get(factor, "{}").format(word) if word else ""


def arm_label(arms: str, factors: Mapping[str, Level], several_methods: bool) -> str:
    """What an arm is called: the level of the factor that is compared, with its method where an init has several."""
    word = level(arms, factors[arms])
    method = factors.get("method")
    return f"{word} ({method})" if arms == "init" and several_methods and method else word
