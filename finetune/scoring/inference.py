"""Probabilities at native size from a trained network, worked out ahead, and the masks that they become."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dermssl.data.images import Pixels
from dermssl.features.equal_batches import equal_batches
from dermssl.training.device import Precision, whole_float32
from dermssl.weights.encoder import Normalise
from finetune.augmentation.fit import Fit
from finetune.scoring.postprocess import postprocessed
from finetune.scoring.symmetries import over_symmetries

Probability = NDArray[np.float32]  # of lesion, in [0, 1]
Mask = NDArray[np.bool_]
Item = TypeVar("Item")
Result = TypeVar("Result")


class Segmenter(Protocol):
    """A trained network in whatever form; on a CPU a square's probabilities have the same bits in any batch."""

    @property
    def beside_cpu(self) -> bool:
        """Whether it computes beside the CPU, so that pictures can be read meanwhile."""

    def __call__(self, squares: Pixels) -> Probability:
        """Probability of lesion (B, S, S) of RGB squares (B, S, S, 3)."""


class TorchSegmenter:
    """A network of torch, on the device that it lies on; put into eval mode, all of it, at every call.

    Args:
        model: Normalised images (B, 3, S, S) to logits (B, 1, S, S).
        normalise: uint8 pixels to what the model takes.
        precision: bf16-mixed runs the network under autocast; probabilities are float32 always. 32-true is float32 to
            its last bit on a GPU as well.
    """

    def __init__(self, model: nn.Module, normalise: Normalise, precision: Precision = "32-true") -> None:
        self.device = next(model.parameters()).device
        self.model, self.normalise = model, normalise.to(self.device)
        self.halved = precision == "bf16-mixed"

    @property
    def beside_cpu(self) -> bool:
        """True on a GPU."""
        return self.device.type != "cpu"

    @torch.inference_mode()
    def __call__(self, squares: Pixels) -> Probability:
        """Probability of lesion (B, S, S) of RGB squares (B, S, S, 3)."""
        self.model.eval()
        pixels = torch.from_numpy(squares).permute(0, 3, 1, 2).to(self.device)
        with whole_float32(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.halved):
            logits = [self.model(self.normalise(batch))[:count] for batch, count in equal_batches(pixels)]
        probability: Probability = torch.cat(logits).float().sigmoid()[:, 0].cpu().numpy()
        return probability


@dataclass(frozen=True)
class Predictor:
    """A network with all it takes to go from pictures to probabilities."""

    network: Segmenter
    fit: Fit
    """How pictures become the network's squares, and its probabilities those of the picture."""
    batch_size: int
    """Squares at once."""
    symmetries: bool = False
    """Whether to average over the eight symmetries of the square."""

    def on_squares(self, squares: Sequence[Pixels]) -> Probability:
        """Probabilities (B, S, S) of squares (S, S, 3)."""
        stacked: Pixels = np.stack(squares)
        return over_symmetries(self.network, stacked) if self.symmetries else self.network(stacked)

    def probabilities(
        self, picture: Callable[[int], Pixels], sizes: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, Probability]]:
        """Index and probability, (H, W), of every picture in order, in memory that does not grow with their number.

        Args:
            picture: Gives picture i, (h, w, 3), at any size of the native aspect, such as that of a pixel cache.
            sizes: Native (height, width) of each.
        """
        batches = (
            range(first, min(first + self.batch_size, len(sizes))) for first in range(0, len(sizes), self.batch_size)
        )

        def predicted(batch: range) -> tuple[range, Probability]:
            return batch, self.on_squares([self.fit.square(picture(index)) for index in batch])

        for batch, probabilities in pipelined(predicted, batches, ahead=int(self.network.beside_cpu)):
            for index, probability in zip(batch, probabilities, strict=True):
                yield index, self.fit.native(probability, *sizes[index])


@dataclass(frozen=True)
class Cut:
    """How probabilities become a mask: thresholded at native size, then postprocessed."""

    threshold: float
    """Probability above which a pixel is lesion."""
    largest: bool = False
    """Whether the largest region alone is kept."""
    fill_holes: bool = False
    """Whether skin that a lesion encloses becomes a part of it."""

    def __call__(self, probability: Probability) -> Mask:
        """The mask (H, W) of probabilities (H, W)."""
        return postprocessed(probability > self.threshold, largest=self.largest, fill_holes=self.fill_holes)


def pipelined(work: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """The result of `work` on each item, in their order, worked out ahead of where they are asked for.

    Args:
        work: What is done to an item; an error that it raises comes out where its result would have.
        items: Asked for one by one, in this thread.
        ahead: Results that are begun, in one thread beside this one, before they are asked for; so many are in memory
            at once. 0 does all in this thread and when asked, which is what a CPU without an idle core wants.
    """
    if ahead == 0:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(1) as executor:
        futures: deque[Future[Result]] = deque()
        for item in items:
            futures.append(executor.submit(work, item))
            if len(futures) > ahead:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
