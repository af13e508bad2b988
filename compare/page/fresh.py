"""What a study says on images that had no part in choosing what it compares, in words."""

from math import isfinite

import pandas as pd

from compare.page.blocks import enumerated, points
from compare.records.study import Study
from dermssl.wording import counted


def fresh_in_words(study: Study, fresh: pd.DataFrame) -> list[str]:
    """Which folds had a part in the choice, and the primary contrast without them; nothing where none had.

    Args:
        study: Complete or not.
        fresh: `fresh_contrast_table`.
    """
    if fresh.empty:
        return []
    row, folds = fresh.iloc[0], [str(fold) for fold in study.chosen_on]
    named = f"{'folds' if len(folds) > 1 else 'fold'} {enumerated(folds)}"
    head = f"The images of {named} had a part in choosing what is compared"
    if not isfinite(row["difference"]):
        return [f"{head}; no other image is scored by both arms yet."]
    interval = f"95 % interval {points(row['low'])} to {points(row['high'])}" if isfinite(row["low"]) else "no interval"
    others = f"on the {counted(row['images'], 'other image')} the difference is {points(row['difference'])} points"
    return [f"{head}; {others} ({interval}): {row['verdict']}."]
