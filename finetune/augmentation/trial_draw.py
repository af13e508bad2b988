"""A transform tried on a drawn picture, so that one which cannot be trained with is refused before training."""

import copy
import random
import re
import time
import warnings

import albumentations as A
import numpy as np

from dermssl.data.images import Pixels
from dermssl.errors import UserError
from finetune.augmentation.borders import beyond, pad_nothing

TRIES = 16
SLOWEST = 0.5  # seconds of a draw
PYDANTIC = re.compile(r"^\d+ validation errors? for InitSchema | \[type=.*?errors\.pydantic\.dev\S*")


def try_out(transform: A.BasicTransform, where: str, padding: str, size: int) -> None:
    """Draws from a transform that comes always, at sixteen seeds, on squares of `size` pixels.

    Args:
        transform: As it was built; it stays as it is.
        where: File, entry and name, for errors.
        padding: Under `none` a transform that uncovers corners is refused.
        size: Side of the square, pixels.

    Raises:
        UserError: If it fails, changes the picture's size or type, makes other values than 0 and 1 of a mask, draws
            otherwise at the same seed, or uncovers corners under padding `none`.
    """
    always, bare = copy.deepcopy(transform), copy.deepcopy(transform)
    always.p = bare.p = 1
    pad_nothing([bare])
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    mask = (rng.random((size, size)) < 0.5).astype(np.uint8)
    for seed in range(TRIES):
        first, second = (draw_once(always, image, mask, seed, where) for _ in range(2))
        refuse_misshapen(*first, size, where)
        if not all(np.array_equal(*pair) for pair in zip(first, second, strict=True)):
            raise UserError(
                f"{where}: gives another picture when it is drawn again with the same seed, so that runs that are "
                "compared would not see the same pictures; take another transform"
            )
        if padding == "none" and beyond(draw_once(bare, image, np.ones_like(mask), seed, where)[1]).any():
            raise UserError(
                f"{where}: uncovers corners, which --padding none does not fill; "
                "take another --padding, or RandomResizedCrop"
            )


def draw_once(transform: A.BasicTransform, image: Pixels, mask: Pixels, seed: int, where: str) -> tuple[Pixels, Pixels]:
    """What the transform makes of a picture and its mask at a seed, and in no more than seconds."""
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pipeline = A.Compose([transform], seed=0)
            pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))
            sample = pipeline(image=image.copy(), mask=mask.copy())
    except Exception as error:  # each transform has its own way to stop at what it cannot take
        raise UserError(
            f"{where}: fails on a picture of {len(image)} x {len(image)} pixels ({in_a_line(error)}); change its "
            "arguments, or take another transform"
        ) from error
    if (took := time.process_time() - began) > SLOWEST:
        raise UserError(
            f"{where}: takes {took:.0f} s for a picture of {len(image)} x {len(image)} pixels, and a training draws "
            "thousands; change its arguments, or take another transform"
        )
    return sample["image"], sample["mask"]


def refuse_misshapen(image: Pixels, mask: Pixels, size: int, where: str) -> None:
    """Stops at a picture or a mask of another size or type, and at a mask that is not of 0 and 1."""
    if (image.shape, mask.shape) != ((size, size, 3), (size, size)):
        got = " x ".join(map(str, image.shape[:2]))
        raise UserError(f"{where}: makes {got} of {size} x {size} pixels; a transform must keep the picture's size")
    if image.dtype != np.uint8 or mask.dtype != np.uint8:
        raise UserError(
            f"{where}: gives {image.dtype} and not uint8; leave it out, the network normalises its input itself"
        )
    if strange_values := {int(value) for value in np.unique(mask)} - {0, 1}:
        raise UserError(
            f"{where}: puts {min(strange_values)} into a mask of 0 and 1; a mask may be moved and not repainted"
        )


def in_a_line(error: BaseException) -> str:
    """What an error says, without line breaks and without what pydantic says of itself."""
    text = " ".join(str(error).split())
    return PYDANTIC.sub("", text) or type(error).__name__
