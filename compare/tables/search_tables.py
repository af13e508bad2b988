"""What the searches of a learning rate tried, and what each arm got."""

from collections.abc import Iterator
from typing import cast

import pandas as pd

from compare.records.run_files import finished_runs, run_result
from compare.records.study import Study

SEARCH = [
    "arm", "setting", "label_fraction", "fold", "strategy", "trials", "seeds", "lowest", "highest", "best_lr",
    "jaccard", "at_the_edge", "scored",
]  # fmt: skip
TRIALS = ["arm", "setting", "label_fraction", "fold", "lr", "seed", "jaccard"]
NAMES = ("arm", "setting", "label_fraction", "fold")


def search_table(study: Study) -> pd.DataFrame:
    """A row per search that is done: how many rates it tried under how many seeds, between which ends, and the best.

    `jaccard` is the mean over seeds on images that were set aside of the training side, and no score of the arm.
    `at_the_edge` says that the best rate is the lowest or the highest that was tried: a better one may lie beyond.
    """
    rows = []
    for run, result, trials in _searches(study):
        rates = cast("list[float]", result["rates"])
        seeds = len({trial["seed"] for trial in trials})
        best = {"best_lr": result["best"], "jaccard": result["jaccard"], "at_the_edge": result["at_edge"]}
        counts = {"trials": len(trials) // max(1, seeds), "seeds": seeds, "lowest": min(rates), "highest": max(rates)}
        settings = {name: result.get(name, "") for name in ("strategy", "scored")}
        rows.append({**{name: run[name] for name in NAMES}, **settings, **counts, **best})
    return pd.DataFrame(rows, columns=SEARCH)


def trial_table(study: Study) -> pd.DataFrame:
    """A row per trial of every search, in the order in which they were done."""
    rows = [
        {**{name: run[name] for name in NAMES}, **{name: trial[name] for name in ("lr", "seed", "jaccard")}}
        for run, _, trials in _searches(study)
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=TRIALS)


def _searches(study: Study) -> Iterator[tuple["pd.Series[str]", dict[str, object], list[dict[str, object]]]]:
    """The plan's row, the result and the trials of every finished search that tried something."""
    for _, run in finished_runs(study.runs("search")).iterrows():
        result = run_result(run["folder"])
        trials = cast("list[dict[str, object]]", result.get("trials") or [])
        if trials:
            yield run, result, trials
