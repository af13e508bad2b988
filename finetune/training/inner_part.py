"""The inner part: training images that do not train, so that no choice needs a look at the held-out ones."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache
from dermssl.errors import UserError
from dermssl.parallel import of_all, of_the_first
from dermssl.scores.counts import count, jaccard
from dermssl.splits.config import SplitConfig
from dermssl.splits.drawn import draw_split
from dermssl.splits.near_duplicates import near_pairs
from dermssl.training.randomness import counter_seed
from dermssl.wording import counted
from finetune.scoring.image_scores import own_images
from finetune.scoring.inference import Cut, Predictor

TAG = 0x1AAE  # makes the draw another one than that of the held-out images
INSTEAD = "take more labelled images, or leave --patience, --threshold_search and --score_on inner out"


class Parts(NamedTuple):
    """The two sides of the training images: those that train, and those set aside to choose by."""

    train: tuple[str, ...]
    """Ids of the images that still train, in the order that they had."""
    inner: tuple[str, ...]
    """Ids of the images that are set aside."""


def set_aside(manifest: Manifest, train: Sequence[str], fraction: float, split_seed: int) -> Parts:
    """Takes a share of the training images away from the training; what shows the same skin stays together.

    A function of these images and the split's seed: all arms and seeds choose on the same images. Held-out images have
    no part in it.

    Args:
        manifest: The data set.
        train: Ids of the images that would train.
        fraction: Share of them to set aside, in (0, 1); as near as whole patients, lesions and near-duplicates come.
        split_seed: Seed of the split.

    Raises:
        UserError: If they all belong together, or whole lesions would leave less than half of what is to train.
    """
    table = manifest.take(train).table.assign(part="")  # nobody's official parts count inside the training images
    pairs = near_pairs(manifest)
    training_pairs = pairs[pairs["image_a"].isin(train) & pairs["image_b"].isin(train)]
    options = SplitConfig(val_fraction=fraction, split_seed=counter_seed(split_seed, TAG))
    try:
        inner = draw_split(replace(manifest, table=table), options, training_pairs).val
    except UserError as error:
        raise UserError(
            f"--inner_fraction {fraction:g}: {counted(len(train), 'training image')} of one lesion or one patient, or "
            f"that are near-duplicates, cannot be parted into some that train and some set aside; {INSTEAD}"
        ) from error
    remaining = tuple(image for image in train if image not in set(inner))
    if len(remaining) < max(2, (1 - fraction) * len(train) / 2):
        raise UserError(
            f"--inner_fraction {fraction:g}: lesions stay whole, so {len(inner)} of {len(train)} training images would "
            f"be set aside and {len(remaining)} left to train on; {INSTEAD}"
        )
    return Parts(remaining, inner)


def mean_iou(predictor: Predictor, cut: Cut, images: Manifest, pixels: PixelCache) -> float:
    """The mean over images of the Jaccard at native size, in [0, 1]; processes that train together share them.

    Args:
        predictor: The network to score.
        cut: How probabilities become masks.
        images: With masks, at least one.
        pixels: The same images in the same order.
    """
    own, pictures = own_images(images, pixels)
    probabilities = predictor.probabilities(lambda index: np.asarray(pictures[index]), own.native_sizes)
    scores = [jaccard(count(own.lesion(index), cut(probability))) for index, probability in probabilities]
    return of_the_first(float(np.mean(of_all(scores))))  # for all of them end training by it, or none
