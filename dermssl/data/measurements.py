"""What takes reading an image and its mask: sizes, hashes, regions, and the one fault that keeps them from use."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dermssl.data.decoding import StoredPicture, decode, read_file, rgb, turned
from dermssl.data.images import Pixels, grey_of, perceptual_hash, tones
from dermssl.data.masks import Lesion, border_share, holes, lesion_of, mask_problem, regions, stored_labels
from dermssl.data.roles import file_at

ManifestRow = dict[str, object]

UNKNOWN: ManifestRow = {
    "sha256": "", "width": 0, "height": 0, "mode": "", "orientation": 1, "phash": "", "tones": "", "two_valued": 0,
    "lost_rows": 0.0,
    "mask_sha256": "", "mask_mode": "", "mask_values": 0, "mask_area": float("nan"), "mask_components": 0,
    "mask_holes": 0, "mask_border": float("nan"), "mask_unturned": 0, "fault": "", "problem": "",
}  # fmt: skip
ENOUGH = 50  # megapixels of a JPEG that tell all of this; larger ones are decoded at a fraction of their sides
CLEARER = 1.5  # how much more the lesion must stand out under a mask that is turned as its picture was
LEAST_CONTRAST = 12.0  # grey levels
JPEGS = ("JPEG", "MPO")
BLOCK = 16  # rows of the largest block of a JPEG
LEAST_LOST = 0.02  # share of rows: fewer may be a line that was drawn


def measure_files(root: Path, path: str, mask_path: str, lesion_value: float | None = None) -> ManifestRow:
    """Everything that reading an image and its mask tells; a fault of the image leaves its mask unread."""
    try:
        data = read_file(file_at(root, path))
        stored = decode(data, most=ENOUGH)
        shades = grey_of(rgb(stored))
    except OSError as error:
        return UNKNOWN | image_fault(error)
    row: ManifestRow = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": stored.width,
        "height": stored.height,
        "mode": stored.mode,
        "orientation": stored.orientation,
        "phash": perceptual_hash(shades),
        "tones": tones(shades),
        "two_valued": int(len(np.unique(shades)) == 2),
        "lost_rows": lost_rows(np.asarray(stored.picture.convert("L"))) if stored.picture.format in JPEGS else 0.0,
    }
    return UNKNOWN | row | (measure_mask(file_at(root, mask_path), stored, shades, lesion_value) if mask_path else {})


def lost_rows(grey: Pixels) -> float:
    """Share of rows at the bottom of a JPEG that its decoder has made up, for there was nothing in the file for them.

    Where the end is cut off and the file closed, or is overwritten with zeros, each row of blocks comes out as the one
    above; 0 where that is so at the top as well, as of a frame. Of a progressive JPEG only its sharpness is lost.

    Args:
        grey: The picture as it lies in the file, (H, W).
    """
    repeats = (grey[BLOCK:] == grey[:-BLOCK]).all(axis=1)
    if repeats.all():
        return 0.0
    last, first = int(np.argmin(repeats[::-1])), int(np.argmin(repeats))
    return last / len(grey) if last >= max(BLOCK, LEAST_LOST * len(grey)) and last > 2 * first else 0.0


def image_fault(error: OSError) -> ManifestRow:
    """The fault of an image that could not be read: truncated where its end is missing."""
    why = error.strerror or str(error)
    if "truncated" in why.lower() or "incomplete" in why:
        return {"fault": "truncated", "problem": f"truncated, its end is missing ({why})"}
    return {"fault": "unreadable", "problem": f"cannot be read: {why}"}


def measure_mask(path: Path, image: StoredPicture, shades: Pixels, lesion_value: float | None) -> ManifestRow:
    """Hash, area and regions of a mask, or what is wrong with it."""
    try:
        data = read_file(path)
        stored = decode(data)
        labels = stored_labels(stored)
    except OSError as error:
        return {"fault": "mask unreadable", "problem": f"mask {path.name} cannot be read: {error.strerror or error}"}
    row: ManifestRow = {
        "mask_sha256": hashlib.sha256(data).hexdigest(),
        "mask_mode": stored.mode,
        "mask_values": len(labels.distinct),
    }
    size = size_fault(stored, image)
    if size:
        return row | size
    values_problem = mask_problem(labels, lesion_value)
    if values_problem:
        return row | {"fault": "mask values", "problem": f"{values_problem} (mode {stored.mode})"}
    lesion = lesion_of(labels, lesion_value)
    return row | {
        "mask_area": float(lesion.mean()),
        "mask_components": regions(lesion),
        "mask_holes": holes(lesion),
        "mask_border": border_share(lesion),
        "mask_unturned": int(stored.orientation == 1 and looks_unturned(lesion, shades, image.orientation)),
    }


def size_fault(mask: StoredPicture, image: StoredPicture) -> ManifestRow:
    """The fault of a mask whose size is not its image's; nothing where it is."""
    if (mask.width, mask.height) == (image.width, image.height):
        return {}
    size = f"mask is {mask.width} x {mask.height} but its image is {image.width} x {image.height}"
    if (mask.height, mask.width) != (image.width, image.height):
        return {"fault": "mask size", "problem": size}
    if image.orientation > 4:
        turn = f"EXIF turns the image (orientation {image.orientation}), and the mask was drawn on the unturned one"
        return {"fault": "mask unturned", "problem": f"{size}: {turn}"}
    return {"fault": "mask transposed", "problem": f"{size}: height and width are swapped"}


def looks_unturned(lesion: Lesion, shades: Pixels, orientation: int) -> bool:
    """Whether a mask of the right size fits its picture only once it is turned as EXIF turns the picture.

    A lesion is darker than skin: under the mask as it is drawn and under the turned one, the grey values inside and
    outside are compared.

    Args:
        lesion: The mask as it is read, (H, W).
        shades: Grey values of the upright picture, (H, W), or of one whose sides are divided.
        orientation: EXIF's, of the picture.
    """
    other = turned(lesion, orientation).astype(np.bool_)
    if orientation == 1 or other.shape != lesion.shape or np.array_equal(other, lesion):
        return False
    as_drawn, as_turned = contrasts([lesion, other], shades)
    return as_turned >= LEAST_CONTRAST and as_turned > CLEARER * max(as_drawn, 0)


def contrasts(masks: Sequence[Lesion], shades: Pixels) -> list[float]:
    """How much darker the picture is inside each mask than outside, grey levels; 0 where a mask is empty or full."""
    height, width = shades.shape
    small = [cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0 for mask in masks]
    return [
        float(shades[~mask].mean() - shades[mask].mean()) if mask.any() and not mask.all() else 0.0 for mask in small
    ]
