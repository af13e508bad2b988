"""What an exhibit is: the files of one odd data set, and what must come of reading it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (H, W, 3) RGB
Lesion = NDArray[np.bool_]  # (H, W)

PLACE = b"@PLACE@"  # in a table: the folder that the exhibit is drawn into, for paths that start at the root


@dataclass(frozen=True)
class Read:
    """The set is read, and fine-tuning would start on it."""

    pixels: Mapping[str, Pixels]
    """Every image of the set by its id, upright."""
    lesions: Mapping[str, Lesion] = field(default_factory=dict)
    """The lesion of every image that has a mask."""
    notes: tuple[str, ...] = ()
    """Patterns, each of which one of the sentences said must hold."""
    metadata: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Columns of the manifest that must hold these words: lesion_id, patient_id, label, part."""
    findings: tuple[str, ...] = ()
    """Kinds of findings that a check must make of the odd image."""
    near: int = 0
    """Grey values by which the odd image may be off: two decoders of JPEG do not agree to the last bit."""


@dataclass(frozen=True)
class Refused:
    """The set, or one image of it, is refused in a sentence."""

    sentence: tuple[str, ...]
    """Patterns that the sentence must hold."""
    kind: str
    """`set` where nothing can start, else the fault of the odd image's row."""
    masks_only: bool = False
    """Whether pretraining and prediction would still read the pictures."""


@dataclass(frozen=True)
class Exhibit:
    """One odd data set as a stranger hands it over."""

    name: str
    files: Mapping[str, bytes]
    """Path below the folder -> content."""
    outcome: Read | Refused
    data: str = ""
    """What to give as --data, below the folder; the folder itself by default."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Path below the folder -> what the symbolic link there points to."""
    masks: str | None = None
    """The option --masks."""
    lesion_value: float | None = None
    """The option --lesion_value."""
    odd: str = "ISIC_0000005"
    """Id of the image that everything is about."""
    pair: tuple[str, str] | None = None
    """The odd image and its mask as they may join another data set; None where the oddness is not theirs alone."""
    predicted: tuple[str, ...] | None = None
    """Pictures that a prediction takes, as paths below the set, where those are not the images of a training."""

    def draw(self, folder: Path) -> Path:
        """Writes the exhibit into an empty folder; returns what to give as --data."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.replace(PLACE, bytes(folder)) if path.suffix == ".csv" else content)
        for name, target in self.links.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(target)
        return folder / self.data


def gather_pairs(exhibits: tuple[Exhibit, ...], folder: Path) -> tuple[Exhibit, ...]:
    """Writes every odd image that can be read, with its mask, into one set whose ids are `gathered_id`'s.

    Returns:
        The exhibits that joined, each of whose `outcome` holds the pixels and the lesion of its image.
    """
    joined = tuple(exhibit for exhibit in exhibits if exhibit.pair and isinstance(exhibit.outcome, Read))
    for exhibit in joined:
        assert exhibit.pair is not None
        for kind, path in zip(("images", "masks"), exhibit.pair, strict=True):
            copy = folder / kind / f"{gathered_id(exhibit)}{Path(path).suffix}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(exhibit.files[path])
    return joined


def gathered_id(exhibit: Exhibit) -> str:
    """Id of the odd image among all that are gathered: `mask_a.png` would be taken for the mask of `a.png`."""
    return f"zoo_{exhibit.name}"
