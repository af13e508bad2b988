"""How data sets lie on disk: which mask belongs to which image, what an image is called, which official part it is."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from dermssl.data.masks import image_id_of
from dermssl.errors import UserError, first_ten

PART = {  # official part -> how a folder says so: ISIC2018_Task1-2_Training_Input, ISIC-2017_Test_v2_Data, train
    "train": re.compile(r"(^|[_\-])train(ing)?($|[_\-])", re.IGNORECASE),
    "validation": re.compile(r"(^|[_\-])val(idation)?($|[_\-])", re.IGNORECASE),
    "test": re.compile(r"(^|[_\-])test($|[_\-])", re.IGNORECASE),
}


def pair_masks(images: Sequence[Path], masks: Sequence[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """The mask of each image that has one, and the masks that are left over.

    By name; where several images have it, the mask is that of the one nearest in the tree: `a/masks/1.png` belongs to
    `a/images/1.jpg` and not to `b/images/1.jpg`.
    """
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_name[image.stem].append(image)
    pairs: dict[Path, Path] = {}
    strays = []
    for mask in masks:
        candidates = by_name.get(image_id_of(mask), [])
        nearest = max(candidates, key=lambda image: kinship(image, mask), default=None)
        if nearest is None or nearest in pairs:
            strays.append(mask)
        else:
            pairs[nearest] = mask
    return pairs, strays


def kinship(image: Path, mask: Path) -> tuple[int, int]:
    """How near two files lie in the tree: by the path that they share, then by folders of one name."""
    return len(os.path.commonpath([image.absolute(), mask.absolute()])), len(set(image.parts) & set(mask.parts))


def ids_of(images: Sequence[Path], root: Path) -> list[str]:
    """File names without suffix where these tell the images apart, else paths below `root` without suffix."""
    stems = [path.stem for path in images]
    if len(set(stems)) == len(stems):
        return stems
    ids = [str(path.relative_to(root).with_suffix("")) for path in images]
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise UserError(
            f"{root}: two images have the same name without its ending ({first_ten(twice)}); "
            "rename or remove one of each"
        )
    return ids


def part_of(image: Path, root: Path) -> str:
    """The official part, train, validation or test, that the folders of `image` below `root` name; else nothing."""
    folders = image.relative_to(root).parts[:-1]
    return next((part for part, wording in PART.items() if any(wording.search(folder) for folder in folders)), "")
