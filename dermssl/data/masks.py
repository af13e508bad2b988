"""Reading masks: their stored labels, in their own type, and which of them is the lesion. Everybody reads them here.

A mask is judged by its distinct labels and only then made binary: whatever turns it into grey beforehand (a lesion of
1 in 16 bits, in one channel, in the alpha channel, as a dark entry of a palette) loses it.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.decoding import Samples, StoredPicture, decode, read_file, rgb

SHOWN = 4  # labels named in a sentence
WHITE, BLACK = 250, 5  # grey values from and to which a palette's entry is one or the other
PRINTED = ("CMYK", "YCbCr")  # whose zeros are not black
SOFT = 24  # labels from which a mask is taken for one with soft edges and not for one of classes

Lesion = NDArray[np.bool_]  # (H, W)


@dataclass(frozen=True)
class Labels:
    """What a mask says of each pixel, before anything is made of it."""

    values: Samples
    """(H, W): grey values, indices of a palette, alpha, or colours packed into one number, 0xRRGGBB."""
    kind: str
    """What the values are, in words."""
    distinct: Samples
    """The values that occur, rising."""
    reversed_by: str = ""
    """What says the opposite of the values: a palette whose index 0 is white and the other black, a TIFF whose 0 is."""

    def named(self, value: object) -> str:
        """A value as a person types it: a number, or a colour as 0xff0000."""
        return f"0x{int(str(value)):06x}" if self.kind == "colours" else f"{value:g}" if is_float(value) else str(value)


def is_float(value: object) -> bool:
    """Whether a value is a floating-point number."""
    return isinstance(value, (float, np.floating))


def read_labels(path: Path) -> Labels:
    """The labels of a mask file, upright by its EXIF orientation.

    Raises:
        OSError: If it cannot be opened; `UndecodableError` if it is no picture that is read.
    """
    return stored_labels(decode(read_file(path)))


def stored_labels(stored: StoredPicture) -> Labels:
    """The labels that a stored picture holds if it is a mask."""
    samples = rgb(stored) if stored.mode in PRINTED else stored.samples()
    if stored.mode == "P":
        return palette_labels(samples, np.array(stored.picture.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3))
    if samples.ndim == 2:
        values = samples.astype(np.uint8) if samples.dtype == bool else samples
        return Labels(values, "values", distinct(values), "is a TIFF that stores white as 0" * stored.white_is_zero)
    return channel_labels(samples, has_alpha=stored.mode[-1:] in "Aa")


def palette_labels(indices: Samples, palette: NDArray[np.uint8]) -> Labels:
    """Labels by index; where more than two occur, entries of one colour are one, the first of them."""
    occurring = distinct(indices)
    colours = [tuple(palette[index]) if index < len(palette) else (0, 0, 0) for index in occurring.tolist()]
    if len(occurring) > 2:
        first = {colour: occurring[colours.index(colour)] for colour in colours}
        table = np.arange(256, dtype=np.uint8)
        for index, colour in zip(occurring.tolist(), colours, strict=True):
            table[index] = first[colour]
        indices = table[indices.astype(np.intp)]
    is_reversed = bool(len(occurring) == 2 and min(colours[0]) >= WHITE and max(colours[1]) <= BLACK)
    reversed_by = "has a palette whose index 0 is white and the other black" * is_reversed
    return Labels(indices, "indices of a palette", distinct(indices), reversed_by)


def channel_labels(samples: Samples, *, has_alpha: bool) -> Labels:
    """Labels of several channels (H, W, C): alpha where it alone varies, else the colour where alpha does not.

    Channels that are 0 everywhere say nothing, and of equal ones one is enough.
    """
    colour, alpha = (samples[..., :-1], samples[..., -1]) if has_alpha else (samples, None)
    if alpha is not None and is_even(colour) and (not is_even(alpha) or not alpha.any()):
        return Labels(alpha, "values of the alpha channel", distinct(alpha))
    used = colour if alpha is None or is_even(alpha) else samples
    channels = [used[..., index] for index in range(used.shape[2]) if used[..., index].any()]
    if not channels or all(np.array_equal(channels[0], other) for other in channels[1:]):
        values = channels[0] if channels else samples[..., 0]
        return Labels(values, "values", distinct(values))
    packed = np.zeros(samples.shape[:2], np.uint64)
    for index in range(used.shape[2]):
        packed = (packed << np.uint64(8 * samples.itemsize)) | used[..., index].astype(np.uint64)
    return Labels(packed, "colours", distinct(packed))


def is_even(samples: Samples) -> bool:
    """Whether all pixels are alike."""
    return bool((samples == samples[:1, :1]).all())


def distinct(values: Samples) -> Samples:
    """The values that occur, rising."""
    if values.dtype == np.uint8:
        return np.flatnonzero(np.bincount(values.ravel(), minlength=256)).astype(np.uint8)
    return np.unique(values)


def mask_problem(labels: Labels, lesion_value: float | None = None) -> str:
    """What keeps these labels from being a mask; nothing where 0 and one other are all that occur, or one is named."""
    occurring = labels.distinct
    if np.issubdtype(occurring.dtype, np.floating) and not np.isfinite(occurring).all():
        return "mask holds values that are no finite numbers (NaN or infinity)"
    if lesion_value is not None or len(occurring) <= 1:
        return ""
    if labels.reversed_by:
        both = f"{labels.named(occurring[0].item())} or {labels.named(occurring[-1].item())}"
        return (f"mask {labels.reversed_by}, so programs disagree about the lesion; save it as PNG with skin as 0, "
                f"or, where all masks are so, --lesion_value {both} tells it")  # fmt: skip
    names = [labels.named(value) for value in occurring[:SHOWN].tolist()]
    if len(occurring) > 2:
        values = ", ".join(names) + (", ..." if len(occurring) > SHOWN else "")
        looks = "of soft edges or a JPEG" if len(occurring) >= SOFT else "of classes, or of edges that are not sharp"
        remedy = "`check --fix` thresholds soft edges, --lesion_value N takes one value"
        return f"mask has {len(occurring)} {labels.kind} ({values}), as {looks}, where two are needed; {remedy}"
    if occurring[0] == 0:
        return ""
    both = f"mask has the {labels.kind} {names[0]} and {names[1]}"
    return f"{both}, neither of which is 0, so which is lesion is unclear; --lesion_value {names[1]}, say, tells it"


def lesion_of(labels: Labels, lesion_value: float | None = None) -> Lesion:
    """The lesion as (H, W) booleans: whatever is not 0, or is the value named."""
    return np.asarray(labels.values != 0 if lesion_value is None else labels.values == lesion_value, np.bool_)


def read_lesion(path: Path, lesion_value: float | None = None) -> Lesion:
    """The lesion of a mask file; checked by the manifest beforehand, so that a failure here is a changed file."""
    try:
        return lesion_of(read_labels(path), lesion_value)
    except OSError as error:
        raise OSError(
            f"{path}: the mask was readable when the data set was looked over and is not any more ({error})"
        ) from error


def regions(mask: Lesion) -> int:
    """How many separate regions the lesion has, pixels that touch by a corner counted together."""
    return int(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0]) - 1


def holes(mask: Lesion) -> int:
    """How many separate regions of skin the lesion encloses; skin that touches the frame is outside."""
    outside = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    return int(cv2.connectedComponents(outside, connectivity=4)[0]) - 2  # the ground and the outside are none


def border_share(mask: Lesion) -> float:
    """The lesion's share of the pixels at the frame, in [0, 1]; 0 where it lies wholly inside."""
    rim = np.concatenate([mask[0], mask[-1], mask[1:-1, 0], mask[1:-1, -1]])
    return float(rim.mean())
