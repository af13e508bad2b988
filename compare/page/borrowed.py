"""What a study's contrasts tell each other of the variance of trainings, and what each would be called without that."""

from math import isnan
from typing import Any

import pandas as pd

from compare.page.blocks import decimals, enumerated, fraction_label
from dermssl.wording import counted

FEW = 6  # verdicts that a sentence can name


def borrows(contrasts: pd.DataFrame) -> bool:
    """Whether any contrast is judged by more than its own variance.

    Args:
        contrasts: `contrast_table`.
    """
    return bool(_borrowing(contrasts).any())


def without_borrowing(contrasts: pd.DataFrame) -> str:
    """What would have been said had each contrast been judged by its own variance; '' where it was."""
    rows = contrasts[_borrowing(contrasts)]
    if rows.empty:
        return ""
    changed = rows[rows["verdict"] != rows["alone_verdict"]]
    freedom = f"{decimals(rows['seed_freedom'].median(), 1)} degrees of freedom in place of {rows['seeds'].iloc[0] - 1}"
    known = f"{freedom}, in the median{_together(float(rows['seed_correlation'].median()))}"
    text = f"The cells of a pair of arms tell each other how far trainings vary ({known}). By its own variance alone"
    if changed.empty:
        return f"{text} every contrast would have the same verdict."
    named = [_named(row) for _, row in changed.head(FEW).iterrows()]
    more = f" and {len(changed) - FEW} more (alone_verdict in tables/contrasts.csv)" * (len(changed) > FEW)
    verdicts = f"{len(changed)} of {counted(len(rows), 'verdict')} would be another"
    return f"{text} {verdicts}: {'; '.join(named)}{more}."


def _borrowing(contrasts: pd.DataFrame) -> "pd.Series[bool]":
    alone: pd.Series[bool] = contrasts["alone_low"] != contrasts["low"]
    return alone & contrasts["alone_low"].notna()


def _together(correlation: float) -> str:
    """How far cells move together under a seed; '' where there is one cell."""
    if isnan(correlation):
        return ""
    if correlation < 0.05:
        return "; trainings of two cells under one seed are not seen to move together"
    return f"; trainings of two cells under one seed are correlated by about {decimals(correlation, 1)}"


def _named(row: "pd.Series[Any]") -> str:
    cell = enumerated([str(row["setting"]), fraction_label(row["label_fraction"])])
    return f"{row['a']} − {row['b']} ({cell}) {row['alone_verdict']}, not {row['verdict']}"  # noqa: RUF001 - a true minus sign
