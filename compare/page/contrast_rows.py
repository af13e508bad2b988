"""Which contrasts a reader meets: those with a difference, and of many those of the primary arms first."""

from dataclasses import replace

import pandas as pd

from compare.page.blocks import Table, enumerated, single_group_table
from compare.page.table_columns import report_table
from compare.records.study import Study

LONG = 16  # contrasts that are read one by one
FEW = 6  # pairs that a sentence can name


def readable_contrasts(rows: pd.DataFrame) -> pd.DataFrame:
    """The contrasts that have a difference, and those of the primary pair whether they have one or not."""
    return rows[rows["difference"].notna() | _of_primary(rows)]


def leading_rows(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which of them stand first, the others being folded or not drawn: all, as long as they are few.

    Of more, the pooled ones and every cell of the primary pair; and where the pooled ones alone are many, those that
    share an arm with the primary pair.
    """
    pooled = table["pooled"].astype(bool)
    if len(table) <= LONG:
        return pooled | True
    if pooled.sum() > LONG:
        primary = set(table[["a", "b"]].iloc[0])
        pooled &= table["a"].isin(primary) | table["b"].isin(primary)
    return pooled | _of_primary(table)


def contrast_tables(study: Study, frame: pd.DataFrame) -> list[Table]:
    """The contrasts that have a difference; where they are many, those that are not read first stand folded."""
    frame = readable_contrasts(frame)
    first, pooled = leading_rows(frame), frame["pooled"].astype(bool)
    primary = enumerated(frame[["a", "b"]].iloc[0].tolist()).replace(" and ", " or ")
    folded = {
        "contrasts_of_others": (~first & pooled, "Contrasts of other arms", f"The pairs of arms without {primary}."),
        "contrasts_by_cell": (~first & ~pooled, "Other contrasts by cell", "The other contrasts by cell."),
    }
    tables = [report_table(study, "contrasts", frame[first], frame)]
    if not first.all():
        more = f"{(~first).sum()} more contrasts stand in tables/contrasts.csv."
        tables = [replace(tables[0], caption=f"{tables[0].caption} {more}")]
    for name, (rows, title, caption) in folded.items():
        if rows.any():
            folded_table = single_group_table(name, caption, frame[rows], tables[0].columns)
            tables.append(replace(folded_table, short=False, folded=f"{title} ({rows.sum()})"))
    return tables


def left_out(study: Study, table: pd.DataFrame) -> str:
    """What pooled contrasts lack, in a sentence or two; '' where every pair of runs is complete.

    Args:
        study: Complete or not.
        table: `contrast_table`.
    """
    pooled = table[table["pooled"].astype(bool)]
    none = pooled["difference"].isna()
    part = pooled[~none & (pooled["pairs_left_out"] > 0)]
    sentences = [_without(pooled, none)] if none.any() else []
    pairs = len(study.cells) * len(study.seeds)
    counts = part["pairs_left_out"].astype(int)
    if len(part) > FEW:
        most = f"{counts.min()} to {counts.max()}" if counts.nunique() > 1 else f"{counts.iloc[0]}"
        sentences.append(f"{len(part)} of {len(pooled)} pooled contrasts leave out {most} of {pairs} pairs each.")
    elif len(part):
        named = [f"{pair} {count}" for pair, count in zip(_pairs(part), counts, strict=True)]
        sentences.append(f"Pooled contrasts leave out, of {pairs} pairs: {', '.join(named)}.")
    return " ".join(["Only complete pairs of runs are compared.", *sentences]) if sentences else ""


def _without(pooled: pd.DataFrame, none: "pd.Series[bool]") -> str:
    """Which contrasts have no pair of runs, by the arms at fault where these explain all of them."""
    arms = dict.fromkeys([*pooled["a"], *pooled["b"]])
    fault = [arm for arm in arms if none[(pooled["a"] == arm) | (pooled["b"] == arm)].all()]
    explained = (pooled["a"].isin(fault) | pooled["b"].isin(fault))[none].all()
    count = f"{none.sum()} of {len(pooled)} contrasts have no pair of runs"
    if explained:
        return f"{count}: all those of {enumerated(fault)}."
    return f"{count}: {', '.join(_pairs(pooled[none]))}." if none.sum() <= FEW else f"{count}."


def _pairs(rows: pd.DataFrame) -> list[str]:
    return [f"{a} − {b}" for a, b in zip(rows["a"], rows["b"], strict=True)]  # noqa: RUF001 - a true minus sign


def _of_primary(table: pd.DataFrame) -> "pd.Series[bool]":
    primary: pd.Series[bool] = (table["a"] == table["a"].iloc[0]) & (table["b"] == table["b"].iloc[0])
    return primary
