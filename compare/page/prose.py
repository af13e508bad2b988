"""The report in words: its question, the verdict's sentence, what it means, where the numbers come from.

No result is typed here.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Any

import pandas as pd

from compare.page.blocks import enumerated, p_value, points
from compare.page.pooled import cells_in_words
from compare.records.run_files import run_result
from compare.records.study import Study
from dermssl.wording import counted

ASKED = {
    "init": "Does starting from {a} weights segment lesions better than starting from {b} weights?",
    "encoder": "Does the encoder {a} segment lesions better than {b}?",
    "decoder": "Does the decoder {a} segment lesions better than {b}?",
    "decoder_init": "Does a decoder with {a} weights segment lesions better than one with {b} weights?",
    "loss": "Does training with the loss {a} segment lesions better than with {b}?",
    "lr": "Does the learning rate {a} segment lesions better than {b}?",
    "image_size": "Do images of {a} make the segmentation better than images of {b}?",
    "padding": "Does the padding {a} make the segmentation better than {b}?",
    "augmentation": "Does the augmentation {a} make the segmentation better than {b}?",
    "method": "Does pretraining by {a} segment lesions better than by {b}?",
}


def question(study: Study) -> str:
    """What the study is to answer: as study.yaml asks it, else what the primary contrast asks, as a sentence."""
    question_asked = str(study.options.get("question") or "")
    if question_asked:
        return question_asked
    if not study.contrasts:
        return f"How well do networks segment lesions under {enumerated(study.levels('arm')) or 'this study'}?"
    first, second = study.contrasts[0]
    return ASKED.get(study.arms, "Does {a} segment lesions better than {b}?").format(a=first, b=second)


def verdict_sentence(study: Study, contrasts: pd.DataFrame) -> str:
    """The verdict on the primary contrast in one line of plain characters, for a page and for a terminal."""
    if contrasts.empty:
        arms = study.levels("arm")
        return f"Nothing to compare yet: {counted(len(arms), 'arm')} in this study ({', '.join(arms) or 'none'})."
    row = contrasts.iloc[0]
    pair = f"{row['a']} against {row['b']}"
    lacking = why_nothing(study, contrasts)
    if lacking:
        return f"{pair}: undecided, {lacking}."
    sizes = f"{counted(row['images'], 'image')}, {counted(row['seeds'], 'seed')}, {cells_in_words(study, row)}"
    missing = f", {counted(row['pairs_left_out'], 'pair')} of runs left out" if row["pairs_left_out"] else ""
    has_interval = isfinite(row["low"])
    interval = f"95 % interval {points(row['low'])} to {points(row['high'])}" if has_interval else "no interval"
    gap = points(row["difference"])
    return f"{pair}: {gap} points of IoU ({interval}, {sizes}{missing}): {row['verdict']}{_reason(row)}."


def _reason(row: "pd.Series[Any]") -> str:
    """Why no study of this kind can have a verdict, in brackets; '' where it can."""
    if row.get("note"):
        return f" ({row['note']})"
    if not isfinite(row["low"]):
        return " (one lesion: nothing to resample)"
    return " (one seed: run another to learn how much trainings vary)" if row["seeds"] < 2 else ""


def why_nothing(study: Study, contrasts: pd.DataFrame) -> str:
    """Why the primary contrast has no difference yet; '' where it has one."""
    if contrasts.empty:
        return "this study has fewer than two arms"
    row = contrasts.iloc[0]
    absent = [arm for arm in (row["a"], row["b"]) if arm not in study.levels("arm")]
    if absent:
        return f"this study has no run of {enumerated(absent)}"
    if row["images"]:
        return ""
    runs = study.runs("finetune")
    failed = [arm for arm in (row["a"], row["b"]) if (runs.loc[runs["arm"] == arm, "state"] == "failed").all()]
    if failed:
        return f"every run of {enumerated(failed)} has failed"
    return f"no pair of runs is complete yet ({(runs['state'] == 'done').sum()} of {len(runs)} fine-tuning runs done)"


def meaning(study: Study, contrasts: pd.DataFrame) -> list[str]:
    """What the verdict means, and what it does not, in two or three sentences for somebody who reads no further."""
    lacking = why_nothing(study, contrasts)
    if lacking:
        return [f"There is no answer: {lacking}."]
    row = contrasts.iloc[0]
    sizes = f"{counted(row['images'], 'image')} and {counted(row['seeds'], 'seed')}"
    sentences = [_verdict_in_words(study, row)]
    if row.get("note"):
        sentences.append("More trainings like these would not tell either.")
    elif isfinite(row["smallest_detectable"]):
        smallest = points(row["smallest_detectable"], sign=False)
        sentences.append(
            f"With {sizes} this study could have found a difference of {smallest} points (in 4 of 5 tries)."
        )
    elif row["seeds"] > 1:
        sentences.append(f"With {sizes} it could not have found any difference.")
    return [*sentences, "It says nothing of other data, cameras or settings than those below."]


def _verdict_in_words(study: Study, row: "pd.Series[Any]") -> str:
    margin, gap = points(study.margin, sign=False), points(abs(row["difference"]), sign=False)
    a, b = row["a"], row["b"]
    if row["verdict"] in ("better", "worse"):
        small = f" That is less than the {margin} points that this study holds relevant." * _is_within_margin(
            study, row
        )
        return f"On the same images, {a} was {row['verdict']} than {b} by {gap} points of IoU on average.{small}"
    if row["verdict"] == "equivalent":
        return f"Any difference between {a} and {b} is smaller than {margin} points of IoU (two one-sided tests, 5 %)."
    if row.get("note"):
        return f"Nothing tells {a} from {b}, for {row['note']}. That is not evidence that they are the same."
    if row["seeds"] < 2:
        return f"One seed cannot tell {a} from {b}: nothing says how another training would have gone."
    if not isfinite(row["low"]):
        return f"One lesion cannot tell {a} from {b}: nothing says how another would have been segmented."
    if row["low"] > 0 or row["high"] < 0:
        p = p_value(row["adjusted_p"])
        return f"The interval leaves out 0, but p is {p}: too little to call either better."
    return f"The data cannot tell {a} from {b}. That is not evidence that they are the same."


def _is_within_margin(study: Study, row: "pd.Series[Any]") -> bool:
    return abs(float(row["difference"])) < study.margin


def provenance(study: Study, arms: pd.DataFrame, when: str) -> list[str]:
    """What the numbers rest on: images, lesions, seeds, split, commit, date, runs."""
    rows = study.scores
    facts = [counted(rows["image_id"].nunique(), "validation image"), counted(study.lesions.nunique(), "lesion")]
    facts.append(counted(rows["seed"].nunique(), "seed"))
    trained = arms["n_train"].dropna()
    if len(trained):
        sizes = f"{trained.min():,.0f}" if trained.nunique() == 1 else f"{trained.min():,.0f} to {trained.max():,.0f}"
        facts.append(f"{sizes} training images with masks")
    results = [run_result(folder) for folder in study.plan["folder"]]
    facts += [f"from {study.options['data']}"] if study.options.get("data") is not None else []
    facts += _split(study, results)
    facts += firewall([result.get("leaks") for result in results])
    commit = str(study.environment.get("commit") or "unknown")[:10]
    facts.append(f"commit {commit}{' with uncommitted changes' if study.environment.get('dirty') else ''}")
    return [*facts, _states(study), when]


def firewall(leaks: Sequence[object]) -> list[str]:
    """What the leak firewall did in the runs, in a fact or two; nothing where none was guarded.

    Args:
        leaks: The entry of that name in each run's result.json: of pretraining, or of fine-tuning's two sides.
    """
    verdicts = [verdict for entry in leaks if isinstance(entry, dict) for verdict in (entry, *entry.values())]
    actions = [str(verdict["action"]) for verdict in verdicts if isinstance(verdict, dict) and "action" in verdict]
    sentences = {
        "dropped": "leaking images dropped from training",
        "allowed": "leaks allowed: held-out images, or their near-duplicates, were trained on",
        "unknown": "an encoder does not say which images it has seen",
    }
    facts = [f"leak firewall: {words}" for action, words in sentences.items() if action in actions]
    return facts or (["leak firewall: clean"] if actions else [])


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
    if study.environment.get("dirty"):
        notes.append("The code had changes that are in no commit, so its commit does not say all that was run.")
    if "leaks allowed" in " ".join(firewall([run_result(folder).get("leaks") for folder in study.plan["folder"]])):
        notes.append("Held-out images, or near-duplicates of them, were trained on: scores are too high.")
    return notes


def _split(study: Study, results: Sequence[dict[str, object]]) -> list[str]:
    """Which split the scores are of, by its name in the runs; how many folds, or splits, where there are several."""
    folds = study.scores["fold"].nunique()
    if folds > 1:
        return [f"{folds} folds"]
    names = sorted({str(result["split"]) for result in results if result.get("split")})
    return [f"split {names[0]}" if len(names) == 1 else f"{len(names)} splits"] if names else []


def _states(study: Study) -> str:
    states = study.plan["state"]
    done, failed = int((states == "done").sum()), int((states == "failed").sum())
    return f"{counted(len(states), 'run')}: {done} done, {failed} failed, {len(states) - done - failed} missing"
