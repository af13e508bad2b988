"""The tables of a study: contrasts, arms, runs, probes. All that the report prints comes from them."""

from math import nan
from typing import cast

import numpy as np
import pandas as pd

from compare.pairs import complete_pairs
from compare.resolution import resolvable_difference
from compare.statistics import (
    FloatArray,
    Interval,
    hierarchical_bootstrap,
    holm,
    paired_permutation,
    verdict,
)
from compare.study import Cell, Study, run_result

FAILURE = 0.65  # a Jaccard below this counts as 0 in the ISIC 2018 challenge, and here as a failed image

CONTRASTS = [
    "a", "b", "network", "label_fraction", "pooled", "cells", "difference", "low", "high", "low90", "high90",
    "standard_error", "degrees_of_freedom", "p", "adjusted_p", "verdict", "smallest_detectable", "images", "lesions",
    "seeds", "pairs_left_out", "images_left_out",
]  # fmt: skip
ARMS = [
    "arm", "network", "label_fraction", "images", "lesions", "seeds", "n_train", "jaccard", "low", "high",
    "isic_jaccard", "dice", "failure_rate", "encoder_share_used",
]  # fmt: skip
PROBES = ["run", "arm", "encoder", "probe", "measure", "value", "low", "high", "n", "detail"]


def contrast_table(study: Study, draws: int = 10_000) -> pd.DataFrame:
    """Every pair of arms, pooled over cells and, where there are several cells, in each; the primary one first.

    Holm's correction runs over two families declared here: the pooled contrasts, and those of single cells. With one
    seed the verdict is always undecided, since nothing then says how another training would have gone.

    Args:
        study: Complete or not; what is missing is counted in `pairs_left_out` and `images_left_out`.
        draws: Bootstrap and permutation draws per contrast.

    Returns:
        A row per contrast; differences are shares of IoU, nan where no pair of runs is complete. For pooled rows
        `network` is 'all' and `label_fraction` nan, unless the study has just one.
    """
    cells, lesions = study.cells, study.lesions
    scores = {arm: study.jaccard(arm) for pair in study.contrasts for arm in pair}
    wanted = [(pair, cells) for pair in study.contrasts]
    if len(cells) > 1:
        wanted += [(pair, [cell]) for pair in study.contrasts for cell in cells]
    rows = []
    for (a, b), group in wanted:
        chosen = [cells.index(cell) for cell in group]
        numbers = _contrast(scores[a][chosen], scores[b][chosen], lesions, draws)
        rows.append({"a": a, "b": b, "pooled": len(group) == len(cells), **_name(group), **numbers})
    table = pd.DataFrame(rows, columns=CONTRASTS)
    for pooled in (True, False):
        family = table["pooled"] == pooled
        table.loc[family, "adjusted_p"] = holm(table.loc[family, "p"].to_numpy(dtype=float))
    return table.assign(verdict=[_word(row, study.margin) for _, row in table.iterrows()])


def arm_table(study: Study, draws: int = 10_000) -> pd.DataFrame:
    """Every arm in every cell that has scores: means over images and seeds, with a 95 % interval for IoU."""
    facts = _run_facts(study)
    rows = []
    for arm in study.levels("arm"):
        scores = study.jaccard(arm)
        for index, cell in enumerate(study.cells):
            numbers = _arm(study, arm, index, scores[index : index + 1], draws)
            if numbers:
                runs = facts[(facts["arm"] == arm) & _in_cell(facts, cell)]
                named = {"arm": arm, "network": cell[0], "label_fraction": cell[1]}
                rows.append({**named, **numbers, **{name: float(runs[name].mean()) for name in FACTS}})
    return pd.DataFrame(rows, columns=ARMS)


def run_table(study: Study) -> pd.DataFrame:
    """The plan, with the last line of each error."""
    last = [error.strip().splitlines()[-1].strip() if error.strip() else "" for error in study.plan["error"]]
    return study.plan.assign(error=last)


