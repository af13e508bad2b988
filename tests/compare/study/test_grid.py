"""The grid: every combination of the levels, less what the rules leave out."""

import itertools
import re
from pathlib import Path

import pytest

from compare.page.blocks import plain_number
from compare.study.config import StudyConfig
from compare.study.factors import FACTORS, level
from compare.study.grid import all_combinations, combination_in_words, combinations, finetuning_options
from compare.study.rules import exclusion_rule
from dermssl.errors import UserError
from dermssl.flags import parse

LEVELS = dict.fromkeys(FACTORS, ()) | {"decoder": ("unet", "fpn"), "label_fraction": ("5 %", "100 %")}


def test_the_grid_is_the_product_of_the_factors() -> None:
    study = StudyConfig(encoder=("resnet18", "resnet34"), loss=("dice", "bce"), image_size=(64, 96), seed=(3, 4))
    grid = list(all_combinations(study))
    wanted = itertools.product(
        ("ssl", "imagenet", "random"), study.encoder, study.decoder, study.loss, study.image_size,
        study.label_fraction, study.seed,
    )  # fmt: skip
    names = ("init", "encoder", "decoder", "loss", "image_size", "label_fraction", "seed")
    assert sorted(tuple(one[name] for name in names) for one in grid) == sorted(wanted)
    assert {one["method"] for one in grid if one["init"] == "ssl"} == {"simclr"}
    assert {one["method"] for one in grid if one["init"] != "ssl"} == {""}


def test_a_factor_without_levels_stands_as_the_file_of_fixed_options_says(tmp_path: Path) -> None:
    fixed = tmp_path / "f.yaml"
    fixed.write_text("loss: bce\nlr: 1e-2\npadding: edge\nimage_size: 64\n")
    [first, *_] = combinations(StudyConfig(finetune=fixed))
    assert [first[name] for name in ("loss", "lr", "padding", "image_size", "fold")] == ["bce", 0.01, "edge", 64, None]


def test_a_rate_that_is_searched_for_is_no_level_yet() -> None:
    assert {one["lr"] for one in combinations(StudyConfig(search="grid"))} == {None}


def test_all_folds_are_run_unless_some_are_named() -> None:
    assert {one["fold"] for one in combinations(StudyConfig(folds=3))} == {0, 1, 2}
    assert {one["fold"] for one in combinations(StudyConfig(folds=3, fold=(2,)))} == {2}
    assert finetuning_options(StudyConfig(folds=3), combinations(StudyConfig(folds=3))[-1]).fold == 2
    assert finetuning_options(StudyConfig(folds=3), combinations(StudyConfig(folds=3))[-1]).folds == 3


