"""The primary contrast on fresh images: those that had no part in choosing what is compared.

Where several recipes were tried and the best of them is compared, its difference on the images that chose it is
flattered by chance (the winner's curse). Folds that are set aside from the choice give an estimate that is not.
"""

from dataclasses import replace

import pandas as pd

from compare.records.study import Study
from compare.tables.contrasts import CONTRASTS, contrast_table


def fresh_contrast_table(study: Study, draws: int = 10_000) -> pd.DataFrame:
    """The rows of `contrast_table` of the primary pair, computed without the folds that `chosen_on` names.

    Every image is held out in one fold, so the networks that scored the fresh images are those of the other folds.

    Args:
        study: Complete or not.
        draws: Bootstrap and permutation draws per contrast.

    Returns:
        Empty where the study names no such fold, or has no pair of arms; differences are nan while no fresh image has
        been scored by both.
    """
    if not study.chosen_on or not study.contrasts:
        return pd.DataFrame(columns=CONTRASTS)
    fresh = study.scores[~study.scores["fold"].isin(study.chosen_on)]
    table = contrast_table(replace(study, scores=fresh), draws)
    primary = (table["a"] == study.contrasts[0][0]) & (table["b"] == study.contrasts[0][1])
    return table[primary].reset_index(drop=True)
