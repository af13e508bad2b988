"""How a sum of losses is written, and what is refused."""

import re

import pytest

from dermssl.errors import UserError
from dermssl.flags import parse, write_options
from finetune.options.config import FinetuneConfig
from finetune.options.loss import LOSSES, LossConfig, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dice", ((1.0, "dice"),)),
        ("dice+0.5*bce", ((1.0, "dice"), (0.5, "bce"))),
        ("0.7*dice + 0.3*focal", ((0.7, "dice"), (0.3, "focal"))),
        (" 2 * lovasz+ .25*boundary ", ((2.0, "lovasz"), (0.25, "boundary"))),
        ("1e-2*bce", ((0.01, "bce"),)),
        ("mcc+dice+bce", ((1.0, "mcc"), (1.0, "dice"), (1.0, "bce"))),
    ],
)
def test_a_sum_is_read_in_its_order(text: str, expected: tuple[tuple[float, str], ...]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_stands_alone_too(name: str) -> None:
    assert terms(LossConfig(loss=name).loss) == ((1.0, name),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("diec", "no loss is called 'diec'; did you mean 'dice'?"),
        ("Dice+bce", "no loss is called 'Dice'; did you mean 'dice'?"),
        ("dice+lovash", "no loss is called 'lovash'; did you mean 'lovasz'?"),
        ("iou", "no loss is called 'iou'; there are dice, jaccard, bce, focal, tversky, lovasz, mcc, boundary"),
        ("dice-bce", "no loss is called 'dice-bce'; did you mean 'dice'?"),
        ("bce*0.5", "no loss is called '0.5'; there are dice"),
        ("dice+0*bce", "the weight of bce is a number above 0, as 0.5*bce; got '0'"),
        ("-1*dice", "the weight of dice is a number above 0, as 0.5*dice; got '-1'"),
        ("nan*dice", "the weight of dice is a number above 0, as 0.5*dice; got 'nan'"),
        ("inf*dice", "the weight of dice is a number above 0, as 0.5*dice; got 'inf'"),
        ("1e999*dice", "the weight of dice is a number above 0, as 0.5*dice; got '1e999'"),
        ("1.2.3*dice", "the weight of dice is a number above 0, as 0.5*dice; got '1.2.3'"),
        ("half*dice", "the weight of dice is a number above 0, as 0.5*dice; got 'half'"),
        ("2*3*dice", "the weight of dice is a number above 0, as 0.5*dice; got '2*3'"),
        ("dice+0.5*dice", "dice stands in it twice; give it one weight"),
        ("", "a term is empty; write LOSS or WEIGHT*LOSS with + between, as dice+0.5*bce"),
        (" ", "a term is empty"),
        ("dice+", "a term is empty"),
        ("+dice", "a term is empty"),
        ("dice++bce", "a term is empty"),
        ("0.5*", "a term is empty"),
        ("*dice", "a term is empty"),
    ],
)
def test_what_is_no_sum_of_losses_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        LossConfig(loss=text)
    assert str(caught.value).startswith("--loss ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"focal_gamma": 1.0}, "--focal_gamma 1.0 belongs to focal, which is not in --loss dice+bce; leave it out"),
        ({"focal_alpha": 0.25}, "--focal_alpha 0.25 belongs to focal, which is not in --loss dice+bce; leave it out"),
        (
            {"tversky_beta": 0.9, "loss": "focal"},
            "--tversky_beta 0.9 belongs to tversky, which is not in --loss focal; leave it out",
        ),
        ({"focal_gamma": -1.0, "loss": "focal"}, "--focal_gamma must not be negative, got -1.0"),
        ({"focal_gamma": float("nan"), "loss": "focal"}, "--focal_gamma must not be negative, got nan"),
        ({"focal_alpha": 1.0, "loss": "focal"}, "--focal_alpha is a share in (0, 1), got 1.0"),
        ({"tversky_alpha": 0.0, "loss": "tversky"}, "--tversky_alpha must be above 0, got 0.0"),
        ({"tversky_beta": float("inf"), "loss": "tversky"}, "--tversky_beta must be above 0, got inf"),
    ],
)
def test_options_of_other_losses_and_wrong_ones_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        LossConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"loss": "focal", "focal_alpha": 0.25}, {"loss": "bce+tversky", "tversky_beta": 0.9}]
)
def test_options_of_a_loss_that_is_there_are_taken(options: dict[str, object]) -> None:
    assert vars(LossConfig(**options)) == vars(LossConfig()) | options  # type: ignore[arg-type]


def test_the_flag_takes_a_sum_and_a_file_gives_it_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = parse(FinetuneConfig, "finetune", ["--loss", "0.7*dice + 0.3*focal", "--focal_gamma", "1.5"])
    write_options(config, tmp_path / "config.yaml")
    again = parse(FinetuneConfig, "finetune", ["--config", str(tmp_path / "config.yaml")])
    assert (again.loss, again.focal_gamma) == ("0.7*dice + 0.3*focal", 1.5)


def test_a_mistyped_loss_is_a_sentence_of_the_command() -> None:
    with pytest.raises(UserError, match="no loss is called 'dise'; did you mean 'dice'"):
        parse(FinetuneConfig, "finetune", ["--loss", "dise+bce"])
