"""The options of the preview of augmentation."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

from dermssl.bounds import at_least, whole_seeds
from dermssl.data.config import Reading
from finetune.options.augment import AugmentConfig, FitName, Padding


@dataclass(frozen=True, kw_only=True)
class PreviewConfig(Reading):
    """What training would see of a data set, drawn without training, and how much lesion the padding invents."""

    REST: ClassVar[str] = "augmentation"
    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m finetune.preview --augmentation strong",)

    data: Path | None = None
    """Folder of images and masks. By default data/isic2018 where it exists, else the synthetic set."""
    out: Path = Path("augmentation.png")
    """The figure to write."""
    augmentation: str = "dermoscopy"
    """none, light, dermoscopy, strong, or a YAML file of albumentations."""
    padding: Literal["all", "skin", "black", "reflect", "edge", "none"] = "all"
    """What fills corners that a turn uncovers; all shows every padding beside the others."""
    fit: FitName = "resize"
    """How a picture becomes a square: resize, letterbox or crop."""
    image_size: int = 256
    """Side of the network's input, pixels."""
    cache_size: int = 512
    """Shorter side of the pictures that are read, pixels."""
    draws: int = 1000
    """Pictures over which invented lesions are counted."""
    seed: int = 0
    """Seed of the draws: the pictures are those of a training with this seed on all of these images."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.augmentation_under("skin")
        at_least(self, 1, "draws")
        whole_seeds(self, "seed")
        if self.out.suffix != ".png":
            raise ValueError(f"--out is a PNG file, got '{self.out}'; end it in .png")

    @property
    def paddings(self) -> tuple[Padding, ...]:
        """The paddings to show."""
        every: tuple[Padding, ...] = get_args(Padding)
        return every if self.padding == "all" else (self.padding,)

    def augmentation_under(self, padding: Padding) -> AugmentConfig:
        """The options of a training that augments with this padding and otherwise as the preview."""
        return AugmentConfig(
            image_size=self.image_size,
            cache_size=self.cache_size,
            fit=self.fit,
            augmentation=self.augmentation,
            padding=padding,
        )
