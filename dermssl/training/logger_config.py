"""The option of the loggers that follow a training."""

from dataclasses import dataclass
from typing import ClassVar, Literal

LoggerName = Literal["tensorboard", "wandb", "mlflow"]


@dataclass(frozen=True, kw_only=True)
class LoggerConfig:
    """Where a training is followed beside its run folder."""

    GROUP: ClassVar[str] = "output"

    logger: tuple[LoggerName, ...] = ()
    """Loggers that get every row of metrics.csv, the options and the figures: tensorboard, wandb, mlflow, or several of them."""  # noqa: E501
