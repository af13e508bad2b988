from collections.abc import Callable
from dataclasses import dataclass, fields
from math import inf, nan

import pytest

from compare.study.config import StudyConfig
from dermssl.bounds import above_zero, at_least, at_most, processes, share, sides, whole_seeds
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from pretrain.known_methods import METHODS, recipe_of
from probe.config import ProbeConfig


@dataclass(frozen=True)
class Options:
    number: object


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (1, "--number must be at least 2, for an anchor needs a negative; got 1"),
        ((3, 1), "--number must be at least 2, for an anchor needs a negative; got 1"),
        (nan, "--number must be at least 2, for an anchor needs a negative; got nan"),
        (inf, "--number must be at least 2, for an anchor needs a negative; got inf"),
    ],
)
def test_a_number_below_its_bound_is_named_with_the_reason(number: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        at_least(Options(number), 2, "number", why="for an anchor needs a negative")


@pytest.mark.parametrize("number", [2, 2.5, 10**400, (2, 3), (), None, "auto"])
def test_numbers_at_the_bound_or_above_pass_and_so_does_what_is_no_number(number: object) -> None:
    at_least(Options(number), 2, "number")


def test_a_bound_of_zero_is_said_as_such() -> None:
    with pytest.raises(ValueError, match=r"^--number must not be negative, got -1$"):
        at_least(Options(-1), 0, "number")


@pytest.mark.parametrize("number", [0, -1e-9, nan, inf, (1.0, 0.0)])
def test_zero_is_not_above_zero(number: object) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        above_zero(Options(number), "number")


@pytest.mark.parametrize(
    ("interval", "refused", "taken"),
    [
        ("(0, 1)", (0, 1, nan), (0.5,)),
        ("[0, 1)", (-0.1, 1), (0, 0.999)),
        ("(0, 1]", (0, 1.1), (1e-9, 1)),
        ("[0, 1]", (-1e-9, 1 + 1e-9, inf), (0, 1)),
    ],
)
def test_a_share_lies_in_its_interval(interval: str, refused: tuple[float, ...], taken: tuple[float, ...]) -> None:
    share(Options(taken), "number", interval=interval)
    for number in refused:
        with pytest.raises(ValueError, match="is a share in "):
            share(Options(number), "number", interval=interval)


@pytest.mark.parametrize(
    ("bound", "taken", "refused"),
    [(whole_seeds, 2**32 - 1, 2**32), (processes, 4096, 4097), (sides, 16_384, 16_385)],
)
def test_what_machines_hold_has_a_most(bound: Callable[..., None], taken: int, refused: int) -> None:
    bound(Options(taken), "number")
    for number in (refused, 10**400):
        with pytest.raises(ValueError, match=f"^--number must be at most {taken}, got {number}$"):
            bound(Options(number), "number")


def test_a_most_is_told_with_its_reason() -> None:
    with pytest.raises(ValueError, match=r"^--number must be at most 3, for there are no more; got 4$"):
        at_most(Options(4), 3, "number", why="for there are no more")


COMMANDS = [*map(recipe_of, METHODS), FinetuneConfig, ProbeConfig, PredictConfig, StudyConfig]


@pytest.mark.parametrize("options", COMMANDS, ids=lambda options: options.__name__)
def test_no_option_of_any_command_takes_a_number_that_is_none(options: type) -> None:
    needed = {PredictConfig: {"model": "m", "images": "i", "out": "o"}, FinetuneConfig: {"loss": "focal+tversky"}}
    for field in fields(options):
        for number in (nan, inf) if "float" in str(field.type) else ():
            value = (number,) if "tuple" in str(field.type) else number
            with pytest.raises(ValueError, match=str(number)):
                options(**needed.get(options, {}), **{field.name: value})


def test_a_rate_of_the_encoder_is_finite() -> None:
    with pytest.raises(ValueError, match="--encoder_lr must be above 0, got inf"):
        FinetuneConfig(encoder_lr=inf)
