"""Test-time augmentation: the mean of what a network makes of a picture under the eight symmetries of the square."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dermssl.data.images import Pixels

SYMMETRIES = 8  # of the square: four turns, each of them mirrored too

SquarePredictor = Callable[[Pixels], NDArray[np.float32]]


def apply_symmetry(squares: Pixels, number: int) -> Pixels:
    """The squares, (B, S, S) or (B, S, S, C), under one of the eight symmetries; number 0 leaves them as they are."""
    squares = squares[:, ::-1] if number & 1 else squares
    squares = squares[:, :, ::-1] if number & 2 else squares
    return squares.swapaxes(1, 2) if number & 4 else squares


def undo_symmetry(squares: NDArray[np.float32], number: int) -> NDArray[np.float32]:
    """The squares as they were before `apply_symmetry`, (B, S, S)."""
    squares = squares.swapaxes(1, 2) if number & 4 else squares
    squares = squares[:, :, ::-1] if number & 2 else squares
    return squares[:, ::-1] if number & 1 else squares


def over_symmetries(predict: SquarePredictor, squares: Pixels) -> NDArray[np.float32]:
    """The mean of what `predict` makes of the eight symmetries, each undone: (B, S, S) of squares (B, S, S, 3).

    Turning the squares turns the mean and changes no bit of it, whatever the network: the eight numbers of a pixel are
    summed in the order of their size and in double precision, so that it does not matter which of them came first.
    """
    outputs = [
        undo_symmetry(predict(np.ascontiguousarray(apply_symmetry(squares, number))), number)
        for number in range(SYMMETRIES)
    ]
    rising = np.sort(np.stack(outputs), axis=0)  # (8, B, S, S)
    mean: NDArray[np.float32] = rising.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
