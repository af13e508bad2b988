"""The options of how probabilities become masks, and of whose are scored."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from dermssl.bounds import share


@dataclass(frozen=True, kw_only=True)
class ScoreConfig:
    """Which images are scored, and how probabilities become their masks."""

    GROUP: ClassVar[str] = "scoring"

    score_on: Literal["held_out", "inner"] = "held_out"
    """Images to score: held_out, or inner, which is --inner_fraction of the training images, set aside. For a choice on the training side: no held-out image is looked at, and no network is kept."""  # noqa: E501

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
        share(self, "threshold", interval="(0, 1)", noun="probability")
