"""Heat map: mean IoU of every arm under every setting, with what the decoder takes of the encoder."""

from math import isfinite

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from compare.figures.boxes import name_levels
from compare.figures.drawing import INK, NAMED, PAPER, panel_grid, percent


def heat_map(table: pd.DataFrame, arms: list[str], settings: list[str]) -> Figure:
    """A square per arm and setting, the darker the better, a panel per label fraction; empty where nothing is scored.

    The second line of a square is the share of the pretrained parameters that the decoder uses: where it is small, the
    starting weights can hardly matter.

    Args:
        table: `arm_table` of a study: `arm`, `setting`, `label_fraction`, `jaccard`, `encoder_share_used`.
        arms: Rows.
        settings: Columns.
    """
    fractions = sorted(set(table["label_fraction"]))
    axes, figure = panel_grid(len(fractions), height=0.9 + 0.62 * len(arms), narrow=len(settings) < 5)
    worst, best = float(table["jaccard"].min()), float(table["jaccard"].max())
    for axis, fraction in zip(axes, fractions, strict=True):
        for _, row in table[table["label_fraction"] == fraction].iterrows():
            place = settings.index(str(row["setting"])), arms.index(str(row["arm"]))
            depth = (float(row["jaccard"]) - worst) / (best - worst) if best > worst else 0.5
            _square(axis, place, depth, row)
        name_levels(axis, settings)
        axis.set_title(f"{percent(fraction)} of the labels")
        axis.set_ylim(len(arms) - 0.5, -0.5)
        axis.grid(visible=False)
        axis.spines[["left", "bottom"]].set_visible(False)
    axes[0].set_yticks(np.arange(len(arms)), arms)
    for axis in axes:
        axis.tick_params(length=0)
    return figure


def _square(axis: Axes, place: tuple[int, int], depth: float, row: "pd.Series[float]") -> None:
    x, y = place
    box = Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=NAMED["ssl"], alpha=0.05 + 0.35 * depth)
    axis.add_patch(box)
    axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, edgecolor=PAPER, linewidth=2))
    share = float(row["encoder_share_used"])
    axis.text(x, y, f"{row['jaccard']:.3f}", ha="center", va="bottom", color=INK, fontsize=11)
    if isfinite(share):
        axis.text(x, y + 0.06, f"{100 * share:.0f} % used", ha="center", va="top", color=INK, fontsize=8)
