"""The table of contrasts: how far apart any two arms are, how sure that is, and one word for it."""

from collections import Counter
from math import nan

import numpy as np
import pandas as pd

from compare.statistics.aggregate import probability_of_improvement
from compare.statistics.decisions import (
    FloatArray,
    Interval,
    equivalence_p,
    hierarchical_bootstrap,
    holm,
    paired_permutation,
    verdict,
)
from compare.statistics.pairs import complete_pairs
from compare.statistics.resolution import resolvable_difference
from compare.tables.study import Cell, Study

CONTRASTS = [
    "a", "b", "setting", "label_fraction", "pooled", "family", "cells", "difference", "low", "high", "low90", "high90",
    "standard_error", "degrees_of_freedom", "p", "adjusted_p", "verdict", "note", "equivalence_p", "false_claim",
    "improvement", "smallest_detectable", "images", "lesions", "seeds", "pairs_left_out", "images_left_out",
]  # fmt: skip
NOTHING = 0.01  # mean IoU below which an arm segments nothing


def contrast_table(study: Study, draws: int = 10_000) -> pd.DataFrame:
    """Every pair of arms, pooled over cells and, where there are several cells, in each; the primary one first.

    Holm's correction runs within three families: the primary contrast, which the study has declared as its question
    and so stands alone; the other pooled contrasts; and those of single cells. With one seed the verdict is always
    undecided, since nothing then says how another training would have gone; and so it is where `note` says why scores
    tell nothing.

    Args:
        study: Complete or not; what is missing is counted in `pairs_left_out` and `images_left_out`.
        draws: Bootstrap and permutation draws per contrast.

    Returns:
        A row per contrast; differences are shares of IoU, nan where no pair of runs is complete. For pooled rows
        `setting` is 'all' and `label_fraction` nan, unless the study has just one.
    """
    cells, lesions = study.cells, study.lesions
    scores = {arm: study.jaccard(arm) for pair in study.contrasts for arm in pair}
    wanted = [("other" if place else "primary", pair, cells) for place, pair in enumerate(study.contrasts)]
    if len(cells) > 1:
        wanted += [("cell", pair, [cell]) for pair in study.contrasts for cell in cells]
    sizes, rows = Counter(family for family, _, _ in wanted), []
    for family, (a, b), group in wanted:
        chosen = [cells.index(cell) for cell in group]
        numbers = _contrast((scores[a][chosen], scores[b][chosen]), lesions, study.margin, draws, sizes[family])
        rows.append({"a": a, "b": b, "pooled": family != "cell", "family": family, **_name(group), **numbers})
    table = pd.DataFrame(rows, columns=CONTRASTS)
    for family in sizes:
        own = table["family"] == family
        table.loc[own, "adjusted_p"] = holm(table.loc[own, "p"].to_numpy(dtype=float))
    return table.assign(verdict=[_word(row, study.margin) for _, row in table.iterrows()])


def run_means(scores: FloatArray) -> FloatArray:
    """Mean over the images of each run, (..., images) -> (...), nan where a run scored none."""
    there = ~np.isnan(scores)
    counts = there.sum(axis=-1)
    sums = np.where(there, scores, 0.0).sum(axis=-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), nan)


def why_silent(a: FloatArray, b: FloatArray) -> str:
    """Why the scores of two arms, (seeds, images) each, tell nothing of them; '' where they do, or are none.

    Near 0 all scores are alike, whatever is compared. And trainings with other seeds agree on every image only where
    they mark nothing, or everything.
    """
    if not a.size:
        return ""
    if max(a.mean(), b.mean()) < NOTHING:
        return "neither arm segments anything"
    both = np.concatenate([a, b])
    return "every training scores every image the same" if len(a) > 1 and (both == both[0]).all() else ""


def _name(group: list[Cell]) -> dict[str, str | float]:
    settings, fractions = {cell[0] for cell in group}, {cell[1] for cell in group}
    return {
        "setting": settings.pop() if len(settings) == 1 else "all",
        "label_fraction": fractions.pop() if len(fractions) == 1 else nan,
    }


def _word(row: "pd.Series[float]", margin: float) -> str:
    if row["seeds"] < 2 or row["note"]:
        return "undecided"
    interval95, interval90 = Interval(row["low"], row["high"]), Interval(row["low90"], row["high90"])
    return verdict(interval95, interval90, margin, row["adjusted_p"])


def _contrast(
    scores: tuple[FloatArray, FloatArray], lesions: "pd.Series[str]", margin: float, draws: int, family: int
) -> dict[str, float | str]:
    """The numbers of one contrast; each draws from its own generator, so that none depends on what stood before.

    `family` is how many contrasts the verdict is one of.
    """
    a, b = scores
    pairs = complete_pairs(a, b)
    scored = int((~np.isnan(a) | ~np.isnan(b)).any(axis=(0, 1)).sum())
    counts = {"cells": int(pairs.cells.sum()), "seeds": len(pairs.scores_a), "images": int(pairs.images.sum())}
    counts |= {"pairs_left_out": pairs.left_out, "images_left_out": scored - counts["images"]}
    note = why_silent(pairs.scores_a, pairs.scores_b)
    if not pairs.scores_a.size:
        return {**counts, "lesions": 0, "note": note}
    names = lesions[pairs.images].to_list()
    boot = hierarchical_bootstrap(pairs.scores_a, pairs.scores_b, names, np.random.default_rng(0), draws)
    error, freedom = boot.standard_error, boot.degrees_of_freedom
    parts = None if note else boot.components
    ends = np.clip([*boot.interval(0.95), *boot.interval(0.9)], -1, 1)  # no two shares are further apart
    return {
        **counts,
        **dict(zip(("low", "high", "low90", "high90"), map(float, ends), strict=True)),
        "lesions": len(set(names)),
        "note": note,
        "difference": boot.difference,
        "standard_error": error,
        "degrees_of_freedom": freedom,
        "p": paired_permutation(pairs.scores_a, pairs.scores_b, names, np.random.default_rng(0), draws, family),
        "equivalence_p": equivalence_p(boot, margin),
        "false_claim": boot.false_claim(),
        "improvement": probability_of_improvement(run_means(a), run_means(b)),
        "smallest_detectable": resolvable_difference(parts, family=family) if parts else nan,
    }
