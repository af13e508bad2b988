"""The pixel cache: every picture decoded and shrunk once, as uint8 in one memory map."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dermssl.data.images import Pixels, read_rgb, shrink
from dermssl.data.kept import kept_folder
from dermssl.data.manifest import Manifest
from dermssl.files import need_room, short_hash, whole_folder
from dermssl.log import bar_is_off, say
from dermssl.runs.control_group import usable_cores
from dermssl.runs.lock import lock_to_make
from dermssl.wording import room

CHUNK = 256
LONG = 2000  # images; fewer are decoded before a bar could be read
FORMAT = 3  # raised when the same files give other pixels


@dataclass(frozen=True)
class PixelCache:
    """Pictures of any aspect ratio, one behind the other; `cache[i]` is picture `i`, (H, W, 3) or (H, W)."""

    pixels: NDArray[np.uint8]  # (sum of H * W * channels,)
    starts: NDArray[np.int64]  # (N,)
    shapes: NDArray[np.int64]  # (N, 3), the last being 3 for pictures and 1 for masks

    def __len__(self) -> int:
        return len(self.starts)

    def take(self, rows: Sequence[int]) -> "PixelCache":
        """These pictures in this order, the pixels where they are."""
        return PixelCache(self.pixels, self.starts[list(rows)], self.shapes[list(rows)])

    def __getitem__(self, index: int) -> Pixels:
        height, width, channels = self.shapes[index]
        start = self.starts[index]
        flat = self.pixels[start : start + height * width * channels]
        return flat.reshape(height, width, channels) if channels > 1 else flat.reshape(height, width)


def cached_images(manifest: Manifest, short_side: int) -> PixelCache:
    """The images of `manifest` in its order, RGB, their shorter side at most `short_side` pixels.

    Give it the whole data set and `take` from it: one cache then serves every split, fraction and fold.
    """
    paths = manifest.paths()

    def small(index: int) -> Pixels:
        return read_rgb(paths[index], short_side)

    return cached("images", manifest, short_side, small)


def cached_masks(manifest: Manifest, short_side: int) -> PixelCache:
    """The masks of `manifest` in its order, 0 or 1, in the sizes of `cached_images`; half-covered pixels are lesion."""

    def small(index: int) -> Pixels:
        whole = manifest.lesion(index).astype(np.uint8) * 255
        return (shrink(whole, short_side) > 127).astype(np.uint8)

    return cached("masks", manifest, short_side, small)


def cached(kind: str, manifest: Manifest, short_side: int, picture: Callable[[int], Pixels]) -> PixelCache:
    """Opens the cache of these files at this size; builds it first where nobody has, and waits where somebody does."""
    hashes = manifest.table["sha256" if kind == "images" else "mask_sha256"].tolist()
    content = [
        FORMAT,
        *hashes,
        *([manifest.lesion_value] if kind == "masks" and manifest.lesion_value is not None else []),
    ]
    folder = kept_folder(manifest.root) / f"{kind}-{short_side}-{short_hash(content)}"
    if not folder.is_dir():
        with lock_to_make(folder):
            if not folder.is_dir():
                size = bytes_of(manifest, short_side, 3 if kind == "images" else 1)
                what = f"the cache of {len(manifest)} {kind} at {short_side} px"
                need_room(folder.parent, size, what)
                say(f"{what}: {room(size)} in {folder}")
                build(folder, len(manifest), picture)
    pixels = np.memmap(folder / "pixels.u8", np.uint8, mode="r")
    return PixelCache(pixels, np.load(folder / "starts.npy"), np.load(folder / "shapes.npy"))


def bytes_of(manifest: Manifest, short_side: int, channels: int) -> int:
    """What the cache will need on the disk, rounded up by 2 %."""
    sides = manifest.table[["width", "height"]].to_numpy(np.float64)
    scale = np.minimum(1, short_side / np.maximum(1, sides.min(axis=1)))
    return int((sides.prod(axis=1) * scale**2).sum() * channels * 1.02)


def build(folder: Path, count: int, picture: Callable[[int], Pixels]) -> None:
    """Streams the pictures to disk in constant memory, decoding on all cores; the folder appears when it is whole."""
    shapes = np.empty((count, 3), np.int64)
    bar = tqdm(total=count, desc="decoding", unit=" images", disable=count < LONG or bar_is_off(), leave=False)
    with whole_folder(folder) as part, ThreadPoolExecutor(usable_cores()) as pool, bar:
        with (part / "pixels.u8").open("wb") as file:
            for first in range(0, count, CHUNK):
                indices = range(first, min(first + CHUNK, count))
                for index, pixels in zip(indices, pool.map(picture, indices), strict=True):
                    shapes[index] = (*pixels.shape[:2], pixels.size // (pixels.shape[0] * pixels.shape[1]))
                    file.write(np.ascontiguousarray(pixels).data)
                bar.update(len(indices))
        np.save(part / "shapes.npy", shapes)
        np.save(part / "starts.npy", np.concatenate([[0], shapes.prod(axis=1).cumsum()[:-1]]))
