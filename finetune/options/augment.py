"""The options of what the network gets to see."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dermssl.bounds import sides
from dermssl.errors import shown
from dermssl.wording import spelling_hint

Padding = Literal["skin", "black", "reflect", "edge", "none"]
FitName = Literal["resize", "letterbox", "crop"]
PRESETS = ("none", "light", "dermoscopy", "strong")


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How pictures become squares, and what augmentation makes of them."""

    GROUP: ClassVar[str] = "augmentation"

    image_size: int = 256
    """Side of the network's input, pixels. Scores are at each image's native size."""
    fit: FitName = "resize"
    """How a picture becomes a square: resize gives its aspect up, letterbox keeps it and fills what is missing as --padding says, crop shows the middle square alone and calls the rest skin."""  # noqa: E501
    cache_size: int = 512
    """Shorter side of the pictures that training reads, pixels; larger ones are shrunk once and kept."""
    augmentation: str = "dermoscopy"
    """none, light: the eight symmetries of the square, dermoscopy: these with turns, zoom, shifts and mild colour, strong: more of each with bending, blur, noise and hair-like lines, or a YAML file of albumentations."""  # noqa: E501
    padding: Padding = "skin"
    """What fills corners that a turn uncovers: skin is the median colour of the picture's rim; reflect mirrors lesions into being and edge smears them; none turns by zooming in."""  # noqa: E501

    def __post_init__(self) -> None:
        sides(self, "image_size", least=32)  # which sizes divide, the network says
        sides(self, "cache_size")
        if self.augmentation not in PRESETS and not self.augmentation.endswith((".yaml", ".yml")):
            raise ValueError(
                f"--augmentation is one of {', '.join(PRESETS)} or a YAML file of albumentations, got "
                f"{shown(self.augmentation)}{spelling_hint(self.augmentation, PRESETS)}"
            )
