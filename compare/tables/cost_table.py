"""What a study has cost: runs, time, memory and energy, of each stage and arm."""

from math import nan

import pandas as pd

from compare.records.run_files import with_numbers
from compare.records.study import Study
from compare.tables.arms import median
from compare.tables.ranks import weights_of

COSTS = [
    "stage", "arm", "runs", "failed", "attempts", "median_seconds", "total_seconds", "images_per_second", "memory_mb",
    "gpu_memory_mb", "energy_wh", "machines",
]  # fmt: skip
ASKED = {
    "images_per_second": "images_per_second",
    "peak_mb": "memory_mb",
    "all_attempts": "seconds",
    "gpu_memory_mb": "gpu_memory_mb",
    "energy_wh": "energy_wh",
}


def cost_table(study: Study) -> pd.DataFrame:
    """A row per stage and arm, and a last one of everything; trials of a search are in the rows of the search.

    Seconds are those of the process, from its start to its end, or of all attempts together where the run's result has
    them and they are more; runs that were found done, in this study or another, count with the time that they took
    then. A run whose time is not known counts as none in totals.

    Returns:
        `median_seconds` over runs, `images_per_second` the median of what trainings said, memory the most that a run
        held (megabytes), `energy_wh` the sum over the runs whose device told, which measures the device and not the
        process: runs side by side on it are counted in each. nan where nothing is known.
    """
    plan = with_numbers(study.plan[study.plan["state"].isin(["done", "failed"])], ASKED)
    plan = plan.assign(memory_mb=plan[["memory_mb", "peak_mb"]].max(axis=1))
    plan = plan.assign(seconds=plan[["seconds", "all_attempts"]].max(axis=1))
    tuned = plan["stage"].isin(["finetune", "search"])
    plan["arm"] = plan["arm"].where(tuned, weights_of(study, plan))
    rows = [
        {"stage": stage, "arm": arm, **_cost(part)} for (stage, arm), part in plan.groupby(["stage", "arm"], sort=False)
    ]
    if rows:
        rows.append({"stage": "all", "arm": "", **_cost(plan)})
    return pd.DataFrame(rows, columns=COSTS)


def _cost(runs: pd.DataFrame) -> dict[str, float | int]:
    energy = runs["energy_wh"].dropna()
    return {
        "runs": len(runs),
        "failed": int((runs["state"] == "failed").sum()),
        "attempts": int(pd.to_numeric(runs["attempts"], errors="coerce").fillna(1).sum()),
        "median_seconds": median(runs["seconds"].astype(float)),
        "total_seconds": float(runs["seconds"].astype(float).sum()),
        "images_per_second": median(runs["images_per_second"]),
        "memory_mb": float(runs["memory_mb"].max()),
        "gpu_memory_mb": float(runs["gpu_memory_mb"].max()),
        "energy_wh": float(energy.sum()) if len(energy) else nan,
        "machines": runs["host"][runs["host"] != ""].nunique(),
    }
