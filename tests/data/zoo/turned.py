"""Pictures and masks that lie turned or mirrored in their files, which EXIF says."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.zoo.drawing import (
    lesion_of,
    photo_of,
    read_mask,
    read_picture,
    refused_mask,
    reread,
    saved,
)
from data.zoo.exhibit import Exhibit

Stored = NDArray[np.uint8]

STORED: dict[int, Callable[[Stored], Stored]] = {  # EXIF orientation -> how an upright picture lies in the file
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright),
    7: lambda upright: upright[::-1, ::-1].swapaxes(0, 1),
    8: lambda upright: np.rot90(upright, -1),
}
KINDS = {"jpeg": ("JPEG", ".jpg"), "png": ("PNG", ".png"), "tiff": ("TIFF", ".tif"), "webp": ("WEBP", ".webp")}


def turned(upright: Stored, orientation: int, kind: str = "JPEG", **options: object) -> bytes:
    """A file that shows this picture once it is turned as its EXIF says."""
    picture = Image.fromarray(np.ascontiguousarray(STORED.get(orientation, STORED[1])(upright)))
    if kind == "TIFF":
        return saved(picture, kind, tiffinfo={0x0112: orientation}, **options)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture, kind, exif=exif, **options)


def turned_pictures_and_masks() -> list[Exhibit]:
    """All exhibits of this file."""
    return [*upright_masks(), *masks_turned_alike(), *unturned_masks(), *mirrored_masks()]


def upright_masks() -> list[Exhibit]:
    """Pictures that EXIF turns upright, where their masks are: each way in each container, and two that are none."""
    unknown = [picture("jpeg", orientation) for orientation in (0, 9)]
    return [*(picture(kind, orientation) for kind in KINDS for orientation in STORED), *unknown]


def picture(kind: str, orientation: int) -> Exhibit:
    """One of these; JPEG in full colour, so that turning and decoding may be done in either order."""
    name = f"exif_{orientation}_{kind}"
    options = {"lossless": True} if kind == "webp" else {"quality": 95, "subsampling": 0} if kind == "jpeg" else {}
    content = turned(photo_of(name), orientation, KINDS[kind][0], **options)
    pixels, near = (reread(content), 3) if kind == "jpeg" else (photo_of(name), 0)
    return read_picture(name, KINDS[kind][1], content, pixels, near=near)


def drawn(name: str, orientation: int = 1) -> Stored:
    """The mask of that lesion, as it lies in a file of this orientation."""
    return np.ascontiguousarray(STORED[orientation](lesion_of(name).astype(np.uint8) * np.uint8(255)))


def masks_turned_alike() -> list[Exhibit]:
    """Masks with an EXIF orientation of their own, beside turned and upright pictures."""
    exhibits = []
    for orientation in (3, 6, 8):
        name = f"mask_exif_{orientation}_like_its_picture"
        content = turned(lesion_of(name).astype(np.uint8) * np.uint8(255), orientation, "PNG")
        exhibits.append(read_mask(name, ".png", content, picture=turned(photo_of(name), orientation, "PNG")))
    alone = "mask_exif_6_beside_an_upright_picture"
    content = turned(lesion_of(alone).astype(np.uint8) * np.uint8(255), 6, "PNG")
    tiff = turned(lesion_of(alone + "_tiff").astype(np.uint8) * np.uint8(255), 6, "TIFF")
    return [*exhibits, read_mask(alone, ".png", content), read_mask(alone + "_tiff", ".tif", tiff)]


def unturned_masks() -> list[Exhibit]:
    """Masks drawn on the picture as it lies in the file, by a program that knew nothing of EXIF."""
    exhibits = []
    for orientation in (5, 6, 7, 8):
        name = f"mask_unturned_exif_{orientation}"
        photo = turned(photo_of(name), orientation, "PNG")
        mask = saved(drawn(name, orientation))
        exhibits.append(refused_mask(name, ".png", mask, "EXIF", fault="mask unturned", picture=photo))
    return exhibits


def mirrored_masks() -> list[Exhibit]:
    """The same where the sizes agree: nothing is refused, a check sees that the mask covers no lesion."""
    exhibits = []
    for orientation in (2, 3, 4):
        name = f"mask_unturned_exif_{orientation}"
        stored = drawn(name, orientation)
        photo = turned(photo_of(name), orientation, "PNG")
        findings = ("turned unlike its mask",)
        exhibits.append(read_mask(name, ".png", saved(stored), stored > 0, photo, findings))
    return exhibits
