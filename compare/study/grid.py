"""The grid of a study: every combination of its factors that is fine-tuned."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

from compare.study.config import StudyConfig
from compare.study.factors import FACTORS, OPTIONAL, Level, level, phrase
from dermssl.flags import parse
from finetune.options.config import FinetuneConfig

Factors = dict[str, Level]
SETTING = (
    "encoder", "decoder", "decoder_init", "loss", "lr", "image_size", "padding", "augmentation", "label_fraction",
)  # fmt: skip


def fixed_options(study: StudyConfig) -> FinetuneConfig:
    """What holds for every fine-tuning of the study."""
    return _fixed(study.finetune, study.data, study.on_leak, study.folds, study.masks, study.lesion_value)


@cache
def _fixed(path: Any, data: Any, on_leak: Any, folds: int, masks: Any, lesion_value: Any) -> FinetuneConfig:
    options = parse(FinetuneConfig, "python -m finetune", [] if path is None else ["--config", str(path)])
    cross: dict[str, Any] = {"folds": folds} if folds else {}
    return replace(options, data=data, masks=masks, lesion_value=lesion_value, on_leak=on_leak, **cross)


def combinations(study: StudyConfig) -> list[Factors]:
    """Every combination that is run: seeds one after the other, and arms side by side within each setting.

    So what is there when a study is cut short is balanced.

    Raises:
        ValueError: If the rules of --exclude leave nothing.
    """
    rules = study.rules
    chosen = [
        combination
        for combination in all_combinations(study)
        if not any(rule.leaves_out(combination) for rule in rules)
    ]
    if not chosen:
        raise ValueError(f"--exclude {' | '.join(study.exclude)}: leaves no run of the grid; take a rule out")
    return chosen


def all_combinations(study: StudyConfig) -> Iterator[Factors]:
    """The whole grid, of which --exclude leaves some out."""
    base = fixed_options(study)
    levels = {factor: getattr(study, factor) or (fixed_level(base, study, factor),) for factor in FACTORS}
    levels["fold"] = study.folds_run or (None,)
    for seed, fold in itertools.product(levels["seed"], levels["fold"]):
        for setting in itertools.product(*(levels[factor] for factor in SETTING)):
            for init, method in inits(study):
                words = dict(zip(SETTING, setting, strict=True))
                factors = {"init": init, "method": method, "fold": fold, "seed": seed} | words
                yield {factor: factors[factor] for factor in FACTORS}


def inits(study: StudyConfig) -> list[tuple[str, str]]:
    """Init and what its pretraining is called, of every start; a pretraining belongs to ssl alone."""
    return [(init, method) for init in study.init for method in (study.recipes if init == "ssl" else ("",))]


def fixed_level(base: FinetuneConfig, study: StudyConfig, factor: str) -> Level:
    """The level of a factor that the study does not vary; None for a learning rate that is searched for."""
    if factor not in OPTIONAL or factor == "fold" or (factor == "lr" and study.search != "none"):
        return None
    value: Level = getattr(base, factor)
    return None if value == "auto" else value


def finetuning_options(study: StudyConfig, factors: Factors, **more: Any) -> FinetuneConfig:
    """The options of one fine-tuning, and `more` of them; ssl stands for an encoder file that is not there yet.

    Raises:
        ValueError: If these levels do not go together, with the combination in words.
    """
    levels = {factor: factors[factor] for factor in FACTORS if factor != "method"}
    options: dict[str, Any] = {factor: value for factor, value in levels.items() if value is not None}
    try:
        return replace(fixed_options(study), **(options | more), out=study.runs / "finetune")
    except ValueError as error:
        raise ValueError(f"{combination_in_words(factors, study)}: {error}; leave it out with --exclude") from error


def combination_in_words(factors: Factors, study: StudyConfig) -> str:
    """What a person calls a combination: `unet, ssl, 10 % of labels, seed 0`, with what this study varies."""
    arm = factors["method"] if factors["init"] == "ssl" else level("init", factors["init"])
    varied = [factor for factor in OPTIONAL if getattr(study, factor)]
    head = [factors["decoder"], arm, factors["encoder"]]
    rest = [phrase(factor, factors[factor]) for factor in dict.fromkeys([*varied, "label_fraction", "fold", "seed"])]
    return ", ".join(str(word) for word in [*head, *rest] if word)
