"""What a pooled contrast is the mean of, in words."""

from math import prod
from typing import Any

import pandas as pd

from compare.page.blocks import enumerated, fraction_label, points
from compare.records.study import Study
from dermssl.wording import counted

NOUNS = {"lr": "learning rate", "image_size": "image size", "label_fraction": "label fraction"}
SINGLE = ("method", "label_fraction", "fold", "seed")  # factors that tell no settings apart


def cells_in_words(study: Study, row: "pd.Series[Any]") -> str:
    """How many settings and label fractions a contrast is pooled over, or that it has not all of them."""
    settings, fractions = (len({cell[i] for cell in study.cells}) for i in (0, 1))
    noun = setting_noun(study)
    if row["cells"] == settings * fractions:
        return f"{counted(settings, noun)}, {counted(fractions, 'label fraction')}"
    return f"{row['cells']} of {len(study.cells)} cells of {noun} and label fraction"


def setting_noun(study: Study) -> str:
    """What tells settings apart: 'decoder', 'learning rate' and so on where it is that alone, else 'setting'."""
    apart = _setting_factors(study)
    only = apart[0] if len(apart) == 1 else "decoder" if not apart and study.arms != "decoder" else "setting"
    return NOUNS.get(only, only)


def pooled_over(study: Study, row: "pd.Series[Any]") -> str:
    """What a pooled contrast is the mean over: '5 learning rates', '3 of 4 cells of decoder and label fraction'.

    '' where the study has one cell.
    """
    cells, factors = len(study.cells), [*_setting_factors(study), *(f for f in study.varying if f == "label_fraction")]
    if cells < 2:
        return ""
    counts, nouns = [len(study.levels(factor)) for factor in factors], [NOUNS.get(f, f) for f in factors]
    if row["cells"] == cells == prod(counts):
        return enumerated([counted(count, noun) for count, noun in zip(counts, nouns, strict=True)])
    missing = f"{row['cells']} of " if row["cells"] < cells else ""
    return f"{missing}{counted(cells, 'cell')} of {enumerated(nouns)}"


def average_in_words(study: Study, contrasts: pd.DataFrame) -> str:
    """What the primary contrast averages, and how far apart its cells are, in a sentence; '' for a single cell.

    Args:
        study: With a difference of the primary contrast.
        contrasts: `contrast_table`.
    """
    row = contrasts.iloc[0]
    over = pooled_over(study, row)
    if not over:
        return ""
    own = contrasts[(contrasts["a"] == row["a"]) & (contrasts["b"] == row["b"]) & ~contrasts["pooled"].astype(bool)]
    own = own[own["difference"].notna()].sort_values("difference")
    rates = ", those that suit neither arm too" * ("lr" in _setting_factors(study))
    text = f"The difference is the mean over {over} with equal weight{rates}"
    if len(own) > 1:
        least, most = (f"{points(own['difference'].iloc[i])} ({_cell_in_words(study, own.iloc[i])})" for i in (0, -1))
        text += f"; in single ones it is {least} to {most}"
    return f"{text}."


def _setting_factors(study: Study) -> list[str]:
    """The factors that tell settings apart."""
    return [factor for factor in study.varying if factor not in (study.arms, *SINGLE)]


def _cell_in_words(study: Study, row: "pd.Series[Any]") -> str:
    """A cell by what other cells do not share."""
    words = [str(row["setting"])] if len(study.levels("setting")) > 1 else []
    fractions = {fraction for _, fraction in study.cells}
    return ", ".join([*words, *([fraction_label(float(row["label_fraction"]))] if len(fractions) > 1 else [])])
