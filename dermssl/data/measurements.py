"""What takes reading an image and its mask: sizes, hashes, regions, and the one fault that keeps them from use."""

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from dermssl.data.images import Pixels, perceptual_hash, tones, verify
from dermssl.data.masks import border_share, distinct, holes, mask_problem, read_values, regions

ManifestRow = dict[str, object]

UNKNOWN: ManifestRow = {
    "sha256": "", "width": 0, "height": 0, "mode": "", "orientation": 1, "phash": "", "tones": "",
    "mask_sha256": "", "mask_mode": "", "mask_values": 0, "mask_area": float("nan"), "mask_components": 0,
    "mask_holes": 0, "mask_border": float("nan"), "fault": "", "problem": "",
}  # fmt: skip


def measure_files(root: Path, path: str, mask_path: str) -> ManifestRow:
    """Everything that reading an image and its mask tells; a fault of the image leaves its mask unread."""
    try:
        data = (root / path).read_bytes()
        stored, picture = verify(data)
    except OSError as error:
        reason = error.strerror or str(error)
        return UNKNOWN | {"fault": image_fault(reason), "problem": f"unreadable or truncated ({reason})"}
    row: ManifestRow = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "width": picture.width,
        "height": picture.height,
        "mode": stored.mode,
        "orientation": stored.orientation,
        "phash": perceptual_hash(grey(picture)),
        "tones": tones(grey(picture)),
    }
    return UNKNOWN | row | (measure_mask(root / mask_path, picture.size) if mask_path else {})


def image_fault(reason: str) -> str:
    """The fault of a file that PIL could not read for this `reason`: truncated where its end is missing."""
    return "truncated" if "truncated" in reason or "incomplete" in reason else "unreadable"


def grey(picture: Image.Image) -> Pixels:
    """The picture's grey values, (H, W) uint8; 16 bits are shifted down, which PIL would clip to white."""
    if picture.mode.startswith("I"):
        return (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    return np.asarray(picture.convert("L"), np.uint8)


def measure_mask(path: Path, image_size: tuple[int, int]) -> ManifestRow:
    """Hash, area and regions of a mask, or what is wrong with it."""
    try:
        data = path.read_bytes()
        stored, _ = verify(data)
    except OSError as error:
        problem = f"mask {path.name} is unreadable or truncated ({error.strerror or error})"
        return {"fault": "mask unreadable", "problem": problem}
    row: ManifestRow = {"mask_sha256": hashlib.sha256(data).hexdigest(), "mask_mode": stored.mode}
    values = read_values(path)
    if values is None:
        return row | {"fault": "mask unreadable", "problem": f"mask {path.name} is unreadable"}
    row |= {"mask_values": len(distinct(values))}
    height, width = values.shape
    if (width, height) != image_size:
        transposed = (height, width) == image_size
        size = f"mask is {width} x {height} but its image is {image_size[0]} x {image_size[1]}"
        remedy = "; transpose it or fix its EXIF orientation" if transposed else ""
        return row | {"fault": "mask transposed" if transposed else "mask size", "problem": size + remedy}
    values_problem = mask_problem(values)
    if values_problem:
        return row | {"fault": "mask values", "problem": values_problem}
    lesion = values > 0
    return row | {
        "mask_area": float(lesion.mean()),
        "mask_components": regions(lesion),
        "mask_holes": holes(lesion),
        "mask_border": border_share(lesion),
    }
