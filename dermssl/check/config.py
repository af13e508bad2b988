"""The options of `python -m dermssl check`; torch-free."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dermssl.bounds import at_least
from dermssl.data.config import Reading


@dataclass(frozen=True, kw_only=True)
class CheckConfig(Reading):
    """Look a data set over: a table of findings, a JSON file, and a page with a thumbnail of each."""

    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m dermssl check data/isic2018",
        "python -m dermssl check data/isic2018 --fix data/cleaned",
    )

    data: Path
    """Folder of images, with or without masks, or a CSV of their paths."""
    split: Path | None = None
    """Split file to look for lesions on both sides of; the parts that the folders name by default."""
    fix: Path | None = None
    """Folder to write a cleaned copy into, with a list of what was done; the data set itself is never touched."""
    thumbnails: int = 100
    """Most pictures to show of a kind of finding; all findings stand in findings.csv."""
    out: Path = Path("runs/check")
    """Folder of reports."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 0, "thumbnails")
