"""The options of the kit."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermssl.bounds import above_zero

PARTS = ("right", "pretraining", "finetuning", "prediction")


@dataclass(frozen=True, kw_only=True)
class GpuKitConfig:
    """Checks this toolkit on an NVIDIA GPU: are its results right there, and how fast do they come?

    It draws its own images and needs no network. Tables are written to --out after each part.
    """

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m benchmarks.gpu --out runs/gpu",
        "python -m benchmarks.gpu --out runs/gpu --parts right",
    )

    out: Path = Path("runs/gpu")
    """Folder that gets gpu.md and gpu.json."""
    minutes: float = 9.0
    """Time for all parts together; what does not fit is left out, and the tables say so."""
    parts: tuple[str, ...] = PARTS
    """Parts to do: right (tests), pretraining, finetuning, prediction (images per second)."""
    tiny: bool = False
    """Tiny networks and images, on the CPU where there is no GPU: shows that the kit works, and measures nothing."""

    def __post_init__(self) -> None:
        above_zero(self, "minutes")
        strange = [part for part in self.parts if part not in PARTS]
        if strange or not self.parts:
            raise ValueError(f"--parts takes some of {' '.join(PARTS)}, got {' '.join(strange) or 'none'}")
