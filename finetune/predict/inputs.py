"""The pictures of a prediction: which they are, and what is read of each, or why it cannot be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2

from dermssl.data.folders import ids_of
from dermssl.data.images import SUFFIXES, Pixels, find_pictures, read_rgb, reduction, shrink, verify
from dermssl.data.masks import OTHER_ENDING, is_mask
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


def pictures_in(images: Path, out: Path) -> list[InputPicture]:
    """The pictures of a folder at any depth, masks and what lies in `out` left aside, or the single one.

    Raises:
        UserError: If there is none, or two would have one mask's name.
    """
    if images.is_file():
        if images.suffix.lower() not in SUFFIXES:
            raise UserError(
                f"--images {images}: its name does not end as a picture's; give a folder, or a {' '.join(SUFFIXES)}"
            )
        return [InputPicture(images, images.stem)]
    if out.resolve() == images.resolve():
        raise UserError(f"--out {out}: this is the folder of the images; give the masks a folder of their own")
    inside = out.resolve().is_relative_to(images.resolve())
    paths = [
        path
        for path in find_pictures(images)
        if not (is_mask(path, images) or OTHER_ENDING.search(path.stem))
        and not (inside and path.resolve().is_relative_to(out.resolve()))
    ]
    if not paths:
        raise UserError(f"--images {images}: holds no images, only masks; give a folder of images")
    return [InputPicture(path, name) for path, name in zip(paths, ids_of(paths, images), strict=True)]


def read_squares(picture: InputPicture, preprocessings: Sequence[Preprocessing]) -> InputSquares | DamagedPicture:
    """The picture as each network's square, decoded as for training; or what is wrong with it."""
    try:
        _, upright = verify(picture.path.read_bytes())
        height, width = upright.height, upright.width
        del upright  # 50 megapixels are 150 MB
        sizes = {preprocessing.cache_size for preprocessing in preprocessings}
        shrunk = {size: read_shrunk(picture.path, min(height, width), size) for size in sizes}
    except (OSError, UserError, cv2.error) as error:
        return DamagedPicture(picture, read_failure(error, picture.path))
    return InputSquares(
        picture, height, width, tuple(view.fit.square(shrunk[view.cache_size]) for view in preprocessings)
    )


def read_shrunk(path: Path, short_side: int, cache_size: int | None) -> Pixels:
    """The picture (H, W, 3), its shorter side at most `cache_size`: the pixels that a cache holds of it."""
    if cache_size is None:
        return read_rgb(path)
    return shrink(read_rgb(path, reduction(short_side, cache_size)), cache_size)


def read_failure(error: Exception, path: Path) -> str:
    """What is wrong, in a few words."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return " ".join(text.removeprefix(f"{path}: ").split())
