"""The options of `python -m dermssl synthesize`; torch-free."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SynthesizeConfig:
    """Draw dermoscopy-like images with masks, in the folders and names of ISIC 2018 Task 1."""

    out: Path
    """Folder to make; one that exists is left alone and refused."""
    count: int = 400
    """Images."""
    size: int = 192
    """Side, pixels."""
    seed: int = 0
    """Image i of a seed is the same whatever the count."""
    masks: bool = True
    """Whether to write masks; without them it is an unlabelled pool."""
    workers: int = 1
    """Processes; the files are the same for any number."""

    def __post_init__(self) -> None:
        if self.count < 1 or self.workers < 1:
            raise ValueError(f"--count and --workers must be at least 1, got {self.count} and {self.workers}")
        if not 32 <= self.size <= 4096:
            raise ValueError(f"--size lies between 32 and 4096 pixels, got {self.size}")
