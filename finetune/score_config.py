"""The options of how probabilities become masks."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """How probabilities become the masks that are scored."""

    threshold: float = 0.5
    """Probability above which a pixel is lesion."""
    threshold_search: bool = False
    """Find the threshold on --inner_fraction of the training images, in place of --threshold."""
    symmetries: bool = False
    """Average the probabilities of the eight symmetries of the picture (test-time augmentation): eight times slower."""
    largest: bool = False
    """Keep the largest region of each mask alone."""
    fill_holes: bool = False
    """Make skin that a lesion encloses a part of it."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"--threshold is a probability in (0, 1), got {self.threshold}")
