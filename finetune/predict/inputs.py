"""The pictures of a prediction: which they are, and what is read of each, or why it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dermssl.data.decoding import decode, rgb
from dermssl.data.folders import ids_of
from dermssl.data.images import Pixels, shrink
from dermssl.data.listing import NOTHING, SUFFIXES, PassedOver, list_folder
from dermssl.data.roles import below, roles_of
from dermssl.errors import UserError
from finetune.augmentation.fit import Fit


class InputPicture(NamedTuple):
    """A picture to predict."""

    path: Path
    name: str
    """What its mask is called: the file's name without suffix, or its path where two folders hold one name."""


class Preprocessing(NamedTuple):
    """What becomes of a picture before a network sees it."""

    fit: Fit
    cache_size: int | None
    """Shorter side that larger pictures are shrunk to first, as they were for training; None for none."""


class InputSquares(NamedTuple):
    """A picture that was read: its size, and the square that each network sees of it."""

    picture: InputPicture
    height: int
    """Height of the upright picture, pixels."""
    width: int
    """Width of the upright picture, pixels."""
    squares: tuple[Pixels, ...]
    """The picture as each network sees it, (S, S, 3)."""


@dataclass(frozen=True)
class DamagedPicture:
    """A picture that cannot be read."""

    picture: InputPicture
    reason: str


@dataclass(frozen=True)
class InputPictures:
    """The pictures to predict, and the files that are passed over."""

    pictures: tuple[InputPicture, ...]
    passed_over: PassedOver


def pictures_in(images: Path, out: Path) -> InputPictures:
    """The pictures of a folder at any depth, or the single one; what lies in `out` is left aside.

    No name alone makes a file a mask here: those are passed over that are the mask of a picture beside them.

    Raises:
        UserError: If there is none, or two would have one mask's name.
    """
    if images.is_file():
        if images.suffix.lower() not in SUFFIXES:
            raise UserError(
                f"--images {images}: its name does not end as a picture's (a CSV of paths is for --data); give a "
                f"folder, or a {' '.join(SUFFIXES)}"
            )
        return InputPictures((InputPicture(images, images.stem),), NOTHING)
    if out.resolve() == images.resolve():
        raise UserError(f"--out {out}: this is the folder of the images; give the masks a folder of their own")
    listing = list_folder(images)
    files = [path for path in listing.pictures if not path.resolve().is_relative_to(out.resolve())]
    roles = roles_of(files, images)
    paths = sorted([*roles.images, *roles.orphans])
    if not paths:
        raise UserError(f"--images {images}: holds no images but those in --out {out}; give a folder of images")
    aside = sorted([*roles.mask_of.values(), *roles.neither])
    passed_over = listing.passed_over.also("masks of pictures here", [below(path, images) for path in aside])
    pictures = [InputPicture(path, name) for path, name in zip(paths, ids_of(paths, images), strict=True)]
    return InputPictures(tuple(pictures), passed_over)


def read_squares(picture: InputPicture, preprocessings: Sequence[Preprocessing]) -> InputSquares | DamagedPicture:
    """The picture as each network's square, decoded as for training; or what is wrong with it."""
    sizes = sorted({preprocessing.cache_size or 0 for preprocessing in preprocessings})
    try:
        data = picture.path.read_bytes()
        shrunk = {size: shrunk_picture(data, size or None) for size in sizes}
    except OSError as error:
        return DamagedPicture(picture, error.strerror or str(error))
    squares = tuple(view.fit.square(shrunk[view.cache_size or 0].pixels) for view in preprocessings)
    return InputSquares(picture, shrunk[sizes[0]].height, shrunk[sizes[0]].width, squares)


class ShrunkPicture(NamedTuple):
    """A picture as a cache holds it, and its size before."""

    pixels: Pixels
    height: int
    width: int


def shrunk_picture(data: bytes, short_side: int | None) -> ShrunkPicture:
    """The picture (H, W, 3), its shorter side at most `short_side`: the pixels that a cache holds of it."""
    stored = decode(data, short_side)
    pixels = rgb(stored)
    return ShrunkPicture(pixels if short_side is None else shrink(pixels, short_side), stored.height, stored.width)
