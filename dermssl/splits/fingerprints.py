"""Pictures that look alike, found by what the manifest keeps of each: no file is read here.

Calibrated on ISIC 2018 against HAM10000 (docs/data.md): RADIUS and TONES pass the pairs that the eye confirms, turned
and mirrored ones among them, and of 21 million pairs of strangers some 700, which `dermssl.splits.near_duplicates`
looks at.
"""

from dataclasses import dataclass

import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray

RADIUS = 76  # bits of 256; strangers differ in 128
TONES = 0.90  # least correlation of 8 x 8 grey values
Turn = tuple[bool, bool, bool]
SIGNS = (False, True)
TURNS: tuple[Turn, ...] = tuple(
    (x, y, z) for x in SIGNS for y in SIGNS for z in SIGNS
)  # transposed, then mirrored left-right, then upside down
BLOCK = 4096  # pictures asked about at once, so that memory stays constant

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Looks:
    """What is kept of the looks of N pictures."""

    hashes: Bytes  # (N, 32), 256 bits each
    tones: Bytes  # (N, 8, 8)

    def __len__(self) -> int:
        return len(self.hashes)


def looks_of(table: pd.DataFrame) -> Looks:
    """The looks of the images of a manifest's table; of one that could not be read, nothing that is like another."""
    hashes = b"".join(bytes.fromhex(text or "00" * 32) for text in table["phash"])
    tones = b"".join(bytes.fromhex(text or "00" * 64) for text in table["tones"])
    return Looks(np.frombuffer(hashes, np.uint8).reshape(-1, 32), np.frombuffer(tones, np.uint8).reshape(-1, 8, 8))


def turned_looks(looks: Looks, turn: Turn) -> Looks:
    """The looks of the same pictures transposed, mirrored left-right and turned upside down, as `turn` says.

    A mirror changes the sign of every odd wave along its axis, and a transposition swaps the axes.
    """
    transposed, mirrored, overturned = turn
    waves = np.unpackbits(looks.hashes, axis=1).reshape(-1, 16, 16)
    tones = looks.tones
    if transposed:
        waves, tones = waves.transpose(0, 2, 1), tones.transpose(0, 2, 1)
    flip = np.zeros((16, 16), np.uint8)
    if mirrored:
        flip[:, 1::2] ^= 1
        tones = tones[:, :, ::-1]
    if overturned:
        flip[1::2] ^= 1
        tones = tones[:, ::-1]
    bits = (waves ^ flip).reshape(-1, 256)
    return Looks(np.packbits(bits, axis=1), np.ascontiguousarray(tones))


def look_alikes(a: Looks, b: Looks, radius: int = RADIUS) -> pd.DataFrame:
    """Pictures of `a` and `b` that look alike in one of eight turns.

    Returns:
        A row a pair: `a` and `b` (rows of either), `turn` (of b, into TURNS), `distance` (bits); the nearest turn.
    """
    pairs = [pd.DataFrame({"a": [], "b": [], "turn": [], "distance": []}, dtype=np.int64)]
    for number, turn in enumerate(TURNS):
        turned = turned_looks(b, turn)
        index = faiss.IndexBinaryFlat(256)
        index.add(turned.hashes)
        for first in range(0, len(a), BLOCK):
            starts, distances, rows = index.range_search(a.hashes[first : first + BLOCK], radius + 1)
            counts = starts[1:].astype(np.int64) - starts[:-1].astype(np.int64)
            queries = np.repeat(np.arange(first, first + len(counts)), counts)
            near = tone_correlations(a.tones[queries], turned.tones[rows]) >= TONES
            columns = {"a": queries[near], "b": rows[near], "turn": number, "distance": distances[near]}
            pairs.append(pd.DataFrame(columns).astype(np.int64))
    return pd.concat(pairs).sort_values(["a", "b", "distance", "turn"]).drop_duplicates(["a", "b"], ignore_index=True)


def tone_correlations(a: Bytes, b: Bytes) -> NDArray[np.float64]:
    """Correlation of two pictures' 8 x 8 grey values, row by row, in [-1, 1]; 0 where either has one tone only."""
    x, y = (rows.reshape(-1, 64).astype(np.float64) for rows in (a, b))
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    scale = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    return np.where(scale > 0, (x * y).sum(axis=1) / np.maximum(scale, 1e-12), 0.0)
