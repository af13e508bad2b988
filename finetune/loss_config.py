"""The options of the loss."""

from dataclasses import dataclass
from typing import Literal

Over = Literal["image", "batch"]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """What training lowers."""

    loss: str = "dice+bce"
    """A loss or a weighted sum of several, such as dice+0.5*bce."""
    loss_over: Over = "image"
    """What a loss that counts pixels is taken over: each image, then averaged, or the whole batch as one picture."""

    def __post_init__(self) -> None:
        """Refuses what is no sum of losses."""
