"""The options of `python -m dermssl download`, a class for each data set; torch-free."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dermssl.bounds import at_least

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Isic2018Config:
    """Download ISIC 2018 Task 1: photographs and lesion masks, in the folders of the challenge."""

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m dermssl download isic2018 --yes",)

    name: Literal["isic2018"] = "isic2018"
    """The data set; its name may stand without --name."""
    parts: str = "train"
    """Any of train (2594 images), validation (100) and test (1000), with commas."""
    out: Path = Path("data/isic2018")
    """Folder to put the challenge's folders in; finetune looks there by default."""
    yes: bool = False
    """Whether to fetch more than 1 GB without asking."""

    def __post_init__(self) -> None:
        strangers = [part for part in self.parts.split(",") if part not in PARTS]
        if strangers:
            raise ValueError(f"--parts are any of {','.join(PARTS)}; got '{self.parts}'")


@dataclass(frozen=True, kw_only=True)
class Ham10000Config:
    """Download HAM10000: 10015 photographs with lesion ids and diagnoses, without masks."""

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m dermssl download ham10000 --yes",)

    name: Literal["ham10000"] = "ham10000"
    """The data set; its name may stand without --name."""
    out: Path = Path("data/ham10000")
    """Folder to put the images and metadata.csv in."""
    yes: bool = False
    """Whether to fetch more than 1 GB without asking."""


@dataclass(frozen=True, kw_only=True)
class IsicArchiveConfig:
    """Download images of the ISIC Archive with their metadata, through the archive's own isic-cli."""

    EXAMPLES: ClassVar[tuple[str, ...]] = ("python -m dermssl download isic-archive --limit 1000",)

    name: Literal["isic-archive"] = "isic-archive"
    """The data set; its name may stand without --name."""
    limit: int
    """Images to fetch."""
    search: str = ""
    """Query in the archive's language, such as 'diagnosis_3:"Melanoma Invasive"'; all images by default."""
    out: Path = Path("data/unlabelled")
    """Folder to put images and metadata.csv in; pretrain looks there by default."""
    yes: bool = False
    """Whether to fetch more than 1 GB without asking."""

    def __post_init__(self) -> None:
        at_least(self, 1, "limit")


DownloadConfig = Isic2018Config | Ham10000Config | IsicArchiveConfig
DOWNLOADS: dict[str, type[DownloadConfig] | str] = {
    "isic2018": Isic2018Config, "ham10000": Ham10000Config, "isic-archive": IsicArchiveConfig,
}  # fmt: skip
