"""The table of arms: what each reached in each cell, and what its runs say of themselves."""

from math import nan

import numpy as np
import pandas as pd

from compare.records.run_files import finished_runs, with_numbers
from compare.records.study import Cell, Study
from compare.statistics.aggregate import interquartile_mean
from compare.statistics.decisions import FloatArray, hierarchical_bootstrap
from compare.statistics.pairs import complete_pairs

FAILURE = 0.65  # a Jaccard below this counts as 0 in the ISIC 2018 challenge, and here as a failed image

ARMS = [
    "arm", "setting", "label_fraction", "images", "lesions", "seeds", "runs", "n_train", "lr", "jaccard", "low", "high",
    "interquartile_mean", "isic_jaccard", "dice", "surface_dice", "hd95", "failure_rate", "calibration_error",
    "invented", "encoder_share_used",
]  # fmt: skip
MEANS = ("isic_jaccard", "dice", "surface_dice")  # of the scores, where they have them
FACTS = {  # of the runs' results
    "n_train": "n_train", "lr": "lr", "calibration_error": "calibration_error",
    "invented": "invented_lesions.pictures", "encoder_share_used": "encoder_share_used",
}  # fmt: skip


def arm_table(study: Study, draws: int = 10_000) -> pd.DataFrame:
    """Every arm in every cell that has scores, with a 95 % interval for IoU.

    Of what the runs say of themselves the median: `invented`, the draws of a thousand in which padding adds to the
    lesion, and so on; but `lr` is the rate of all of them, nan where the searches of several folds found several.

    Args:
        study: Complete or not; images that not every seed of the arm scored are left out.
        draws: Of the bootstrap.

    Returns:
        A row per arm and cell; scores are means over images and seeds, `hd95` their median, in pixels, since a missed
        lesion counts its whole diagonal; `interquartile_mean` is of the runs. nan where older runs did not say it.
    """
    facts = with_numbers(finished_runs(study.runs("finetune")), FACTS)
    facts["invented"] *= 1000
    rows = []
    for arm in study.levels("arm"):
        scores = study.jaccard(arm)
        for index, cell in enumerate(study.cells):
            numbers = _arm(study, arm, cell, scores[index : index + 1], draws)
            if numbers:
                runs = facts[(facts["arm"] == arm) & in_cell(facts, cell)]
                named = {"arm": arm, "setting": cell[0], "label_fraction": cell[1]}
                facts_of = {name: median(runs[name]) for name in FACTS} | {"lr": common_value(runs["lr"])}
                rows.append({**named, **numbers, **facts_of})
    return pd.DataFrame(rows, columns=ARMS)


def in_cell(rows: pd.DataFrame, cell: Cell) -> "pd.Series[bool]":
    """Which rows of the plan or of the scores lie in a cell."""
    return (rows["setting"] == cell[0]) & (rows["label_fraction"] == cell[1])


def common_value(values: "pd.Series[float]") -> float:
    """The value that all have; nan where they differ or there is none."""
    there = set(values.dropna())
    return float(there.pop()) if len(there) == 1 else nan


def median(values: "pd.Series[float]") -> float:
    """The median of those that are not nan; nan where there are none."""
    there = values.dropna()
    return float(there.median()) if len(there) else nan


def _arm(study: Study, arm: str, cell: Cell, jaccard: FloatArray, draws: int) -> dict[str, float]:
    """The numbers of one arm in one cell, from the images that all its seeds scored; empty where there are none."""
    pairs = complete_pairs(jaccard, np.zeros_like(jaccard))
    if not pairs.scores_a.size:
        return {}
    lesions = study.lesions[pairs.images]
    boot = hierarchical_bootstrap(pairs.scores_a, pairs.scores_b, lesions.to_list(), np.random.default_rng(0), draws)
    low, high = np.clip(boot.interval(), 0, 1)  # a mean of shares is one: two seeds that disagree reach far beyond
    rows = study.scores[(study.scores["arm"] == arm) & in_cell(study.scores, cell)]
    used = rows[rows["image_id"].isin(lesions.index) & rows["seed"].isin(np.array(study.seeds)[pairs.seeds])]
    runs = used.groupby("run")["jaccard"].mean()
    return {
        "images": len(lesions),
        "lesions": lesions.nunique(),
        "seeds": len(pairs.scores_a),
        "runs": len(runs),
        "jaccard": boot.difference,
        "low": low,
        "high": high,
        "interquartile_mean": interquartile_mean(runs.to_numpy(float)),
        **{name: float(used[name].mean()) if name in used else nan for name in MEANS},
        "hd95": median(used["hd95"]) if "hd95" in used else nan,
        "failure_rate": float((used["jaccard"] < FAILURE).mean()),
    }
