"""The methods section of a report: what was compared, how the numbers came about, and what they do not cover."""

from typing import cast

import pandas as pd

from compare.page.blocks import enumerated, points
from compare.page.borrowed import borrows
from compare.page.pooled import setting_noun
from compare.records.study import Study
from dermssl.wording import counted

PAIRED = (
    "Every arm was fine-tuned on the same images under the same seeds, and within a seed the order of the images and "
    "every augmentation draw were the same: both are functions of seed, epoch and image alone. A difference is "
    "therefore taken image by image, between two networks that differ only in {differ}. Scores are IoU "
    "(Jaccard index) per image at the image's native size, empty against empty counting as 1, averaged over images and "
    "then over seeds.{pooled}"
)
INTERVAL = (
    "Intervals are hierarchical bootstrap intervals ({draws:,} draws): lesions are resampled with all their images, "
    "and the part of the fine-tuning seeds is drawn from its distribution given how far these seeds differ "
    "(docs/statistics.md). {together} Where seeds disagree and are few, intervals are therefore wide, and a third or "
    "fourth seed narrows them more than any number of images. p is from a paired permutation test that flips the sign "
    "of each lesion's difference and adds the seeds' part. {families}"
)
TOGETHER = (
    "How far trainings vary is estimated for all cells of a pair of arms together, and for their mean by itself: a "
    "cell has a moderated variance (Smyth 2004), with the degrees of freedom that the others add, fewer where they "
    "differ or where cells move together under a seed; lesions are each contrast's own."
)
ALONE = "How far trainings vary is estimated for each contrast by itself, with seeds - 1 degrees of freedom."
RULE = (
    "A contrast is called better or worse if its 95 % interval excludes 0 and its adjusted p is below 0.05; equivalent "
    "if neither, and its 90 % interval lies inside ±{margin} points (two one-sided tests); undecided otherwise, and "
    "always with a single seed. The smallest detectable difference is the true difference that a study of this size "
    "would have found with probability 0.8."
)
LIMITS = (
    "The scores come from {splits} of one data set: they say nothing of other clinics, cameras or "
    "populations, nor of other settings than those of study.yaml below."
)
FAMILIES = {"other": "other pooled contrasts", "cell": "contrasts of single cells"}
DIFFER = {"init": "their starting weights", "lr": "their learning rate", "image_size": "the size of their images"}


def methods(study: Study, contrasts: pd.DataFrame, draws: int) -> list[str]:
    """The methods section, a paragraph per string."""
    cells = f" Pooled contrasts average over {len(study.cells)} cells of {setting_noun(study)} and label fraction, each"
    cells = f"{cells} with equal weight." if len(study.cells) > 1 else ""
    folds = study.scores["fold"].nunique()
    limits = LIMITS.format(splits=f"{folds} folds" if folds > 1 else "one split")
    differ = DIFFER.get(study.arms, f"their {study.arms.replace('_', ' ')}")
    if len(study.runs("search")):
        differ += " and in the learning rate that an equal search found for each arm"
    together = TOGETHER if borrows(contrasts) else ALONE
    return [
        _what(study) + " " + PAIRED.format(pooled=cells, differ=differ),
        INTERVAL.format(draws=draws, together=together, families=_families(contrasts)),
        RULE.format(margin=points(study.margin, sign=False)),
        _uncertainty(study) + " " + limits,
    ]


def _families(contrasts: pd.DataFrame) -> str:
    """What p is adjusted for."""
    sizes = contrasts["family"].value_counts()
    others = [f"among the {sizes[name]} {words}" for name, words in FAMILIES.items() if sizes.get(name)]
    if not others:
        return "There is one contrast, so nothing is adjusted."
    return f"The primary contrast is tested by itself; p is adjusted by Holm's method {enumerated(others)}."


def software(study: Study) -> str:
    """Versions, as far as environment.json tells them."""
    facts = {key: study.environment[key] for key in ("python", "torch", "cpu") if study.environment.get(key)}
    versions = study.environment.get("versions")
    facts |= versions if isinstance(versions, dict) else {}
    return ", ".join(f"{name} {version}" for name, version in facts.items()) or "Not recorded."


def _what(study: Study) -> str:
    arms, settings = enumerated(study.levels("arm")) or "no arm yet", _settings(study)
    fractions = (
        enumerated([f"{100 * fraction:.3g} %" for fraction in sorted({cell[1] for cell in study.cells})]) or "none"
    )
    kind = "starting weights of a segmentation network" if study.arms == "init" else study.arms.replace("_", " ")
    primary = " against ".join(map(str, cast("list[str]", study.options.get("contrast") or ["none"])))
    return (
        f"The study compares {arms} as {kind}, under {settings} and with {fractions} of the training labels; the "
        f"primary contrast, declared in study.yaml, is {primary}."
    )


def _settings(study: Study) -> str:
    settings = study.levels("setting")
    apart = any("," in setting for setting in settings)
    return "; ".join(settings) if apart else enumerated(settings) or "nothing yet"


def _uncertainty(study: Study) -> str:
    seeds = study.scores["seed"].nunique()
    covered = "which images and lesions were drawn"
    covered += (
        f" and how the {seeds} fine-tuning seeds fell" if seeds > 1 else ", not how another fine-tuning would fall"
    )
    pretrained = study.runs("pretrain")
    if pretrained.empty:
        return f"The intervals cover {covered}."
    once = pretrained.groupby(["method", "encoder"])["seed"].nunique()
    if len(once) and once.max() > 1:
        return f"The intervals cover {covered}. Pretraining was repeated, up to {counted(int(once.max()), 'seed')}."
    return (
        f"The intervals cover {covered}. They do not cover pretraining: each self-supervised encoder was pretrained "
        "once, and another pretraining would give another encoder."
    )
