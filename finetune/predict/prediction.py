"""The masks of a folder of pictures, by one network or the mean of several."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dermssl.parallel import local_world
from dermssl.runs.control_group import usable_cores
from finetune.predict.inputs import DamagedPicture, InputPicture, InputSquares, Preprocessing, read_squares
from finetune.predict.mask_files import MaskFiles
from finetune.scoring.inference import Cut, Predictor, Probability, pipelined

AHEAD = 2  # batches of a GPU that are read, and that are written, while it computes


class PictureProbabilities(NamedTuple):
    """A picture, and what each network makes of it."""

    squares: InputSquares
    probabilities: tuple[Probability, ...]
    """Probabilities of each network on its own square, (S, S)."""


@dataclass(frozen=True)
class PredictionPipeline:
    """Reads many pictures, predicts and writes their masks, in memory that does not grow with their number.

    Pictures are read, and files written, by all cores. On a CPU that happens between the batches, where the network
    leaves the cores alone: two threads beside a busy core are far slower than one. Beside a GPU it happens meanwhile.
    """

    predictors: Sequence[Predictor]
    preprocessings: Sequence[Preprocessing]
    """What becomes of a picture before each of these sees it, in the same order."""
    cut: Cut
    files: MaskFiles

    def write_masks_of(
        self, pictures: Sequence[InputPicture], batch_size: int, threads: int
    ) -> Iterator[list[DamagedPicture]]:
        """Writes the files of these pictures, a batch at a time; yields what is damaged in each."""
        batches = [pictures[first : first + batch_size] for first in range(0, len(pictures), batch_size)]
        ahead = AHEAD if any(predictor.network.beside_cpu for predictor in self.predictors) else 0
        with ThreadPoolExecutor(threads or max(1, usable_cores() // local_world())) as pool:

            def reading(batch: Sequence[InputPicture]) -> list[InputSquares | DamagedPicture]:
                return list(pool.map(lambda picture: read_squares(picture, self.preprocessings), batch))

            def writing(batch: tuple[list[PictureProbabilities], list[DamagedPicture]]) -> list[DamagedPicture]:
                list(pool.map(self.write, batch[0]))
                return batch[1]

            batches_of_squares = pipelined(reading, batches, ahead)
            batches_of_probabilities = pipelined(self.probabilities_of, batches_of_squares, ahead)
            yield from pipelined(writing, batches_of_probabilities, ahead)

    def probabilities_of(
        self, batch: list[InputSquares | DamagedPicture]
    ) -> tuple[list[PictureProbabilities], list[DamagedPicture]]:
        """The networks' probabilities for a batch of pictures, and the pictures that could not be read."""
        readable = [picture for picture in batch if isinstance(picture, InputSquares)]
        damaged = [picture for picture in batch if isinstance(picture, DamagedPicture)]
        if not readable:
            return [], damaged
        squares = zip(*(picture.squares for picture in readable), strict=True)  # of each network in turn
        probabilities = [predictor.on_squares(own) for predictor, own in zip(self.predictors, squares, strict=True)]
        by_picture = zip(readable, zip(*probabilities, strict=True), strict=True)
        return [PictureProbabilities(picture, outputs) for picture, outputs in by_picture], damaged

    def write(self, picture: PictureProbabilities) -> None:
        """Writes the files of a picture."""
        probability = self.mean(picture)
        self.files.write(picture.squares.picture, probability, self.cut(probability))

    def mean(self, picture: PictureProbabilities) -> Probability:
        """The mean of the networks' probabilities at the picture's own size, (H, W)."""
        height, width = picture.squares.height, picture.squares.width
        native = (
            view.fit.native(own, height, width)
            for view, own in zip(self.preprocessings, picture.probabilities, strict=True)
        )
        total = next(native)
        for other in native:
            total = total + other
        return total / np.float32(len(self.preprocessings))
