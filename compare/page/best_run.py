"""The best run of a study, and what it makes of the images whose pictures it has kept."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from compare.tables.study import Study

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
    """Images of the best run with the outlines of truth (yellow) and prediction (blue), worst first.

    Args:
        study: Complete or not.
        most: Images shown of those that the run kept.

    Returns:
        A panel an image, titled with its IoU; None where no run is scored or the best one kept no pictures.
    """
    run = best_run(study)
    names = [] if run is None else kept(Path(run["folder"]))
    if run is None or not names:
        return None
    scores = study.scores[study.scores["run"] == Path(run["folder"]).name]
    jaccard = scores.set_index(scores["image_id"].str.replace("/", "_"))["jaccard"]
    shown = sorted((name for name in names if name in jaccard.index), key=lambda name: float(jaccard[name]))[:most]
    figure = Figure(figsize=(10, 3.0 * ((len(shown) + 2) // 3)), layout="constrained")
    axes = figure.subplots((len(shown) + 2) // 3, 3, squeeze=False).ravel()
    for axis, name in zip(axes[: len(shown)], shown, strict=True):
        axis.imshow(_picture(Path(run["folder"]), name, ".jpg", "RGB"))
        for end, colour in (("_truth.png", TRUTH), ("_prediction.png", PREDICTED)):
            mask = _picture(Path(run["folder"]), name, end, "L")
            if mask.min() != mask.max():
                axis.contour(mask, levels=[127], colors=[colour], linewidths=1.6)
        axis.set_title(f"{name}, IoU {jaccard[name]:.3f}", fontsize=9)
    for axis in axes:
        axis.set_axis_off()
    return figure


def kept(run_folder: Path) -> list[str]:
    """Names of the images whose pictures a run has kept."""
    return sorted(path.name.removesuffix("_truth.png") for path in (run_folder / "examples").glob("*_truth.png"))


def _picture(run_folder: Path, name: str, end: str, mode: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(run_folder / "examples" / f"{name}{end}") as opened:
        return np.asarray(opened.convert(mode))
