"""Drawn dermoscopy: pictures of lesions with true masks, from a seed alone, for trying every command without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from dermssl.files import whole_folder
from dermssl.synthetic import artefacts
from dermssl.synthetic.config import SIDE
from dermssl.synthetic.lesion import REACH, elevation, lesion_traits, outlined_lesion
from dermssl.synthetic.noise import Float, Matrix, Plane, Points, UInt8, blend, frame, lay
from dermssl.synthetic.pigment import pigments
from dermssl.synthetic.skin import chromophores, develop, lamp, patient_of, reflect, relief

IMAGES = "ISIC2018_Task1-2_Training_Input"
MASKS = "ISIC2018_Task1_Training_GroundTruth"
SMALLEST = 32  # pixels; below, a lesion is a blot
REPEAT = 8  # the last of so many pictures shows the lesion of the one before it again
CUT = 0.08  # share of pictures aimed past the lesion; the frame cuts large lesions without it
LICENSE = """CC0 1.0 Universal (https://creativecommons.org/publicdomain/zero/1.0/)

These pictures were drawn by a program (dermssl.synthetic.dataset). They show nobody's skin and no real lesion, and no
photograph went into them. To the extent possible under law, all rights to them are waived. The names of files and
folders follow ISIC 2018, so that the same commands read both; the pictures are no part of the ISIC archive.
"""


@dataclass(frozen=True)
class DrawnImage:
    """One drawn photograph of a lesion, with what is known about it."""

    image: UInt8
    """RGB, (size, size, 3)."""
    mask: UInt8
    """255 on the visible lesion and its satellites, else 0, (size, size); never empty."""
    image_id: str
    lesion_id: str
    """Shared by the photographs of one lesion."""
    dx: str
    """'nv', 'mel' or 'bkl', as in HAM10000."""
    fitzpatrick: int
    """Skin type, 1 (palest) to 6."""


@dataclass(frozen=True)
class Camera:
    """How a lesion lies in the picture."""

    centre: Points
    """Where the lesion's middle lies, in sides of the picture from the picture's middle, (2,)."""
    radius: float
    """The lesion's radius, in sides of the picture."""
    to_lesion: Matrix
    """Affine map (2, 3) from the frame to lesion coordinates."""

    def window(self, size: int) -> tuple[Plane, slice, slice]:
        """The pixels that the lesion can reach, with their rows and columns in the picture."""
        corners = (self.centre[:, None] + self.radius * np.array([-REACH, REACH]) + 0.5) * size
        (left, right), (top, bottom) = np.clip(np.rint(corners), 0, size).astype(int).tolist()
        to_frame = np.array([[1, 0, left + 0.5 - size / 2], [0, 1, top + 0.5 - size / 2], [0, 0, size]]) / size
        plane = lay((bottom - top, right - left), self.to_lesion @ to_frame, REACH)
        return plane, slice(top, bottom), slice(left, right)


def draw_image(seed: int, index: int, size: int = SIDE) -> DrawnImage:
    """Draws picture `index` of the endless set `seed`; depends on nothing else.

    Another `size` shows the same scene at another resolution, but for the camera's grain.

    Args:
        seed: The set's; not negative.
        index: The picture's; not negative. One in REPEAT shows the lesion of picture `index - 1` again: another
            angle, distance, light, other artefacts.
        size: Side in pixels, at least SMALLEST.

    Raises:
        ValueError: If `size` is too small for a lesion to show, or `seed` or `index` is negative.
    """
    if size < SMALLEST:
        raise ValueError(f"size {size}: a lesion does not show in so few pixels; draw {SMALLEST} or more")
    again = index % REPEAT == REPEAT - 1
    lesion_number = index - 1 if again else index
    lesion_rng, photo_rng = np.random.default_rng([seed, lesion_number, 0]), np.random.default_rng([seed, index, 1])
    traits, patient = lesion_traits(lesion_rng), patient_of(lesion_rng)
    camera = point_camera(photo_rng, traits.radius, again)

    plane = frame(size)
    densities = chromophores(photo_rng, plane, patient)  # (5, H, W)
    around, rows, columns = camera.window(size)
    height = elevation(lesion_rng, around, traits)
    densities[1:, rows, columns] += pigments(lesion_rng, around, traits, height)
    mask = np.zeros((size, size), np.uint8)
    mask[rows, columns] = outlined_lesion(height)

    skin = reflect(densities, relief(photo_rng, plane))  # (3, H, W)
    picture, visible = photograph_skin(photo_rng, skin, plane, camera)
    return DrawnImage(
        image=develop(photo_rng, picture),
        mask=np.where(visible > 0.5, mask, np.uint8(0)),  # nobody outlines what a sticker or a dark corner hides
        image_id=f"ISIC_{seed:02d}{index:07d}",  # nine digits: no image of the archive has such a number
        lesion_id=f"DRAWN_{seed:02d}{lesion_number:07d}",
        dx=traits.dx,
        fitzpatrick=patient.fitzpatrick,
    )


def point_camera(rng: np.random.Generator, radius: float, again: bool) -> Camera:
    """Aims at a lesion of `radius` sides: mostly at its middle, sometimes past it, so that the frame cuts it."""
    radius = min(max(radius * math.exp(rng.normal(0, 0.22 if again else 0.05)), 0.08), 0.7)
    centre = rng.normal(0, 0.06, 2)
    if rng.random() < CUT:
        centre[rng.integers(2)] = rng.choice((-1, 1)) * min(max(0.5 - radius * rng.uniform(0.1, 0.8), 0), 0.42)
    turn, lean, tilt = rng.uniform(0, 2 * math.pi), rng.uniform(0, math.pi), abs(rng.normal(0, 0.05))
    squeeze = rotation(lean) @ np.diag([1 + tilt, 1]) @ rotation(-lean)  # skin seen aslant
    linear = rotation(turn) @ squeeze / radius
    return Camera(centre, radius, np.column_stack([linear, -linear @ centre]))


def rotation(angle: float) -> Matrix:
    """The matrix (2, 2) that turns by `angle` radians."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def photograph_skin(rng: np.random.Generator, skin: Float, plane: Plane, camera: Camera) -> tuple[Float, Float]:
    """Lights the skin (3, H, W) and lays artefacts over it; returns the picture and how visible the skin is (H, W)."""
    present = artefacts.artefacts_of(rng)
    image, visible = skin, np.ones_like(plane.x)
    for name, paint in artefacts.ON_SKIN.items():
        image = paint(rng, image, plane) if name in present else image
    image = image * lamp(rng, plane)
    if "sticker" in present:
        covered, colour = artefacts.sticker_cover(rng, plane, away=math.atan2(-camera.centre[1], -camera.centre[0]))
        image, visible = blend(image, colour, covered), visible - covered
    if "dark corners" in present:
        light = artefacts.aperture(rng, plane)
        image, visible = image * (0.03 + 0.97 * light), visible * light
    return image, visible


def write_dataset(folder: Path, count: int, size: int, seed: int, *, masks: bool = True, workers: int = 1) -> None:
    """Writes a drawn data set in the layout of ISIC 2018 Task 1; the folder appears whole or not at all.

    Args:
        folder: Receives IMAGES/ISIC_*.jpg, MASKS/ISIC_*_segmentation.png, metadata.csv and LICENSE.txt.
        count: Pictures to draw, at least 1.
        size: Side in pixels, at least SMALLEST.
        seed: Of the set; the bytes of the files depend on `count`, `size`, `seed` and `masks` alone.
        masks: Whether to write the masks; a set to pretrain on goes without.
        workers: Processes that draw at the same time.

    Raises:
        ValueError: If there is something at `folder` already, or `count` or `workers` is below 1.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder}: is not empty; delete it, or draw into a new folder")
    if min(count, workers) < 1:
        raise ValueError(f"{folder}: cannot draw {count} pictures with {workers} workers; both are at least 1")
    with whole_folder(folder) as part:
        (part / IMAGES).mkdir()
        if masks:
            (part / MASKS).mkdir()
        rows = written_in_order(partial(write_drawing, part, size, seed, masks), count, workers)
        (part / "metadata.csv").write_text("\n".join(["image_id,lesion_id,dx,fitzpatrick", *rows]) + "\n")
        (part / "LICENSE.txt").write_text(LICENSE)


def written_in_order(write: Callable[[int], str], count: int, workers: int) -> Iterator[str]:
    """`write(index)` for every index in order, shared out to processes where there are several."""
    if workers == 1:
        yield from map(write, range(count))
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        yield from pool.map(write, range(count), chunksize=8)


def write_drawing(folder: Path, size: int, seed: int, masks: bool, index: int) -> str:
    """Draws one picture into `folder`; returns its row of the metadata."""
    drawing = draw_image(seed, index, size)
    image = cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    (folder / IMAGES / f"{drawing.image_id}.jpg").write_bytes(jpeg.tobytes())
    if masks:
        _, png = cv2.imencode(".png", drawing.mask)
        (folder / MASKS / f"{drawing.image_id}_segmentation.png").write_bytes(png.tobytes())
    return f"{drawing.image_id},{drawing.lesion_id},{drawing.dx},{drawing.fitzpatrick}"
