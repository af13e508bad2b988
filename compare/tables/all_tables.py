"""Every table of a study, by name. All that the report prints comes from them."""

from math import nan
from typing import cast

import pandas as pd

from compare.tables.arms import ARMS, FAILURE, arm_table
from compare.tables.claims import claims_facts, claims_table
from compare.tables.contrasts import CONTRASTS, contrast_table
from compare.tables.cost_table import cost_table
from compare.tables.data_card import data_card, leak_pair_table, leak_table
from compare.tables.data_sets import data_sets
from compare.tables.deviations import deviation_table
from compare.tables.factor_tables import arm_rank_table, effect_tables
from compare.tables.fairness import fairness_table
from compare.tables.lineage import lineage_table
from compare.tables.padding_study import padding_table
from compare.tables.ranks import rank_table, weights_of
from compare.tables.run_files import with_numbers
from compare.tables.search_tables import search_table, trial_table
from compare.tables.study import Study, run_result
from compare.tables.subgroups import subgroup_arm_table, subgroup_table

__all__ = ["ARMS", "CONTRASTS", "FAILURE", "all_tables", "arm_table", "contrast_table", "probe_table", "run_table"]

PROBES = ["run", "arm", "encoder", "probe", "measure", "value", "low", "high", "n", "detail"]


def all_tables(study: Study, draws: int = 10_000) -> dict[str, pd.DataFrame]:
    """All tables, each by the name of its file in `tables/`; those that there is nothing to say in are empty.

    Args:
        study: Complete or not.
        draws: Of the bootstrap, in those tables that have intervals.
    """
    probes = probe_table(study)
    factors, levels = effect_tables(study, draws)
    sets = data_sets(study)
    return {
        "contrasts": contrast_table(study, draws),
        "arms": arm_table(study, draws),
        "arm_ranks": arm_rank_table(study),
        "factors": factors,
        "levels": levels,
        "subgroups": subgroup_table(study, draws, sets),
        "subgroup_arms": subgroup_arm_table(study, draws, sets),
        "padding": padding_table(study),
        "search": search_table(study),
        "trials": trial_table(study),
        "probes": probes,
        "probe_ranks": rank_table(study, probes),
        "fairness": fairness_table(study),
        "deviations": deviation_table(study, sets),
        "runs": run_table(study),
        "costs": cost_table(study),
        "lineage": lineage_table(study),
        "data_card": data_card(study, sets),
        "leaks": leak_table(study),
        "leak_pairs": leak_pair_table(study),
        "claims_reloaded": claims_table(study),
        "claims_facts": claims_facts(study),
    }


def run_table(study: Study) -> pd.DataFrame:
    """The plan with each run's own mean IoU, and the last line of each error."""
    last = [error.strip().splitlines()[-1].strip() if error.strip() else "" for error in study.plan["error"]]
    return with_numbers(study.plan, {"jaccard": "jaccard"}).assign(error=last)


def probe_table(study: Study) -> pd.DataFrame:
    """A row per measurement of a frozen encoder: kNN and linear balanced accuracy, Jaccard of a dense probe.

    `arm` is the init, with its method where there are several, whatever the study compares.
    """
    runs, rows = study.runs("probe"), []
    for _, run in runs.assign(arm=weights_of(study, runs)).iterrows():
        result = run_result(run["folder"])
        for probe, measure in (("knn", "balanced_accuracy"), ("linear", "balanced_accuracy"), ("dense", "jaccard")):
            measures = cast("dict[str, float] | None", result.get(probe))
            if not measures or measures.get(measure) is None:
                continue
            detail = ", ".join(
                f"{key} = {measures[key]:.0f}" for key in ("k", "n_train") if measures.get(key) is not None
            )
            numbers = {key: measures.get(key, nan) for key in ("low", "high", "n")}
            named = {"run": run["name"], "arm": run["arm"], "encoder": run["encoder"], "probe": probe}
            rows.append({**named, "measure": measure, "value": measures[measure], **numbers, "detail": detail})
    return pd.DataFrame(rows, columns=PROBES)
