"""The options of a search of the learning rate: one arm in one setting at one label fraction."""

from dataclasses import dataclass
from pathlib import Path

from finetune.options.config import FinetuneConfig


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Fine-tunings that are scored on inner training images, to find the learning rate of the true ones."""

    tuning: FinetuneConfig
    """What is fine-tuned; its rate and seed are replaced."""
    strategy: str
    """grid or optuna."""
    rates: tuple[float, ...]
    """Learning rates of the grid, or the lowest and the highest for optuna."""
    trials: int
    """Rates that optuna tries; a grid tries its own."""
    seeds: tuple[int, ...]
    """Seeds that every rate is tried with."""
    folder: Path
    """Where trials and the best rate are kept: `search` in the study folder, a folder for each search."""
    threads: int = 0
    """CPU threads."""
