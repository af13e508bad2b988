"""The options of an ensemble."""

from dataclasses import dataclass
from pathlib import Path

from finetune.predict_config import PredictOptions


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(PredictOptions):
    """Masks of new images by several networks: the mean of their probabilities, with equal weights."""

    models: tuple[Path, ...]
    """Run folders, or files, as of `python -m finetune.predict`; encoders, decoders, sizes and data may differ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.models:
            raise ValueError("--models takes one run folder or more, got none")
