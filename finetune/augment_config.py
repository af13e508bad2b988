"""The options of what the network gets to see."""

from dataclasses import dataclass
from typing import Literal

Padding = Literal["skin", "black", "reflect", "edge", "none"]
FitName = Literal["resize", "letterbox", "crop"]


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How pictures become squares, and what augmentation makes of them."""

    image_size: int = 256
    """Side of the network's input, pixels. Scores are at each image's native size."""
    fit: FitName = "resize"
    """How a picture becomes a square: resize gives its aspect up, letterbox fills what is missing, crop cuts the middle."""  # noqa: E501
    cache_size: int = 512
    """Shorter side of the pictures that training reads, pixels; larger ones are shrunk once and kept."""
    augmentation: str = "dermoscopy"
    """none, light: the eight symmetries of the square, dermoscopy: these with turns, zoom, shifts and mild colour, strong, or a YAML file of albumentations."""  # noqa: E501
    padding: Padding = "skin"
    """What fills corners that a turn uncovers; reflect mirrors lesions into being, none turns by zooming in."""

    def __post_init__(self) -> None:
        if self.image_size % 32 or self.image_size < 32:
            raise ValueError(f"--image_size must be a multiple of 32, got {self.image_size}")
        if self.cache_size < 1:
            raise ValueError(f"--cache_size is a number of pixels, got {self.cache_size}")