@pytest.mark.parametrize(
    ("folds", "chosen_on", "reason"),
    [
        (5, (5,), "got 5 of 5 folds"),
        (5, (-1,), "got -1 of 5 folds"),
        (0, (0,), "got 0 of a study without --folds"),
        (2, (0, 1), "no image is left to judge the choice by"),
    ],
)
def test_folds_of_the_choice_are_folds_and_leave_some(folds: int, chosen_on: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StudyConfig(folds=folds, chosen_on=chosen_on)


def test_folds_of_the_choice_change_no_run() -> None:
    grids = [combinations(StudyConfig(folds=3, chosen_on=chosen_on)) for chosen_on in ((), (0,))]
    assert grids[0] == grids[1]


def test_seeds_come_one_after_the_other_and_arms_side_by_side() -> None:
    grid = combinations(StudyConfig())
    assert [one["seed"] for one in grid] == sorted(one["seed"] for one in grid)
    assert [one["init"] for one in grid[:6]] == ["ssl", "imagenet", "random"] * 2
    assert len({(one["decoder"], one["label_fraction"]) for one in grid[:3]}) == 1


def test_a_rule_leaves_out_what_has_all_of_its_levels() -> None:
    study = StudyConfig(exclude=("decoder=fpn label_fraction=0.1", "init=random seed=1"))
    left_out = [one for one in all_combinations(study) if one not in combinations(study)]
    assert left_out == [
        one
        for one in all_combinations(study)
        if (one["decoder"] == "fpn" and one["label_fraction"] == 0.1) or (one["init"] == "random" and one["seed"] == 1)
    ]
    assert left_out


def test_a_level_may_be_written_as_any_number_writes_it() -> None:
    text = "decoder=fpn label_fraction=5e-2"
    given = dict.fromkeys(FACTORS) | {"decoder": "fpn", "label_fraction": 0.05}
    assert exclusion_rule(text, LEVELS).leaves_out(given)
    assert not exclusion_rule(text, LEVELS).leaves_out(given | {"decoder": "unet"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("decodr=fpn", "'decodr' is no factor; did you mean 'decoder'?"),
        ("decoder=pspnet", "the study has no decoder 'pspnet' (unet, fpn)"),
        ("decoder", "a rule is FACTOR=LEVEL"),
        ("  ", "such as 'decoder=pspnet'"),
        ("label_fraction=0.2", "the study has no label_fraction '0.2' (5 %, 100 %)"),
    ],
)
def test_a_wrong_rule_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        exclusion_rule(text, LEVELS)


def test_rules_that_leave_nothing_are_told() -> None:
    with pytest.raises(ValueError, match="leaves no run of the grid"):
        combinations(StudyConfig(decoder=("unet",), exclude=("decoder=unet",)))


def test_levels_that_do_not_go_together_are_told_with_the_combination(tmp_path: Path) -> None:
    fixed = tmp_path / "f.yaml"
    fixed.write_text("loss: tversky\ntversky_alpha: 0.4\n")
    study = StudyConfig(finetune=fixed, loss=("tversky", "dice"))
    wrong = next(one for one in combinations(study) if one["loss"] == "dice")
    with pytest.raises(ValueError, match=r"^unet, simclr, .*dice, 10 % of labels, seed 0: --tversky_alpha .*--exclude"):
        finetuning_options(study, wrong)


def test_a_combination_is_called_by_what_the_study_varies() -> None:
    study = StudyConfig(image_size=(64, 96))
    said = combination_in_words(combinations(study)[0], study)
    assert said == "unet, simclr, tu-tf_efficientnet_lite0, 64 px, 10 % of labels, seed 0"
    assert "px" not in combination_in_words(combinations(StudyConfig())[0], StudyConfig())


@pytest.mark.parametrize(
    ("factor", "value", "word"),
    [
        ("label_fraction", 0.005, "0.5 %"), ("image_size", 96.0, "96 px"), ("lr", 1e-3, "0.001"), ("seed", 2.0, "2"),
        ("init", "checkpoints/moco/encoder.safetensors", "moco"), ("init", "a/b/mine.safetensors", "mine"),
        ("lr", float("nan"), ""), ("method", "", ""), ("fold", None, ""),
    ],
)  # fmt: skip
def test_levels_in_words(factor: str, value: str | float | None, word: str) -> None:
    assert level(factor, value) == word


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--decodr", "unet"], "no option --decodr; did you mean --decoder"),
        (["--decoder"], "--decoder needs one value or more"),
        (["--seed", "1", "1"], "none of them twice"),
        (["--init", "imgenet"], "did you mean 'imagenet'"),
        (["--init", "a/x.safetensors", "b/x.safetensors"], "two of them would be called 'x'"),
        (["--contrast", "ssl", "imgenet"], "--contrast names two of --init .*did you mean 'imagenet'"),
        (["--contrast", "ssl", "ssl"], "--contrast names two of --init"),
        (["--arms", "loss", "--loss", "dice", "bce"], r"--contrast names two of --loss \(dice, bce\)"),
        (["--arms", "lr", "--lr", "1e-3", "1e-4", "--contrast", "0.001", "0.01"], "--contrast names two of --lr"),
        (["--folds", "1"], "--folds is 0 or at least 2"),
        (["--folds", "3", "--fold", "3"], "3 of 3 folds"),
        (["--fold", "0"], "0 of 0 folds"),
        (["--pretrainings", "3"], "--pretrainings is 1 to the number of --seed, 2"),
        (["--search", "grid", "--lr", "1e-3"], "leave one of them out"),
        (["--search", "optuna"], "lowest and the highest"),
        (["--search_lr", "1e-3", "1e-3"], "none of them twice"),
        (["--budget", "0"], "--budget must be above 0"),
        (["--executor", "ray", "--memory", "4"], "--memory is watched on this machine alone"),
        (["--per_gpu", "0"], "--per_gpu must be at least 1"),
        (["--margin", "0"], "--margin must be above 0"),
        (["--margin", "nan"], "--margin must be above 0, got nan"),
        (["--search_lr", "nan"], "--search_lr must be above 0, got nan"),
        (["--lr", "inf"], "--lr must be above 0, got inf"),
        (["--image_size=-1"], "--image_size must be at least 32, got -1"),
        (["--folds", "99999999999"], "--folds must be at most 10000, got 99999999999"),
        (["--folds", "9999", "--seed", *map(str, range(50))], "--fold has 9999 levels, and the grid .* combinations"),
        (["--name", "../../x"], "--name is the name of one folder, .* got '../../x'"),
        (["--name", ""], "--name is the name of one folder"),
        (["--name", "a" * 201], "--name is the name of one folder"),
        (["--label_fraction", "1.5"], r"share in \(0, 1\]"),
    ],
)
def test_a_wrong_option_is_told(flags: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(StudyConfig, "compare", flags)


def test_one_rate_is_one_however_it_is_written() -> None:
    flags = ["--arms", "lr", "--lr", "1e-3", "1e-4", "--contrast", "0.001", "1e-4"]
    assert parse(StudyConfig, "compare", flags).compared == ("0.001", "0.0001")


def test_a_method_names_its_arm_in_the_contrast() -> None:
    study = StudyConfig(method=("densecl", "simclr"), contrast=("densecl", "simclr"))
    assert study.compared == ("ssl", "imagenet", "random", "densecl", "simclr")


def test_a_learning_rate_reads_as_it_is_typed() -> None:
    assert [level("lr", rate) for rate in (3e-5, 1e-4, 0.003, 1.0)] == ["0.00003", "0.0001", "0.003", "1"]
    assert StudyConfig(arms="lr", lr=(3e-5, 1e-4), contrast=("3e-5", "0.0001")).compared == ("0.00003", "0.0001")
    assert [plain_number(value) for value in (3e-5, 0.25, 12.0, 100_000.0)] == ["0.00003", "0.25", "12", "100,000"]
