"""The best run of a study, and what it makes of held-out images."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from compare.figures.pictures import MaskPair, kept_masks, photograph_paths, read_photograph
from compare.records.study import Study

TRUTH, PREDICTED = "#f0e442", "#56b4e9"


def best_run(study: Study) -> "pd.Series[str] | None":
    """The plan's row of the fine-tuning with the highest mean IoU; None where none is scored."""
    runs = study.runs("finetune")
    means = study.scores.groupby("run")["jaccard"].mean()
    scored = runs.assign(jaccard=runs["folder"].map(lambda folder: Path(folder).name).map(means)).dropna(
        subset="jaccard"
    )
    return scored.iloc[int(scored["jaccard"].argmax())] if len(scored) else None


def segmentations(study: Study, most: int = 6) -> Figure | None:
    """Held-out images of the best run with the outlines of truth (yellow) and prediction (blue), worst first.

    Args:
        study: Complete or not.
        most: Images shown, evenly spaced from the worst to the best.

    Returns:
        A panel an image, titled with its IoU, on grey where its photograph is not at hand; None where no run is scored
        or the best one kept no masks.
    """
    run = best_run(study)
    if run is None:
        return None
    scores = study.scores[study.scores["run"] == Path(run["folder"]).name].sort_values("jaccard", kind="stable")
    places = np.unique(np.linspace(0, len(scores) - 1, min(most, len(scores))).round().astype(int))
    chosen = scores.iloc[places]
    masks = kept_masks([Path(run["folder"])], chosen["image_id"].tolist())
    if set(chosen["image_id"]) - set(masks):
        return None
    photographs = photograph_paths(study)
    figure = Figure(figsize=(10, 3.0 * ((len(chosen) + 2) // 3)), layout="constrained")
    axes = figure.subplots((len(chosen) + 2) // 3, 3, squeeze=False).ravel()
    for axis, name, jaccard in zip(axes[: len(chosen)], chosen["image_id"], chosen["jaccard"], strict=True):
        draw_outlines(axis, masks[name], photographs.get(name))
        axis.set_title(f"{name}, IoU {jaccard:.3f}", fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    return figure


def draw_outlines(axis: Axes, masks: MaskPair, photo: Path | None) -> None:
    """One image with its two outlines."""
    blank = np.full((*masks.truth.shape, 3), 140, np.uint8)
    axis.imshow(read_photograph(photo) if photo else blank)
    for mask, colour in zip(masks, (TRUTH, PREDICTED), strict=True):
        if mask.any() and not mask.all():
            axis.contour(mask.astype(float), levels=[0.5], colors=[colour], linewidths=1.6)
