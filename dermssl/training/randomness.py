"""Randomness as a function of counters: an image's draw depends on (seed, epoch, image, view) and on nothing else.

So arms of a comparison see the same pictures, the number of workers does not matter, and a resumed run needs no more
than the epoch it stopped in.
"""

import random
from collections.abc import Iterator
from itertools import islice

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.utils.data import Sampler

Draw = tuple[int, int]  # (pass, index): which image, and which of its draws


def counter_seed(*counters: int) -> int:
    """A seed in [0, 2**32) that is a hash of the counters, each >= 0: near counters give unrelated seeds."""
    return int(np.random.SeedSequence(counters).generate_state(1)[0])


def let_draw(pipeline: A.Compose, *counters: int) -> None:
    """Sets what the transforms of `pipeline` draw next, one after the other from one stream.

    Its own `set_random_seed` gives every transform the same numbers to draw: what is turned is then always dark, say.
    """
    seed = counter_seed(*counters)
    pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))


def order_of(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which a pass takes `count` images."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class Order(Sampler[Draw]):
    """Each epoch's images in their order, with the pass beside them, so that a data set needs no state.

    Args:
        count: Images.
        seed: Of the orders.
        passes: How often an epoch goes through all images: a handful of labelled images would make epochs of a step.
        skipped: Draws of the first epoch that were made before a resume.
    """

    def __init__(self, count: int, seed: int, passes: int = 1, skipped: int = 0) -> None:
        self.count, self.seed, self.passes, self.skipped, self.epoch = count, seed, passes, skipped, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch, also the first one after a resume."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Draw]:
        first, self.skipped = self.skipped, 0
        draws = (
            (number, int(index))
            for number in range(self.epoch * self.passes, (self.epoch + 1) * self.passes)
            for index in order_of(self.count, self.seed, number)
        )
        yield from islice(draws, first, None)

    def __len__(self) -> int:
        return self.count * self.passes


class CountedRandomness(Callback):
    """Seeds torch anew at every step from (seed, step), so that dropout after a resume is dropout without one."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Before the step's forward pass."""
        torch.manual_seed(counter_seed(self.seed, trainer.global_step))
