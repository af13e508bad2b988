"""Which factor moves IoU how much, and how the arms rank over the cells."""

from collections.abc import Mapping, Sequence
from math import factorial, nan

import numpy as np
import pandas as pd

from compare.records.study import Study
from compare.statistics.critical_difference import CriticalDifference, critical_difference
from compare.statistics.decisions import FloatArray
from compare.statistics.factor_effects import EFFECTS, FACTORS, effect_weights, factor_effects, levels_of
from compare.statistics.pairs import complete_pairs
from compare.study.factors import level
from compare.tables.contrasts import run_means
from compare.tables.ranks import weights_of

ARM_RANKS = ["arm", "mean_rank", "wins", "score", "cells", "friedman_p", "distance", "alike"]

CellFactors = dict[str, object]


def arm_ranks(study: Study) -> CriticalDifference:
    """Ranks of the arms over the cells in which each of them has a score, a cell's score being the mean of its runs."""
    arms = study.levels("arm")
    means = [np.array([mean_of_runs(runs) for runs in run_means(study.jaccard(arm))]) for arm in arms]  # (cells,) each
    return critical_difference(arms, np.stack(means, axis=1) if means else np.zeros((0, 0)))


def arm_rank_table(study: Study) -> pd.DataFrame:
    """A row an arm, best first; empty for fewer than two arms, or two cells that every arm was scored in.

    Returns:
        `friedman_p` of "all arms rank alike" and `distance`, by which mean ranks must differ to be told apart, stand in
        every row; p is never below 1 / arms!^(cells - 1), the chance that all cells agree, which the approximation
        passes where cells are few. `alike` names the other arms that share a group with this one. Cells of one study
        share images and seeds: a description of the study and no claim.
    """
    ranked = arm_ranks(study)
    if ranked.cells < 2 or len(ranked.ranks) < 2:
        return pd.DataFrame(columns=ARM_RANKS)
    alike = {arm: [g for g in ranked.groups if arm in g] for arm in ranked.ranks["arm"]}
    others = [
        [other for other in ranked.ranks["arm"] if other != arm and any(other in g for g in alike[arm])]
        for arm in alike
    ]
    agreement = 1 / factorial(len(alike)) ** (ranked.cells - 1)
    whole = {"cells": ranked.cells, "friedman_p": max(ranked.friedman_p, agreement), "distance": ranked.distance}
    return ranked.ranks.assign(**whole, alike=[", ".join(names) for names in others])[ARM_RANKS]


def effect_tables(study: Study, draws: int = 2000) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What each factor comes to, the one that moves IoU most first, and the effect of each of its levels.

    Of every factor of which the study has several levels, but seeds and folds, which are averaged over. Init and method
    are one factor. The largest part of the study in which every cell has every seed is used.

    Args:
        study: Complete or not.
        draws: Of the bootstrap.

    Returns:
        `compare.statistics.factor_effects` has the columns. A factor that only varies together with others cannot be
        told from them: its numbers are nan, and it has no levels. Both are empty for fewer than two cells.
    """
    cells, scores = _stacked(study)
    pairs = complete_pairs(scores, scores)
    used = [cell for cell, there in zip(cells, pairs.cells, strict=True) if there]
    apart, joined = separable_factors(used)
    if not apart:
        return pd.DataFrame(columns=FACTORS), pd.DataFrame(columns=EFFECTS)
    kept = scores[np.ix_(pairs.cells, pairs.seeds, pairs.images)]
    cell_factors: list[CellFactors] = [{factor: cell[factor] for factor in apart} for cell in used]
    lesions = study.lesions[pairs.images].to_list()
    effects = factor_effects(cell_factors, kept, lesions, np.random.default_rng(0), draws)
    left_out = pd.DataFrame([{"factor": factor, "levels": count} for factor, count in joined.items()], columns=FACTORS)
    factors = effects.factors if left_out.empty else pd.concat([effects.factors, left_out], ignore_index=True)
    return factors, effects.levels


def separable_factors(cells: Sequence[CellFactors]) -> tuple[list[str], dict[str, int]]:
    """Factors whose effects can be told from those before them, and the number of levels of those that cannot.

    The first of two that always move together is kept; cells give the order.
    """
    levels = levels_of(cells)
    apart: list[str] = []
    joined: dict[str, int] = {}
    for factor, of in levels.items():
        chosen = {name: levels[name] for name in (*apart, factor)}
        free = 1 + sum(len(values) - 1 for values in chosen.values())
        if len(cells) < free or not _solvable(cells, chosen):
            joined[factor] = len(of)
        else:
            apart.append(factor)
    return apart, joined


def mean_of_runs(values: FloatArray) -> float:
    """The mean of those that are not nan; nan where there are none."""
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else nan


def _solvable(cells: Sequence[CellFactors], levels: Mapping[str, Sequence[object]]) -> bool:
    try:
        effect_weights(cells, levels)
    except ValueError:
        return False
    return True


def _stacked(study: Study) -> tuple[list[CellFactors], FloatArray]:
    """Levels of every factor in every arm and cell, and the scores, (arms x cells, seeds, images)."""
    factors = [study.arms, *(f for f in study.varying if f not in (study.arms, "method", "fold", "seed"))]
    tuned = pd.concat([study.runs("finetune"), study.scores])
    records = tuned.assign(init=weights_of(study, tuned)).drop_duplicates(["arm", "setting", "label_fraction"])
    rows = {(row["arm"], row["setting"], row["label_fraction"]): row for row in records.to_dict("records")}
    cells, scores = [], []
    for arm in study.levels("arm"):
        jaccard = study.jaccard(arm)
        for index, cell in enumerate(study.cells):
            if (arm, *cell) in rows:
                row = rows[arm, *cell]
                cells.append({f: row["init"] if f == "init" else level(f, row[f]) for f in factors})
                scores.append(jaccard[index])
    return cells, np.stack(scores) if scores else np.zeros((0, 0, 0))
