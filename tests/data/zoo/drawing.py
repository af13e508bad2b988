"""Drawn skin with a dark disc, the set of four ordinary pairs around each odd one, and an oracle that is not ours."""

import io
import zlib
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from data.zoo.exhibit import Exhibit, Lesion, Pixels, Read, Refused

H, W = 40, 48
ODD = "ISIC_0000005"
ORDINARY = tuple(f"ISIC_000000{number}" for number in range(1, 5))


def seed_of(name: str) -> np.random.Generator:
    """Random numbers that depend on a name alone."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def lesion_of(name: str) -> Lesion:
    """A disc in one quarter of the picture, (H, W): turned or mirrored, it covers nothing of where it was."""
    rng = seed_of(name)
    x = W / 2 + rng.choice([-1, 1]) * rng.uniform(8, 12)
    y = H / 2 + rng.choice([-1, 1]) * rng.uniform(8, 10)
    rows, columns = np.mgrid[:H, :W]
    inside: Lesion = (columns - x) ** 2 + (rows - y) ** 2 < rng.uniform(5, 7) ** 2
    return inside


def photo_of(name: str) -> Pixels:
    """Skin with noise, and a dark disc where `lesion_of` the same name has it, (H, W, 3)."""
    rng = seed_of(name + " skin")
    skin = np.array([205, 160, 140]) + rng.integers(-20, 20, 3)
    picture = skin + rng.normal(0, 12, (H, W, 3)) + rng.normal(0, 12, (H // 4, W // 4, 3)).repeat(4, 0).repeat(4, 1)
    picture[lesion_of(name)] -= [90, 80, 60]
    return picture.clip(0, 255).astype(np.uint8)


def grey_of(name: str) -> Pixels:
    """The green of that picture, (H, W)."""
    return np.ascontiguousarray(photo_of(name)[..., 1])


def three(grey: NDArray[np.uint8]) -> Pixels:
    """Grey as RGB."""
    return np.stack([grey] * 3, axis=-1)


def saved(picture: Image.Image | NDArray[np.generic], kind: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture file as PIL writes it."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def file_of(kind: str = "PNG", **options: object) -> Callable[[Image.Image | NDArray[np.generic]], bytes]:
    """A writer of files of this kind, with these options of PIL's."""
    return lambda picture: saved(picture, kind, **options)


@cache
def photo_file(name: str) -> bytes:
    """An ordinary picture of that name: PNG."""
    return saved(photo_of(name))


@cache
def mask_file(name: str, value: int = 255) -> bytes:
    """An ordinary mask of that lesion: PNG, 0 and `value`."""
    return saved(lesion_of(name).astype(np.uint8) * np.uint8(value))


def opened(content: bytes) -> Image.Image:
    """The first picture of a file, upright, as PIL has it."""
    with Image.open(io.BytesIO(content)) as picture:
        return ImageOps.exif_transpose(picture)


def reread(content: bytes) -> Pixels:
    """What PIL reads: the first picture, upright, as RGB; of 16 bits of grey the upper eight."""
    picture = opened(content)
    if picture.mode.startswith("I"):
        return three((np.asarray(picture) >> 8).astype(np.uint8))
    return np.array(picture.convert("RGBA" if picture.mode in ("P", "PA") else "RGB"))[..., :3]


def read_labels(content: bytes) -> NDArray[np.generic]:
    """What other programs find stored in a mask, (H, W, C): PIL, OpenCV where PIL cuts 16 bits, else tifffile."""
    if content.startswith(b"\x89PNG") and content[24] == 16:  # the depth stands there
        values = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED))
    else:
        try:
            values = np.asarray(opened(content))
        except UnidentifiedImageError:
            values = tifffile.imread(io.BytesIO(content))
    return values if values.ndim == 3 else values[..., None]


def photos(*names: str) -> dict[str, Pixels]:
    """The pixels of these images."""
    return {name: photo_of(name) for name in names or ORDINARY}


def lesions(*names: str) -> dict[str, Lesion]:
    """The lesions of these images."""
    return {name: lesion_of(name) for name in names or ORDINARY}


def pairs(
    *names: str, images: str = "images/{}.png", masks: str = "masks/{}.png", value: int = 255
) -> dict[str, bytes]:
    """Files of ordinary images and masks under these patterns; of the four ordinary ones by default."""
    ids = names or ORDINARY
    pictures = {images.format(name): photo_file(name) for name in ids}
    return pictures | {masks.format(name): mask_file(name, value) for name in ids}


def read_picture(
    name: str, suffix: str, content: bytes, pixels: Pixels, lesion: Lesion | None = None, near: int = 0,
    findings: tuple[str, ...] = (),
) -> Exhibit:  # fmt: skip
    """Four ordinary pairs and a fifth whose picture is odd, and read as `pixels`."""
    shape = lesion_of(name) if lesion is None else lesion
    pair = (f"images/{ODD}{suffix}", f"masks/{ODD}.png")
    files = {**pairs(), pair[0]: content, pair[1]: saved(shape.astype(np.uint8) * 255)}
    outcome = Read({**photos(), ODD: pixels}, {**lesions(), ODD: shape}, findings=findings, near=near)
    return Exhibit(name, files, outcome, pair=pair)


def refused_picture(name: str, suffix: str, content: bytes, *sentence: str, fault: str = "unreadable") -> Exhibit:
    """Four ordinary pairs and a fifth whose picture is refused."""
    files = {**pairs(), f"images/{ODD}{suffix}": content, f"masks/{ODD}.png": mask_file(name)}
    return Exhibit(name, files, Refused(sentence, fault))


def read_mask(
    name: str, suffix: str, content: bytes, lesion: Lesion | None = None, picture: bytes | None = None,
    findings: tuple[str, ...] = (), lesion_value: float | None = None,
) -> Exhibit:  # fmt: skip
    """Four ordinary pairs and a fifth whose mask is odd, and read as `lesion`."""
    pair = (f"images/{ODD}.png", f"masks/{ODD}{suffix}")
    shape = lesion_of(name) if lesion is None else lesion
    files = {
        **pairs(value=int(lesion_value or 255)),
        pair[0]: photo_file(name) if picture is None else picture,
        pair[1]: content,
    }
    outcome = Read({**photos(), ODD: photo_of(name)}, {**lesions(), ODD: shape}, findings=findings)
    joins = lesion_value is None
    return Exhibit(name, files, outcome, lesion_value=lesion_value, pair=pair if joins else None)


def refused_mask(
    name: str, suffix: str, content: bytes, *sentence: str, fault: str = "mask values", picture: bytes | None = None
) -> Exhibit:
    """Four ordinary pairs and a fifth whose mask is refused, while its picture can be pretrained on."""
    photo = photo_file(name) if picture is None else picture
    files = {**pairs(), f"images/{ODD}.png": photo, f"masks/{ODD}{suffix}": content}
    return Exhibit(name, files, Refused(sentence, fault, masks_only=True))
