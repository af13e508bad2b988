"""How long a training is, in optimiser steps: counted without a network, so that plans of many are counted as well."""

import math
from dataclasses import dataclass

from dermssl.errors import UserError
from dermssl.wording import counted
from finetune.options.transfer import TransferConfig


@dataclass(frozen=True)
class Schedule:
    """The length of a training and of its frozen beginning, in optimiser steps."""

    steps: int
    thaw: int | None = None
    """Steps after which a frozen encoder is trained as well; None for never."""


def schedule_of(config: TransferConfig, images: int) -> Schedule:
    """Steps and thaw as `config` wants them with that many training images.

    Raises:
        UserError: If the encoder would be thawed when training has ended already.
    """
    steps = optimiser_steps(config, images)
    if config.thaw_after is None:
        return Schedule(steps)
    thaw = steps_in(config.thaw_after, images, config.batch_size)
    if thaw >= steps:
        longer = f"--steps {thaw + 1}" if config.epochs is None else f"--epochs {config.thaw_after + 1}"
        passes = f"{counted(config.thaw_after, 'pass')} over {counted(images, 'training image')}"
        raise UserError(
            f"--thaw_after {config.thaw_after}: {passes} are {counted(thaw, 'step')}, and training ends after {steps}; "
            f"give {longer} or more{', or lower it' if config.thaw_after > 1 else ''}"
        )
    return Schedule(steps, thaw)


def optimiser_steps(config: TransferConfig, images: int) -> int:
    """Optimiser steps of the whole training on that many images: of `epochs` where they are given, else `steps`."""
    return config.steps if config.epochs is None else steps_in(config.epochs, images, config.batch_size)


def steps_in(passes: int, images: int, batch_size: int) -> int:
    """Full batches in as many passes over the images, rounded up; a batch may span passes."""
    return math.ceil(passes * images / batch_size)
