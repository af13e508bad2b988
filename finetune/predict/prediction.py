"""The masks of a folder of pictures, by one network or the mean of several."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from finetune.predict.inputs import DamagedPicture, InputPicture, InputSquares, Preprocessing, read_squares
from finetune.predict.mask_files import MaskFiles
from finetune.scoring.inference import Cut, Predictor, Probability, pipelined

AHEAD = 2  # batches of a GPU that are read, and that are written, while it computes


class PictureProbabilities(NamedTuple):
    """A picture that the networks have answered to."""

    read: InputSquares
    answers: tuple[Probability, ...]
    """Of each network, on its own square, (S, S)."""


@dataclass(frozen=True)
class PredictionPipeline:
    """The work on many pictures, in memory that does not grow with their number.

    Pictures are read, and files written, by all cores. On a CPU that happens between the batches, where the network
    leaves the cores alone: two threads beside a busy core are far slower than one. Beside a GPU it happens meanwhile.
    """

    predictors: Sequence[Predictor]
    views: Sequence[Preprocessing]
    """How each of them looks at a picture, in the same order."""
    cut: Cut
    files: MaskFiles

    def of(self, pictures: Sequence[InputPicture], batch_size: int, threads: int) -> Iterator[list[DamagedPicture]]:
        """Writes the files of these pictures, a batch at a time; yields what is damaged in each."""
        batches = [pictures[first : first + batch_size] for first in range(0, len(pictures), batch_size)]
        ahead = AHEAD if any(predictor.network.beside for predictor in self.predictors) else 0
        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:

            def reading(batch: Sequence[InputPicture]) -> list[InputSquares | DamagedPicture]:
                return list(pool.map(lambda picture: read_squares(picture, self.views), batch))

            def writing(batch: tuple[list[PictureProbabilities], list[DamagedPicture]]) -> list[DamagedPicture]:
                list(pool.map(self.write, batch[0]))
                return batch[1]

            seen = pipelined(reading, batches, ahead)
            answered = pipelined(self.answered, seen, ahead)
            yield from pipelined(writing, answered, ahead)

    def answered(
        self, batch: list[InputSquares | DamagedPicture]
    ) -> tuple[list[PictureProbabilities], list[DamagedPicture]]:
        """What the networks answer to a batch of pictures, and the pictures that could not be read."""
        whole = [one for one in batch if isinstance(one, InputSquares)]
        damaged = [one for one in batch if isinstance(one, DamagedPicture)]
        if not whole:
            return [], damaged
        squares = zip(*(one.squares for one in whole), strict=True)  # of each network in turn
        found = [predictor.on_squares(own) for predictor, own in zip(self.predictors, squares, strict=True)]
        return [PictureProbabilities(*one) for one in zip(whole, zip(*found, strict=True), strict=True)], damaged

    def write(self, one: PictureProbabilities) -> None:
        """Writes the files of a picture."""
        probability = self.mean(one)
        self.files.write(one.read.picture, probability, self.cut(probability))

    def mean(self, one: PictureProbabilities) -> Probability:
        """The mean of the networks' probabilities at the picture's own size, (H, W)."""
        height, width = one.read.height, one.read.width
        native = (view.fit.native(own, height, width) for view, own in zip(self.views, one.answers, strict=True))
        total = next(native)
        for other in native:
            total = total + other
        return total / np.float32(len(self.views))
