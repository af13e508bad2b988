"""Which picture file is an image, which one is a mask and whose, and which is neither. By names alone."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dermssl.data.config import ID
from dermssl.data.listing import bare_name
from dermssl.wording import as_text, folded

# Names that masks alone have ...
MASK_FOLDER = re.compile(r"(^|[_\- ])masks?($|[_\- ])|ground[_\- ]?truth|segmentations?($|[_\- ])", re.IGNORECASE)
MASK_ENDING = re.compile(r"_(segmentation|mask)$", re.IGNORECASE)
# ... and names that a photograph can have as well: masks only where an image has the name that is left of them.
LIKELY_FOLDER = re.compile(r"^(gt|labels?|annotations?|lesions?)$", re.IGNORECASE)
WORDS = r"(?:lesion|seg|gt|label|annotation|ground[_\-]?truth|(?:lesion|seg|gt)[_\-]?(?:mask|seg))"
LIKELY_ENDING = re.compile(
    r"^(?:mask[_\-](?P<behind>.+)|(?P<before>.+)(?:[_\-]" + WORDS + r"|-(?:segmentation|mask)))$", re.IGNORECASE
)
# What ISIC's and PH2's archives hold beside them.
NEITHER = re.compile(r"^(?P<image>.+?)_(superpixels|attribute_\w+|R\d+_Label\d+)$", re.IGNORECASE)
WRITTEN_OUT = re.compile(r"\\u(dc[89a-f][0-9a-f])")  # a byte that is no UTF-8, as `as_text` writes it


@dataclass(frozen=True)
class Roles:
    """The picture files of a folder, each in its role."""

    images: tuple[Path, ...]
    mask_of: Mapping[Path, Path]
    """Image -> its mask."""
    orphans: tuple[Path, ...]
    """Masks without an image of their own."""
    neither: tuple[Path, ...]
    """Superpixels, dermoscopic attributes, regions of interest; masks by their names that are not those asked for."""


def roles_of(pictures: Sequence[Path], root: Path, masks: str | None = None) -> Roles:
    """The role of each picture file of a folder.

    Args:
        pictures: The files.
        root: The folder.
        masks: How masks are named: a pattern with `{id}`, of the name or of the end of the path. Names that masks
            alone have then say that a file is no image, and no more.
    """
    if masks is not None:
        named = named_masks(pictures, root, masks)
        images = [path for path in pictures if path not in named and not is_mask(path, root)]
        others = [path for path in pictures if path not in named and is_mask(path, root)]
        mask_of, orphans = pair_masks(images, named)
        return Roles(tuple(images), mask_of, tuple(orphans), tuple(others))
    sure = [path for path in pictures if is_mask(path, root)]
    unsure = [path for path in pictures if not is_mask(path, root)]
    plain = NameIndex(path for path in unsure if not (is_likely_mask(path, root) or NEITHER.match(path.stem)))
    neither = [path for path in unsure if (match := NEITHER.match(path.stem)) and plain.named(match["image"])]
    likely = [path for path in unsure if is_likely_mask(path, root) and any(map(plain.named, image_names(path)))]
    aside = {*neither, *likely}
    images = [path for path in unsure if path not in aside]
    wholly = [path for path in sure if not NEITHER.match(path.stem)]
    neither += [path for path in sure if NEITHER.match(path.stem)]
    mask_of, orphans = pair_masks(images, {path: image_names(path) for path in [*wholly, *likely]})
    return Roles(tuple(images), mask_of, tuple(orphans), tuple(neither))


def is_mask(path: Path, root: Path) -> bool:
    """Whether a picture file has a name that masks alone have: its folder's below `root`, or its own ending."""
    folders = path.relative_to(root).parts[:-1]
    return any(MASK_FOLDER.search(folder) for folder in folders) or bool(MASK_ENDING.search(path.stem))


def is_likely_mask(path: Path, root: Path) -> bool:
    """Whether a picture file has a name that masks have, and photographs can have as well."""
    folders = path.relative_to(root).parts[:-1]
    return any(LIKELY_FOLDER.match(folder) for folder in folders) or bool(LIKELY_ENDING.match(path.stem))


def image_id_of(mask: Path) -> str:
    """The id of the image that a mask file belongs to: `ISIC_0000000_segmentation.png` is that of `ISIC_0000000`."""
    return MASK_ENDING.sub("", mask.stem)


