"""Does a probe foretell segmentation? The rank correlation of each probe with the IoU that fine-tuning ended at."""

from math import nan
from typing import cast

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from compare.records.study import Study, row_labels
from compare.study.factors import arm_label

FEWEST = 3  # encoders: two are always in order or in reverse
RANKS = ["probe", "measure", "detail", "decoder", "label_fraction", "encoders", "rho"]


def rank_table(study: Study, probes: pd.DataFrame) -> pd.DataFrame:
    """Spearman's rho between each probe and mean IoU over pretrained encoders, in each cell and over all cells.

    What is ranked are encoders with their weights: an init, with its method, on an encoder. One that has no probe or no
    score in a cell is left out there; what else the study varies is averaged over. A rho of n encoders can lie by
    chance anywhere between -1 and 1 while n is below ten or so: `encoders` stands beside it.

    Args:
        study: Complete or not.
        probes: `compare.tables.all_tables.probe_table` of it.

    Returns:
        A row per probe with its settings and cell of decoder and label fraction, nan where fewer than three encoders
        can be ranked or all of them are level; and a row with decoder 'all' and label fraction nan, the mean of rho
        over the cells that have one.
    """
    scores = study.scores.assign(arm=weights_of(study, study.scores))
    ends = scores.groupby(["decoder", "label_fraction", "arm", "encoder"])["jaccard"].mean()
    rows = []
    kinds = ["probe", "measure", "detail"]
    for key, part in probes.groupby(kinds, sort=False):
        named = dict(zip(kinds, cast(tuple[str, str, str], key), strict=True))
        cells = in_cells(ends, part.set_index(["arm", "encoder"])["value"])
        if len(cells):
            mean, most = cells["rho"].mean(), cells["encoders"].max()  # a mean of those that are not nan
            whole = {"decoder": "all", "label_fraction": nan, "encoders": most, "rho": mean}
            rows.append(pd.concat([cells, pd.DataFrame([whole])]).assign(**named))
    return pd.concat(rows, ignore_index=True)[RANKS] if rows else pd.DataFrame(columns=RANKS)


def weights_of(study: Study, rows: pd.DataFrame) -> list[str]:
    """The weights that each row of the plan or of the scores begins with: its init, with the method of several.

    The arm itself where inits are what the study compares.
    """
    several = study.plan[study.plan["method"] != ""].groupby("init")["method"].nunique()
    many = set(several[several > 1].index)
    return row_labels(rows, ["init", "method"], lambda row: arm_label("init", row, row["init"] in many))


def in_cells(ends: "pd.Series[float]", values: "pd.Series[float]") -> pd.DataFrame:
    """The rank correlation of a probe with mean IoU in each cell of decoder and label fraction."""
    rows = []
    for cell, part in ends.groupby(level=["decoder", "label_fraction"]):
        decoder, fraction = cast(tuple[str, float], cell)
        both = pd.concat([values, part.droplevel([0, 1])], axis=1, join="inner").dropna().to_numpy(float)
        rho = spearman(both[:, 0], both[:, 1])
        rows.append({"decoder": decoder, "label_fraction": fraction, "encoders": len(both), "rho": rho})
    return pd.DataFrame(rows)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """The correlation of the ranks of (n,) and (n,), ties sharing a rank; nan for fewer than three or all level."""
    if len(a) < FEWEST or np.ptp(a) == 0 or np.ptp(b) == 0:
        return nan
    return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])
