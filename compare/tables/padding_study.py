"""What padding does: lesions that it invents in training, beside the IoU that came of it."""

from pathlib import Path

import numpy as np
import pandas as pd

from compare.records.run_files import finished_runs, run_options, with_numbers
from compare.records.study import Study
from compare.tables.arms import FAILURE, median

PADDING = ["padding", "arm", "runs", "images", "jaccard", "invented", "of_lesion", "filled", "failure_rate"]
COUNTED = {
    "invented": "invented_lesions.pictures",
    "of_lesion": "invented_lesions.of_lesion",
    "filled": "invented_lesions.filled",
}


def padding_table(study: Study) -> pd.DataFrame:
    """A row per padding and arm, over all cells and seeds; one padding an arm where the study varies none.

    The counts are of the first draws that each training saw (`finetune.augmentation.mirrored`); they depend on seed,
    images and augmentation and not on the network, so that arms under one padding agree in them.

    Returns:
        `invented`: draws of a thousand in which part of the lesion lies where nothing was photographed; `of_lesion`:
        how much of the lesion that is there; `filled`: how much of a square padding made up; medians over runs, nan
        where older runs did not count. IoU and failures are means over runs and images, `images` counts both.
    """
    runs = finished_runs(study.runs("finetune"))
    paddings = pd.Series(
        [str(run_options(folder).get("padding") or "") for folder in runs["folder"]], runs.index, dtype=str
    )
    names = pd.Series([Path(folder).name for folder in runs["folder"]], runs.index, dtype=str)
    runs = with_numbers(runs, COUNTED).assign(run=names, padding=runs["padding"].where(runs["padding"] != "", paddings))
    failed = study.scores.assign(failed=study.scores["jaccard"] < FAILURE).groupby("run")
    scored = failed.agg(images=("jaccard", "size"), jaccard=("jaccard", "mean"), failure_rate=("failed", "mean"))
    both = runs[runs["padding"] != ""].merge(scored, left_on="run", right_index=True)
    rows = []
    for padding in dict.fromkeys(both["padding"]):
        for arm in study.levels("arm"):
            own = both[(both["padding"] == padding) & (both["arm"] == arm)]
            if len(own):
                rows.append({"padding": padding, "arm": arm, **_means(own)})
    return pd.DataFrame(rows, columns=PADDING)


def _means(runs: pd.DataFrame) -> dict[str, float]:
    weights = runs["images"].to_numpy(float)
    counts = {name: median(runs[name]) for name in COUNTED}
    return {
        "runs": len(runs),
        "images": int(weights.sum()),
        **{
            name: float(np.average(runs[name].to_numpy(float), weights=weights)) for name in ("jaccard", "failure_rate")
        },
        **counts,
        "invented": 1000 * counts["invented"],
    }