def image_names(mask: Path) -> tuple[str, ...]:
    """What the image of a mask file may be called, the likeliest first: its own name, and without what marks a mask."""
    names = [image_id_of(mask), mask.stem]
    if match := LIKELY_ENDING.match(mask.stem):
        names.append(match["behind"] or match["before"])
    return tuple(dict.fromkeys([*names, *map(bare_name, names)]))  # `A.jpg_mask.png` is that of `A.jpg`


def named_masks(pictures: Sequence[Path], root: Path, pattern: str) -> Mapping[Path, Sequence[str]]:
    """The files that the pattern fits, each with the id that stands in it."""
    before, after = (re.escape(part) for part in pattern.replace("\\", "/").split(ID, 1))
    form = re.compile(rf"(?:^|/){before}(?P<id>[^/]+){after}$", re.IGNORECASE)
    matches = {path: form.search(path.relative_to(root).as_posix()) for path in pictures}
    return {path: (match["id"],) for path, match in matches.items() if match}


class NameIndex:
    """Images by their names without suffix: as they are, else whatever their case."""

    def __init__(self, images: Iterable[Path]) -> None:
        self.exact: defaultdict[str, list[Path]] = defaultdict(list)
        self.folded: defaultdict[str, list[Path]] = defaultdict(list)
        for image in images:
            self.exact[image.stem].append(image)
            self.folded[folded(image.stem)].append(image)

    def named(self, name: str) -> Sequence[Path]:
        """The images of this name."""
        return self.exact.get(name) or self.folded.get(folded(name), [])


def pair_masks(images: Iterable[Path], masks: Mapping[Path, Sequence[str]]) -> tuple[dict[Path, Path], list[Path]]:
    """The mask of each image that has one, and the masks that are left over.

    By name; where several images have it, the mask is that of the one nearest in the tree: `a/masks/1.png` belongs to
    `a/images/1.jpg` and not to `b/images/1.jpg`.

    Args:
        images: The images.
        masks: Mask -> what its image may be called, the likeliest first.
    """
    index = NameIndex(images)
    pairs: dict[Path, Path] = {}
    strays = []
    for mask, names in sorted(masks.items()):
        candidates = next(filter(None, map(index.named, names)), [])
        nearest = max(candidates, key=lambda image: kinship(image, mask), default=None)
        if nearest is None or nearest in pairs:
            strays.append(mask)
        else:
            pairs[nearest] = mask
    return without_strangers(pairs, strays)


def without_strangers(pairs: Mapping[Path, Path], strays: Sequence[Path]) -> tuple[dict[Path, Path], list[Path]]:
    """The pairs without those that lie across two folders with pairs of their own; their masks are left over.

    `clinic B/images/1.png` has no mask, `clinic A/masks/1.png` no image: equal names alone do not make them a pair.
    """
    inside = Counter(folder for image, mask in pairs.items() for folder in folders_around(image, mask))
    apart = {image for image, mask in pairs.items() if any(inside[branch] for branch in branches(image, mask))}
    kept = {image: mask for image, mask in pairs.items() if image not in apart}
    return kept, sorted([*strays, *(pairs[image] for image in apart)])


def folders_around(image: Path, mask: Path) -> list[Path]:
    """The folders that hold both."""
    common = Path(os.path.commonpath([image.absolute().parent, mask.absolute().parent]))
    return [common, *common.parents]


def branches(image: Path, mask: Path) -> list[Path]:
    """The two folders in which an image and its mask part, below the one that holds both; none where they do not."""
    common = folders_around(image, mask)[0]
    parts = [path.absolute().parent.relative_to(common).parts[:1] for path in (image, mask)]
    return [common / part[0] for part in parts if part]


def kinship(image: Path, mask: Path) -> tuple[int, int, int]:
    """How near two files lie in the tree: by the path that they share, then by folders of one name, in their places."""
    shared = len(os.path.commonpath([image.absolute(), mask.absolute()]))
    places = zip(image.parts[:-1], mask.parts[:-1], strict=False)
    in_place = sum(of_image == of_mask for of_image, of_mask in places)
    return shared, in_place, len(set(image.parts) & set(mask.parts))


def below(path: Path, root: Path) -> str:
    """The path below `root`, or as it is where it lies elsewhere, as text; `file_at` leads back to the file."""
    return as_text(str(path.relative_to(root)) if path.is_relative_to(root) else str(path))


def file_at(root: Path, place: str) -> Path:
    """The file that `below` gave."""
    path = root / place
    if not WRITTEN_OUT.search(place) or path.exists():
        return path
    return root / WRITTEN_OUT.sub(lambda byte: chr(int(byte[1], 16)), place)
