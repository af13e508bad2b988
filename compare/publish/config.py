"""The options of publishing results."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """Write the pages, figures and findings of the documents anew from the studies that are kept in docs/results."""

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m compare.publish",)

    root: Path = Path()
    """Folder that holds README.md and docs/results."""
