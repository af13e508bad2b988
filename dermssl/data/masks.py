"""Reading masks: which files are masks, whose they are, and that they say lesion or skin and nothing between."""

import re
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels

MASK_FOLDER = re.compile(r"(^|[_\- ])masks?($|[_\- ])|ground[_\- ]?truth|segmentations?($|[_\- ])", re.IGNORECASE)
MASK_ENDING = re.compile(r"_(segmentation|mask)$", re.IGNORECASE)
OTHER_ENDING = re.compile(r"_(superpixels|attribute_\w+)$", re.IGNORECASE)


def is_mask(path: Path, root: Path) -> bool:
    """Whether a picture file is a mask: by its folder's name below `root`, or by the ending of its own name."""
    folders = path.relative_to(root).parts[:-1]
    return any(MASK_FOLDER.search(folder) for folder in folders) or bool(MASK_ENDING.search(path.stem))


def image_id_of(mask: Path) -> str:
    """The id of the image that a mask file belongs to: `ISIC_0000000_segmentation.png` is that of `ISIC_0000000`."""
    return MASK_ENDING.sub("", mask.stem)


def read_values(path: Path) -> Pixels | None:
    """A mask's stored grey values, (H, W), upright by its EXIF orientation; None where the file is no picture.

    A colour file is read as grey: an RGBA or RGB mask whose channels agree keeps its two values.
    """
    data = np.fromfile(path, np.uint8)
    values = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE) if len(data) else None  # OpenCV stops at an empty file
    return None if values is None else values.astype(np.uint8, copy=False)


def distinct(values: Pixels) -> list[int]:
    """The grey values that occur, rising."""
    return np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist()


def mask_problem(values: Pixels) -> str | None:
    """What keeps these values from being a mask, or None: zero and one other value are all that is allowed."""
    levels = distinct(values)
    if len(levels) <= 1 or (len(levels) == 2 and levels[0] == 0):
        return None
    first = ", ".join(map(str, levels[:4])) + (", ..." if len(levels) > 4 else "")
    return f"mask has {len(levels)} values ({first}); a mask has two, 0 for skin and 255 for lesion"


def read_mask(path: Path) -> NDArray[np.bool_]:
    """The lesion as (H, W) booleans; checked by the manifest beforehand, so that a failure here is a changed file."""
    values = read_values(path)
    if values is None:
        raise OSError(f"{path}: the mask was readable when the data set was looked over and is not any more")
    return values > 0


def regions(mask: NDArray[np.bool_]) -> int:
    """How many separate regions the lesion has, pixels that touch by a corner counted together."""
    return int(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0]) - 1


def holes(mask: NDArray[np.bool_]) -> int:
    """How many separate regions of skin the lesion encloses; skin that touches the frame is outside."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    return int(cv2.connectedComponents(outside, connectivity=4)[0]) - 2  # the ground and the outside are none


def border_share(mask: NDArray[np.bool_]) -> float:
    """The lesion's share of the pixels at the frame, in [0, 1]; 0 where it lies wholly inside."""
    rim = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return float(rim.mean())
