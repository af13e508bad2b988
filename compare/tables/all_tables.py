"""Every table of a study, by name. All that the report prints comes from them."""

from collections.abc import Iterator, Mapping
from math import nan
from typing import cast

import pandas as pd

from compare.records.data_sets import DataSets, data_sets
from compare.records.kept import kept_tables
from compare.records.run_files import run_result, with_numbers
from compare.records.study import Study
from compare.tables.arms import ARMS, FAILURE, arm_table
from compare.tables.claims import claims_facts, claims_table
from compare.tables.contrasts import CONTRASTS, contrast_table
from compare.tables.cost_table import cost_table
from compare.tables.data_card import data_card, leak_pair_table, leak_table
from compare.tables.deviations import deviation_table
from compare.tables.factor_tables import arm_rank_table, effect_tables
from compare.tables.fairness import fairness_table
from compare.tables.fresh_images import fresh_contrast_table
from compare.tables.lineage import lineage_table
from compare.tables.padding_study import padding_table
from compare.tables.ranks import rank_table, weights_of
from compare.tables.search_tables import search_table, trial_table
from compare.tables.subgroups import subgroup_arm_table, subgroup_table
from compare.text import last_line

__all__ = ["ARMS", "CONTRASTS", "FAILURE", "all_tables", "arm_table", "contrast_table", "probe_table", "run_table"]

PROBES = ["run", "arm", "encoder", "probe", "measure", "value", "low", "high", "n", "detail"]


def all_tables(study: Study, draws: int = 10_000) -> dict[str, pd.DataFrame]:
    """All tables, each by the name of its file in `tables/`; those that there is nothing to say in are empty.

    Args:
        study: Complete or not.
        draws: Of the bootstrap, in those tables that have intervals.
    """
    sets = data_sets(study)
    facts = kept_tables(study) if study.kept else fact_tables(study, sets)
    factors, levels = effect_tables(study, draws)
    scored = {
        "contrasts": contrast_table(study, draws),
        "fresh_contrasts": fresh_contrast_table(study, draws),
        "arms": arm_table(study, draws),
        "arm_ranks": arm_rank_table(study),
        "factors": factors,
        "levels": levels,
        "subgroups": subgroup_table(study, draws, sets),
        "subgroup_arms": subgroup_arm_table(study, draws, sets),
        "claims_reloaded": claims_table(study),
    }
    return scored | facts


def fact_tables(study: Study, sets: DataSets) -> dict[str, pd.DataFrame]:
    """The tables of what the folders of runs and images say."""
    probes = probe_table(study)
    return {
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
        "claims_facts": claims_facts(study),
    }


def run_table(study: Study) -> pd.DataFrame:
    """The plan with each run's own mean IoU, and the last line of each error."""
    reasons = [last_line(error, "") for error in study.plan["error"]]
    return with_numbers(study.plan, {"jaccard": "jaccard"}).assign(error=reasons)


def probe_table(study: Study) -> pd.DataFrame:
    """A row per measurement of a frozen encoder: kNN and linear balanced accuracy, Jaccard of a dense probe.

    `arm` is the init, with its method where there are several, whatever the study compares.
    """
    runs, rows = study.runs("probe"), []
    for _, run in runs.assign(arm=weights_of(study, runs)).iterrows():
        result = run_result(run["folder"])
        for probe, measure, measures in measurements(result):
            detail = ", ".join(
                f"{key} = {measures[key]:.0f}" for key in ("k", "n_train") if measures.get(key) is not None
            )
            numbers = {key: measures.get(key, nan) for key in ("low", "high", "n")}
            named = {"run": run["name"], "arm": run["arm"], "encoder": run["encoder"], "probe": probe}
            rows.append({**named, "measure": measure, "value": measures[measure], **numbers, "detail": detail})
    return pd.DataFrame(rows, columns=PROBES)


def measurements(result: Mapping[str, object]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Probe, measure and numbers of each measurement in a probe's result.json; the dense probe has several sizes."""
    dense = cast("dict[str, dict[str, float]]", result.get("dense_by_images") or {})
    of_probes = [("knn", "balanced_accuracy", result.get("knn")), ("linear", "balanced_accuracy", result.get("linear"))]
    of_probes += [("dense", "jaccard", numbers) for numbers in dense.values() or [result.get("dense")]]
    for probe, measure, numbers in of_probes:
        if isinstance(numbers, Mapping) and numbers.get(measure) is not None:
            yield probe, measure, dict(numbers)
