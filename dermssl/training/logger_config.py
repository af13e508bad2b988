"""The option of the loggers that follow a training."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar, Literal

from dermssl.errors import UserError

LoggerName = Literal["tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class LoggerConfig:
    """Where a training is followed beside its run folder."""

    GROUP: ClassVar[str] = "output"

    logger: tuple[LoggerName, ...] = ()
    """Loggers that get every row of metrics.csv, the options and the figures: tensorboard, wandb, mlflow, or several of them."""  # noqa: E501


def need_loggers(names: Collection[LoggerName]) -> None:
    """Stops before any work where the package of a logger is not installed.

    Raises:
        UserError: With what installs it, a line each.
    """
    faults = [
        f"--logger {name}: the package {name} is not installed; type pip install 'dermssl[{name}]', or leave it out"
        for name in dict.fromkeys(names)
        if (spec := find_spec(name)) is None or spec.origin is None  # a folder that W&B left is a package of its name
    ]
    if faults:
        raise UserError(*faults)
