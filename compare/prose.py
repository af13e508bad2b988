"""The report in words: the verdict's sentence, where the numbers come from, the methods. No result is typed here."""

from collections.abc import Sequence
from math import isfinite
from typing import cast

import pandas as pd

from compare.study import Study, run_result

PAIRED = (
    "Every arm was fine-tuned on the same images under the same seeds, and within a seed the order of the images and "
    "every augmentation draw were the same: both are functions of seed, epoch and image alone. A difference is "
    "therefore taken image by image, between two networks that differ in their starting weights only. Scores are IoU "
    "(Jaccard index) per image at the image's native size, empty against empty counting as 1, averaged over images and "
    "then over seeds. Pooled contrasts average over {cells}, each with equal weight."
)
INTERVAL = (
    "Intervals are hierarchical bootstrap intervals ({draws:,} draws): lesions are resampled with all their images, "
    "and the part of the fine-tuning seeds is drawn from its distribution given how far these seeds differ "
    "(docs/statistics.md). Where seeds disagree and are few, intervals are therefore wide, and a third or fourth seed "
    "narrows them more than any number of images. p is from a paired permutation test that flips the sign of each "
    "lesion's difference and adds the seeds' part, adjusted by Holm's method within {families}."
)
RULE = (
    "A contrast is called better or worse if its 95 % interval excludes 0 and its adjusted p is below 0.05; equivalent "
    "if neither, and its 90 % interval lies inside ±{margin} points (two one-sided tests); undecided otherwise, and "
    "always with a single seed. The smallest detectable difference is the true difference that a study of this size "
    "would have found with probability 0.8."
)
LIMITS = (
    "The scores come from one validation split of one data set: they say nothing of other clinics, cameras or "
    "populations, nor of other learning rates, losses or encoders than those of study.yaml below."
)


def points(difference: float, sign: bool = True) -> str:
    """A share of IoU as points with one decimal: 0.013 is '+1.3'; '–' where there is none."""
    if not isfinite(difference):
        return "–"  # noqa: RUF001 - the dash of an empty table cell
    rounded = round(100 * difference, 1) + 0.0  # no "-0.0"
    return f"{rounded:+.1f}" if sign else f"{rounded:.1f}"


