"""The scores in the form that Claims Reloaded reads, and the probability that it would give.

https://claims-reloaded.dkfz.de (Christodoulou et al. 2025, https://arxiv.org/abs/2505.04720) takes, for segmentation, a
CSV with a row per test case: `case_id`, then a column of Dice per algorithm whose name begins with `alg_`.
"""

import re
from math import nan

import numpy as np
import pandas as pd
from scipy import stats

from compare.records.study import Study
from compare.statistics.decisions import FloatArray
from compare.statistics.pairs import complete_pairs

FACTS = ["algorithm", "arm", "cases", "mean", "standard_deviation", "correlation", "false_claim"]


def claims_table(study: Study) -> pd.DataFrame:
    """Dice of both arms of the primary contrast, a row a case, averaged over the seeds and cells that both have.

    The tool knows one score per case and method. It is therefore told nothing of how trainings vary, and takes the
    images of one lesion for cases of their own: its probability is lower than that of the contrast's table.

    Returns:
        `case_id`, `alg_A`, `alg_B`, Dice in [0, 1]; the names are the arms' in letters and digits. Empty where no pair
        of runs is complete.
    """
    pair = study.contrasts[:1]
    columns = ["case_id", *(algorithm(arm) for arm in (pair[0] if pair else ()))]
    if not pair or "dice" not in study.scores:
        return pd.DataFrame(columns=columns)
    pairs = complete_pairs(*(dice_scores(study, arm) for arm in pair[0]))
    if not pairs.scores_a.size:
        return pd.DataFrame(columns=columns)
    means = (pairs.scores_a.mean(axis=0), pairs.scores_b.mean(axis=0))
    cases = study.lesions.index[pairs.images]
    return pd.DataFrame(dict(zip(columns, (cases, *means), strict=True)))


def claims_facts(study: Study) -> pd.DataFrame:
    """What the tool asks where it is given no cases: their number, and each method's mean and standard deviation.

    Returns:
        A row per arm of the primary contrast; `correlation` of the two over the cases, and `false_claim` as the paper
        has it for segmentation: the probability that the method with the higher mean is not better, from Student's t
        on the cases' differences.
    """
    table = claims_table(study)
    if len(table) < 2:
        return pd.DataFrame(columns=FACTS)
    both = table.iloc[:, 1:].to_numpy(float).T  # (2, cases)
    correlation = float(np.corrcoef(both)[0, 1]) if both.std(axis=1).min() > 0 else nan
    shared = {"cases": len(table), "correlation": correlation, "false_claim": false_claim(both[0], both[1])}
    rows = [
        {"algorithm": name, "arm": arm, "mean": float(own.mean()), "standard_deviation": float(own.std(ddof=1))}
        for name, arm, own in zip(table.columns[1:], study.contrasts[0], both, strict=True)
    ]
    return pd.DataFrame([row | shared for row in rows])[FACTS]


def false_claim(a: FloatArray, b: FloatArray) -> float:
    """Probability that the method with the higher mean is not better (Christodoulou et al. 2025, section 2.3).

    Student's t with n - 1 degrees of freedom at sqrt(n) x difference / its standard deviation, with a flat prior.

    Args:
        a: Scores of one method, (cases,), two or more.
        b: Of the other on the same cases.

    Returns:
        From 0 to 0.5; 0.5 for methods that are the same, 0 for a difference that is the same in all cases.
    """
    gap = a - b
    spread = float(gap.std(ddof=1)) / len(gap) ** 0.5
    if spread == 0:
        return 0.5 if gap.mean() == 0 else 0.0
    return float(stats.t.cdf(-abs(gap.mean()) / spread, len(gap) - 1))


def algorithm(arm: str) -> str:
    """The column of an arm: `ssl (moco)` is `alg_ssl_moco`."""
    return "alg_" + "_".join(re.findall(r"[A-Za-z0-9.]+", arm))


def dice_scores(study: Study, arm: str) -> FloatArray:
    """One arm's Dice, (cells, seeds, images), nan where there is none."""
    return Study(
        study.folder, study.options, study.plan, study.scores.assign(jaccard=study.scores["dice"]), study.environment
    ).jaccard(arm)
