"""Forest plots: differences with their intervals, a line each, about the line of no difference."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare.figures.drawing import FAINT, GRID, INK, WIDTH, percent
from compare.page.contrast_rows import leading_rows, readable_contrasts
from dermssl.scores.plots import plain_frame

FAR = 3.0  # times the usual reach of an interval: beyond it one would make all others points


def forest(table: pd.DataFrame, margin: float) -> Figure:
    """Contrasts with their 95 % intervals, pooled ones as diamonds; the shaded band is the equivalence margin.

    Args:
        table: `contrast_table`; of a long one, those that are read first (`leading`). Rows without a difference are
            left out, and one at least must stay.
        margin: Of equivalence, share of IoU.
    """
    kept = readable_contrasts(table)
    kept = kept[leading_rows(kept)]
    rows = kept[np.isfinite(kept["difference"].to_numpy(dtype=float))].reset_index(drop=True)
    labels = [_contrast_label(row, table) for _, row in rows.iterrows()]
    figure, axis = _plot(rows, margin, labels, list(rows["verdict"]))
    # rows are known only here, so the gap between the pooled ones and the cells is a line
    if rows["pooled"].nunique() > 1:
        axis.axhline(int(rows["pooled"].sum()) - 0.5, color=FAINT, linewidth=0.8, linestyle=":")
    axis.set_xlabel("difference in points of IoU (first minus second), 95 % interval")
    return figure


def subgroup_forest(table: pd.DataFrame, margin: float, title: str) -> Figure:
    """One contrast by subgroup, with the number of images at the right.

    Args:
        table: `by`, `subgroup`, `difference`, `low`, `high`, `images`: a row per subgroup, in order; those
            without a difference are left out, and one at least must stay.
        margin: Of equivalence, share of IoU.
        title: The contrast in words.
    """
    rows = table[np.isfinite(table["difference"].to_numpy(dtype=float))].reset_index(drop=True).assign(pooled=False)
    labels = [f"{row['by']}: {row['subgroup']}".replace("_", " ") for _, row in rows.iterrows()]
    figure, axis = _plot(rows, margin, labels, [f"n = {images:,.0f}" for images in rows["images"]])
    changes = np.flatnonzero(rows["by"].ne(rows["by"].shift()).to_numpy()[1:])
    for place in changes:
        axis.axhline(place + 0.5, color=FAINT, linewidth=0.8, linestyle=":")
    axis.set_xlabel(f"{title}, points of IoU, 95 % interval")
    return figure


def _plot(rows: pd.DataFrame, margin: float, labels: Sequence[str], notes: Sequence[str]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, 1.1 + 0.3 * len(rows)), layout="constrained")
    axis = figure.subplots()
    plain_frame(axis, colour=FAINT)
    axis.axvspan(-100 * margin, 100 * margin, color=FAINT, alpha=0.18, linewidth=0)
    axis.axvline(0, color=INK, linewidth=0.9)
    scale = _scale_ends(rows)
    for y, (_, row) in enumerate(rows.iterrows()):
        low, high, mean = (100 * float(row[name]) for name in ("low", "high", "difference"))
        axis.plot(
            np.clip([low, high], *scale),
            [y, y],
            color=INK,
            linewidth=2.4 if row["pooled"] else 1.3,
            solid_capstyle="butt",
        )
        axis.plot(mean, y, color=INK, marker="D" if row["pooled"] else "o", markersize=7 if row["pooled"] else 5)
        for beyond, end, marker in ((low < scale[0], scale[0], "<"), (high > scale[1], scale[1], ">")):
            if beyond:
                axis.plot(end, y, color=INK, marker=marker, markersize=6)
    if np.isfinite(scale).all():
        air = 0.025 * (scale[1] - scale[0])
        axis.set_xlim(scale[0] - air, scale[1] + air)
    axis.set_yticks(range(len(rows)), labels)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    right = axis.secondary_yaxis("right")
    right.set_yticks(range(len(rows)), list(notes))
    right.tick_params(length=0, pad=9)
    right.spines["right"].set_visible(False)
    axis.tick_params(axis="y", length=0, pad=7)
    axis.grid(axis="x", color=GRID, linewidth=0.8)
    axis.grid(axis="y", visible=False)
    return figure, axis


def _scale_ends(rows: pd.DataFrame) -> tuple[float, float]:
    """Where the scale ends: where most intervals do; of the few that reach far beyond, an arrow says that they go on.

    Infinite where all intervals have room.
    """
    ends = 100 * rows[["low", "high"]].to_numpy(dtype=float)  # (rows, 2)
    furthest = np.nanmax(np.abs(ends), axis=1, initial=0)
    largest = 100 * float(rows["difference"].abs().max())
    limit = max(FAR * float(np.median(furthest)), 1.3 * largest, 1.1 * float(furthest[0]))
    if furthest.max() <= limit:
        return -np.inf, np.inf
    return max(-limit, float(np.nanmin(ends))), min(limit, float(np.nanmax(ends)))


def _contrast_label(row: "pd.Series[str]", table: pd.DataFrame) -> str:
    """The pair, and where: what all rows of the table have in common goes without saying."""
    pair = f"{row['a']} − {row['b']}"  # noqa: RUF001 - a true minus sign
    fraction = float(row["label_fraction"])
    where = [row["setting"]] if row["setting"] != "all" and table["setting"].nunique() > 1 else []
    where += [percent(fraction)] if np.isfinite(fraction) and table["label_fraction"].nunique(dropna=False) > 1 else []
    return pair if row["pooled"] and not where else f"{pair}: {', '.join(where)}"
