"""The options of prediction."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class PredictConfig:
    """Masks of new images, by the network of a finished run."""

    model: Path
    """Run folder of `python -m finetune`, or its model.safetensors."""
    images: Path
    """Folder of images, searched to any depth."""
    out: Path
    """Folder to write NAME_segmentation.png into, 0 and 255, of each image's own size."""
    threshold: float = 0.5
    """Probability above which a pixel is lesion."""
    batch_size: int = 16
    """Images at once."""
    threads: int = 0
    """CPU threads; 0 takes all cores."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"--threshold is a probability in (0, 1), got {self.threshold}")
        if self.batch_size < 1 or self.threads < 0:
            raise ValueError(
                f"--batch_size must be at least 1 and --threads not negative, got {self.batch_size} and {self.threads}"
            )