def probe_table(study: Study) -> pd.DataFrame:
    """A row per measurement of a frozen encoder: kNN and linear balanced accuracy, Jaccard of a dense probe."""
    rows = []
    for _, run in study.runs("probe").iterrows():
        result = run_result(run["folder"])
        for probe, measure in (("knn", "balanced_accuracy"), ("linear", "balanced_accuracy"), ("dense", "jaccard")):
            found = cast("dict[str, float] | None", result.get(probe))
            if not found or found.get(measure) is None:
                continue
            detail = ", ".join(f"{key} = {found[key]:.0f}" for key in ("k", "n_train") if found.get(key) is not None)
            numbers = {key: found.get(key, nan) for key in ("low", "high", "n")}
            named = {"run": run["name"], "arm": run["arm"], "encoder": run["encoder"], "probe": probe}
            rows.append({**named, "measure": measure, "value": found[measure], **numbers, "detail": detail})
    return pd.DataFrame(rows, columns=PROBES)


FACTS = ["n_train", "encoder_share_used"]


def _run_facts(study: Study) -> pd.DataFrame:
    """What fine-tuning runs say of themselves in result.json; nan where they do not."""
    runs = study.runs("finetune")
    results = [run_result(folder) for folder in runs["folder"]]
    return runs.assign(**{name: [float(cast(float, r.get(name, nan))) for r in results] for name in FACTS})


def _in_cell(rows: pd.DataFrame, cell: Cell) -> "pd.Series[bool]":
    return (rows["network"] == cell[0]) & (rows["label_fraction"] == cell[1])


def _name(group: list[Cell]) -> dict[str, str | float]:
    networks, fractions = {cell[0] for cell in group}, {cell[1] for cell in group}
    return {
        "network": networks.pop() if len(networks) == 1 else "all",
        "label_fraction": fractions.pop() if len(fractions) == 1 else nan,
    }


def _word(row: "pd.Series[float]", margin: float) -> str:
    if row["seeds"] < 2:
        return "undecided"
    interval95, interval90 = Interval(row["low"], row["high"]), Interval(row["low90"], row["high90"])
    return verdict(interval95, interval90, margin, row["adjusted_p"])


def _contrast(a: FloatArray, b: FloatArray, lesions: "pd.Series[str]", draws: int) -> dict[str, float]:
    """The numbers of one contrast; each draws from its own generator, so that none depends on what stood before."""
    pairs = complete_pairs(a, b)
    scored = int((~np.isnan(a) | ~np.isnan(b)).any(axis=(0, 1)).sum())
    counts = {"cells": int(pairs.cells.sum()), "seeds": len(pairs.scores_a), "images": int(pairs.images.sum())}
    counts |= {"pairs_left_out": pairs.left_out, "images_left_out": scored - counts["images"]}
    if not pairs.scores_a.size:
        return {**counts, "lesions": 0}
    names = lesions[pairs.images].to_list()
    boot = hierarchical_bootstrap(pairs.scores_a, pairs.scores_b, names, np.random.default_rng(0), draws)
    error, freedom = boot.standard_error, boot.degrees_of_freedom
    return {
        **counts,
        **dict(zip(("low", "high", "low90", "high90"), (*boot.interval(0.95), *boot.interval(0.9)), strict=True)),
        "lesions": len(set(names)),
        "difference": boot.difference,
        "standard_error": error,
        "degrees_of_freedom": freedom,
        "p": paired_permutation(pairs.scores_a, pairs.scores_b, names, np.random.default_rng(0), draws),
        "smallest_detectable": resolvable_difference(boot.components) if boot.components else nan,
    }


def _arm(study: Study, arm: str, index: int, jaccard: FloatArray, draws: int) -> dict[str, float]:
    """The numbers of one arm in one cell, from the images that all its seeds scored; empty where there are none."""
    nothing = np.zeros_like(jaccard)
    pairs = complete_pairs(jaccard, nothing)
    if not pairs.scores_a.size:
        return {}
    lesions = study.lesions[pairs.images]
    boot = hierarchical_bootstrap(pairs.scores_a, pairs.scores_b, lesions.to_list(), np.random.default_rng(0), draws)
    low, high = boot.interval()
    rows = study.scores[(study.scores["arm"] == arm) & _in_cell(study.scores, study.cells[index])]
    used = rows[rows["image_id"].isin(lesions.index) & rows["seed"].isin(np.array(study.seeds)[pairs.seeds])]
    return {
        "images": len(lesions),
        "lesions": lesions.nunique(),
        "seeds": len(pairs.scores_a),
        "jaccard": boot.difference,
        "low": low,
        "high": high,
        "isic_jaccard": float(used["isic_jaccard"].mean()),
        "dice": float(used["dice"].mean()),
        "failure_rate": float((used["jaccard"] < FAILURE).mean()),
    }