def counted(number: int, noun: str) -> str:
    """A number with its noun: '1 seed', '2 seeds'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sentence(study: Study, contrasts: pd.DataFrame) -> str:
    """The verdict on the primary contrast in one line of plain characters, for a page and for a terminal."""
    if contrasts.empty:
        arms = study.levels("arm")
        return f"Nothing to compare yet: {counted(len(arms), 'arm')} in this study ({', '.join(arms) or 'none'})."
    row = contrasts.iloc[0]
    pair = f"{row['a']} against {row['b']}"
    absent = [arm for arm in (row["a"], row["b"]) if arm not in study.levels("arm")]
    if absent:
        return f"{pair}: undecided, this study has no run of {_listed(absent)}."
    if not row["images"]:
        done, planned = (study.runs("finetune")["state"] == "done").sum(), len(study.runs("finetune"))
        return f"{pair}: undecided, no pair of runs is complete yet ({done} of {planned} fine-tuning runs done)."
    sizes = f"{counted(row['images'], 'image')}, {counted(row['seeds'], 'seed')}, {_cells(study, row)}"
    missing = f", {counted(row['pairs_left_out'], 'pair')} of runs left out" if row["pairs_left_out"] else ""
    interval = f"95 % interval {points(row['low'])} to {points(row['high'])}"
    if not isfinite(row["low"]):
        interval, reason = "no interval", " (one lesion: nothing to resample)"
    else:
        reason = " (one seed: run another to learn how much trainings vary)" if row["seeds"] < 2 else ""
    gap = points(row["difference"])
    return f"{pair}: {gap} points of IoU ({interval}, {sizes}{missing}): {row['verdict']}{reason}."


def provenance(study: Study, arms: pd.DataFrame, when: str) -> list[str]:
    """What the numbers rest on: images, lesions, seeds, split, commit, date, runs."""
    rows = study.scores
    facts = [counted(rows["image_id"].nunique(), "validation image"), counted(study.lesions.nunique(), "lesion")]
    facts.append(counted(rows["seed"].nunique(), "seed"))
    trained = arms["n_train"].dropna()
    if len(trained):
        sizes = f"{trained.min():,.0f}" if trained.nunique() == 1 else f"{trained.min():,.0f} to {trained.max():,.0f}"
        facts.append(f"{sizes} training images with masks")
    facts += [f"{key} {study.options[key]}" for key in ("data", "split") if study.options.get(key) is not None]
    facts += firewall([run_result(folder).get("leaks") for folder in study.plan["folder"]])
    commit = str(study.environment.get("commit") or "unknown")[:10]
    facts.append(f"commit {commit}{' with uncommitted changes' if study.environment.get('dirty') else ''}")
    return [*facts, _states(study), when]


def firewall(leaks: Sequence[object]) -> list[str]:
    """What the leak firewall did in the runs, in a fact or two; nothing where none was guarded.

    Args:
        leaks: The entry of that name in each run's result.json: of pretraining, or of fine-tuning's two sides.
    """
    verdicts = [one for given in leaks if isinstance(given, dict) for one in (given, *given.values())]
    actions = [str(one["action"]) for one in verdicts if isinstance(one, dict) and "action" in one]
    said = {
        "dropped": "leaking images dropped from training",
        "allowed": "leaks allowed: held-out images, or their near-duplicates, were trained on",
        "unknown": "an encoder does not say which images it has seen",
    }
    found = [f"leak firewall: {words}" for action, words in said.items() if action in actions]
    return found or (["leak firewall: clean"] if actions else [])


def warnings(study: Study) -> list[str]:
    """What a reader must know before believing a number; empty for a complete study with several seeds."""
    notes = []
    states = study.plan["state"]
    if (states != "done").any():
        notes.append(f"This study is not complete: {_states(study)}. All numbers are from what is there.")
    if study.scores["seed"].nunique() == 1:
        notes.append(
            "There is one fine-tuning seed, so nothing here says how much trainings vary: verdicts stay undecided."
        )
    return notes


def methods(study: Study, contrasts: pd.DataFrame, draws: int) -> list[str]:
    """The methods section, a paragraph per string."""
    pooled = int(contrasts["pooled"].sum())
    families = f"the family of {counted(pooled, 'pooled contrast')}"
    if len(contrasts) > pooled:
        families = f"two families: the {counted(pooled, 'pooled contrast')}, and the {len(contrasts) - pooled} by cell"
    cells = counted(len(study.cells), "cell") + " of decoder and label fraction"
    return [
        _what(study) + " " + PAIRED.format(cells=cells),
        INTERVAL.format(draws=draws, families=families),
        RULE.format(margin=points(study.margin, sign=False)),
        _uncertainty(study) + " " + LIMITS,
    ]


def software(study: Study) -> str:
    """Versions, as far as environment.json tells them."""
    facts = {key: study.environment[key] for key in ("python", "torch", "cpu") if study.environment.get(key)}
    versions = study.environment.get("versions")
    facts |= versions if isinstance(versions, dict) else {}
    return ", ".join(f"{name} {version}" for name, version in facts.items()) or "Not recorded."


def _cells(study: Study, row: "pd.Series[float]") -> str:
    networks, fractions = (len({cell[i] for cell in study.cells}) for i in (0, 1))
    if row["cells"] == networks * fractions:
        return f"{counted(networks, 'decoder')}, {counted(fractions, 'label fraction')}"
    return f"{row['cells']} of {len(study.cells)} cells of decoder and label fraction"


def _states(study: Study) -> str:
    states = study.plan["state"]
    done, failed = int((states == "done").sum()), int((states == "failed").sum())
    return f"{counted(len(states), 'run')}: {done} done, {failed} failed, {len(states) - done - failed} missing"


def _what(study: Study) -> str:
    arms, networks = study.levels("arm"), study.levels("network")
    fractions = [f"{100 * fraction:.3g} %" for fraction in sorted({cell[1] for cell in study.cells})]
    return (
        f"The study compares {_listed(arms)} as starting weights of a segmentation network, under {_listed(networks)} "
        f"and with {_listed(fractions)} of the training labels; the primary contrast, declared in study.yaml, is "
        f"{' against '.join(map(str, cast(list[str], study.options.get('contrast') or ['none'])))}."
    )


def _uncertainty(study: Study) -> str:
    seeds = study.scores["seed"].nunique()
    covered = "which images and lesions were drawn"
    covered += (
        f" and how the {seeds} fine-tuning seeds fell" if seeds > 1 else ", not how another fine-tuning would fall"
    )
    pretrained = study.runs("pretrain")
    once = pretrained.groupby(["method", "encoder"])["seed"].nunique()
    if len(once) and once.max() > 1:
        return f"The intervals cover {covered}. Pretraining was repeated, up to {counted(int(once.max()), 'seed')}."
    return (
        f"The intervals cover {covered}. They do not cover pretraining: each self-supervised encoder was pretrained "
        "once, and another pretraining would give another encoder."
    )


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + "".join(words[-1:])
