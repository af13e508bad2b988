"""The files of a prediction: what is written of a picture, whole, and what stands of it already."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels, read_rgb
from dermssl.files import whole_file
from dermssl.scores.thumbnails import PREDICTION, png_bytes
from finetune.predict.inputs import InputPicture
from finetune.scoring.inference import Mask, Probability

FULL = 65535  # what probability 1 is in a file of 16 bits
QUALITY = 92  # of an overlay's JPEG, in percent


@dataclass(frozen=True)
class MaskFiles:
    """Which files of each picture are written, and where."""

    folder: Path
    overlay: bool = False
    probability: bool = False

    def paths_of(self, picture: InputPicture) -> list[Path]:
        """The files of a picture."""
        endings = ["_segmentation.png"] + ["_overlay.jpg"] * self.overlay + ["_probability.png"] * self.probability
        return [self.folder / f"{picture.name}{ending}" for ending in endings]

    def to_look_at(self, pictures: Iterable[InputPicture]) -> Path | None:
        """The overlay, or without those the mask, of the first picture that has one."""
        ending = "_overlay.jpg" if self.overlay else "_segmentation.png"
        files = (self.folder / f"{picture.name}{ending}" for picture in pictures)
        return next((file for file in files if file.is_file()), None)

    def stand(self, picture: InputPicture) -> bool:
        """Whether all files of a picture stand; each appears whole or not at all."""
        return all(path.exists() for path in self.paths_of(picture))

    def write(self, picture: InputPicture, probability: Probability, mask: Mask) -> None:
        """Writes what does not stand, each whole: the picture's mask, outline and probability, (H, W)."""
        for path in self.paths_of(picture):
            if not path.exists():
                data = self.data_of(path, picture, probability, mask)
                with whole_file(path) as part:
                    part.write_bytes(data)

    def data_of(self, path: Path, picture: InputPicture, probability: Probability, mask: Mask) -> bytes:
        """The bytes of one of the files."""
        if path.name.endswith("_overlay.jpg"):
            return jpeg_bytes(overlaid(read_rgb(picture.path), mask))
        if path.name.endswith("_probability.png"):
            return png_bytes(np.rint(probability * FULL).astype(np.uint16))
        return png_bytes(mask.astype(np.uint8) * np.uint8(255))


def jpeg_bytes(pixels: Pixels) -> bytes:
    """A picture (H, W, 3) as the bytes of a JPEG."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


CASING = (0, 0, 0)  # sets the line off from skin and lesion alike
LINES = 300  # widths of the line to the picture's shorter side: a picture shrunk to a page keeps a line


def overlaid(picture: Pixels, mask: NDArray[np.bool_]) -> Pixels:
    """The picture (H, W, 3) with the outline of `mask` (H, W) in blue between black lines.

    The line lies along the mask's rim, both of its sides: 2 pixels wide on 600, 13 on 4000, and black as much again.
    """
    width = max(1, round(min(mask.shape) / LINES))
    rims, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    canvas = np.ascontiguousarray(picture).copy()
    for colour, thickness in ((CASING, 2 * width), (PREDICTION, width)):
        cv2.drawContours(canvas, rims, -1, colour, thickness, cv2.LINE_AA)
    return canvas
