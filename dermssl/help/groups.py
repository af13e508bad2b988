"""The group of the help that an option stands in, by the class of options that declares it.

A class says `GROUP`, the group of all that it declares; or `REST`, that of what the table below does not place. `BELOW`
is the group of what its subclasses declare that say neither. Without any of these a command has one list of options.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

ALONE, METHOD = "options", "method"
GROUPS = (
    ALONE, METHOD, "study", "factors", "weights", "data", "network", "augmentation", "training", "scoring", "masks",
    "features", "output", "machine",
)  # fmt: skip
"""In the order of the help."""
MEMBERS = {
    "method": ("method",),
    "weights": ("init", "encoder", "checkpoints", "against", "model", "models"),
    "data": ("data", "images", "unlabelled", "labels", "limit", "label_fraction", "protect", "on_leak"),
    "augmentation": ("augmentation", "views", "padding", "solarise", "colour", "image_size", "cache_size", "fit"),
    "output": ("out", "runs", "resume"),
    "machine": ("threads", "workers", "precision", "device"),
}
"""Options of the same name in several commands, whose classes hold options of many kinds."""
GROUP_BY_NAME = {name: group for group, names in MEMBERS.items() for name in names}


def group_of(config: type[Any], option: str) -> str:
    """The group that an option of a command stands in.

    Args:
        config: The command's class of options.
        option: One of its fields; it counts as declared by the class that was the first to have it.
    """
    home = [ancestor for ancestor in config.__mro__ if option in vars(ancestor).get("__annotations__", {})][-1]
    words: Mapping[str, Any] = vars(home)
    if "GROUP" in words:
        return str(words["GROUP"])
    if "REST" in words:
        return GROUP_BY_NAME.get(option, str(words["REST"]))
    return str(next((vars(ancestor)["BELOW"] for ancestor in home.__mro__ if "BELOW" in vars(ancestor)), ALONE))


def grouped(config: type[Any]) -> dict[str, list[str]]:
    """The options of a command by their groups, both in the order of the help: usual ones stand first."""
    usual = usual_options(config)
    names = [field.name for field in dataclasses.fields(config)]
    names = [*usual, *(name for name in names if name not in usual)]
    groups = {group: [name for name in names if group_of(config, name) == group] for group in GROUPS}
    return {group: members for group, members in groups.items() if members}


def usual_options(config: type[Any]) -> list[str]:
    """The options that `--help` shows: those that `USUAL` names, and those that a method alone has; else all."""
    names = [field.name for field in dataclasses.fields(config)]
    usual: tuple[str, ...] = getattr(config, "USUAL", ())
    if not usual:
        return names
    return [*usual, *(name for name in names if name not in usual and group_of(config, name) == METHOD)]
