"""The options of `python -m dermssl synthesize`; torch-free."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermssl.bounds import at_least, processes, whole_seeds

LABELLED_COUNT, UNLABELLED_COUNT = 400, 1000  # images of the sets that commands draw where there are no others
SIDE = 192  # pixels


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig:
    """Draw dermoscopy-like images with masks, in the folders and names of ISIC 2018 Task 1."""

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m dermssl synthesize --out drawn --count 100",)

    out: Path
    """Folder to write the images to; it must not exist yet, or be empty."""
    count: int = LABELLED_COUNT
    """How many images to draw."""
    size: int = SIDE
    """Side of the square images, pixels."""
    seed: int = 0
    """Another seed draws other images; a larger count with the same seed adds images and changes none."""
    masks: bool = True
    """Whether to write a mask of the lesion for each image; images without masks serve to pretrain on."""
    workers: int = 1
    """Processes that draw at the same time; the images are the same for any number."""

    def __post_init__(self) -> None:
        at_least(self, 1, "count", "workers")
        processes(self, "workers")
        whole_seeds(self, "seed")
        if not 32 <= self.size <= 4096:
            raise ValueError(f"--size lies between 32 and 4096 pixels, got {self.size}")
