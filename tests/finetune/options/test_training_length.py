"""How many steps a training is, and where a thaw may lie."""

import pytest

from dermssl.errors import UserError
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule, optimiser_steps, schedule_of


def config(**more: object) -> FinetuneConfig:
    return FinetuneConfig(**more)


def test_epochs_are_passes_over_the_training_images_and_win_over_steps() -> None:
    assert optimiser_steps(config(steps=7), images=100) == 7
    assert optimiser_steps(config(steps=7, epochs=3, batch_size=16), images=100) == 19  # 18.75
    assert optimiser_steps(config(epochs=1, batch_size=16), images=3) == 1
    assert schedule_of(config(epochs=3, freeze=True, thaw_after=1, batch_size=16), images=100) == Schedule(19, 7)


def test_a_thaw_behind_the_end_of_training_is_refused() -> None:
    with pytest.raises(UserError, match=r"1 pass over 8 training images are 1 step, .* give --epochs 2 or more$"):
        schedule_of(config(epochs=1, freeze=True, thaw_after=1, batch_size=8), images=8)
    assert schedule_of(config(epochs=2, freeze=True, thaw_after=1, batch_size=8), images=8) == Schedule(2, 1)
    with pytest.raises(UserError, match="--thaw_after 3: 3 passes over 100 training images are 19 steps, and training"):
        schedule_of(config(steps=19, freeze=True, thaw_after=3), images=100)
