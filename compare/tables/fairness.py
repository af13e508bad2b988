"""Whether the arms were treated alike: read from what the runs did, and not from what was planned."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sized
from pathlib import Path
from typing import NamedTuple, cast

import pandas as pd

from compare.records.data_sets import encoder_files
from compare.records.run_files import finished_runs, run_environment, run_options, run_result
from compare.records.study import Study
from compare.tables.deviations import versions_of
from compare.tables.search_tables import search_table
from dermssl.weights.encoder_file import read_card
from finetune.options.config import FinetuneConfig

FAIRNESS = ["what", "same", "detail"]
BLOCK = ["setting", "label_fraction", "fold", "seed"]
APART = FinetuneConfig.ELSEWHERE - {"augmentation"}  # options of place and pace, and those that a hash stands for


class FinishedRun(NamedTuple):
    """A run of fine-tuning, and what its folder says."""

    row: "pd.Series[str]"
    result: Mapping[str, object]
    options: Mapping[str, object]
    images: frozenset[str]


def fairness_table(study: Study) -> pd.DataFrame:
    """A row per thing that must be the same in every arm, over all finished runs of fine-tuning.

    Runs are held against each other within a block of setting, label fraction, fold and seed, in which nothing but the
    arm may differ.

    Returns:
        `same`: True, False, or None where the runs do not tell; `detail`: the value that all share, or what differs.
    """
    runs = finished_runs(study.runs("finetune"))
    if runs.empty:
        return pd.DataFrame(columns=FAIRNESS)
    scored = study.scores.groupby("run")["image_id"].agg(frozenset)
    finished = [
        FinishedRun(
            row,
            run_result(row["folder"]),
            run_options(row["folder"]),
            scored.get(Path(row["folder"]).name, frozenset()),
        )
        for _, row in runs.iterrows()
    ]
    rows = [
        _seed_check(study, finished),
        _block_check(
            "held-out images", finished, lambda run: run.images, lambda images: f"{len(cast(Sized, images))} images"
        ),
        _block_check("split", finished, lambda run: str(run.result.get("split") or ""), str),
        _block_check("training images", finished, lambda run: str(run.result.get("n_train") or ""), str),
        _block_check("optimiser steps", finished, lambda run: str(run.result.get("steps") or ""), str),
        _option_check(study, finished),
        *_code_checks(finished),
        *_search_checks(study),
        *_pretraining_checks(study),
    ]
    return pd.DataFrame(rows, columns=FAIRNESS)


def _seed_check(study: Study, runs: list[FinishedRun]) -> dict[str, object]:
    """Whether each arm has the same seeds (and folds) in each cell."""
    plan = pd.DataFrame([run.row for run in runs])
    absent = []
    for cell, part in plan.groupby(["setting", "label_fraction"]):
        seeds = {arm: set(zip(own["seed"], own["fold"].fillna(-1), strict=True)) for arm, own in part.groupby("arm")}
        wanted = set().union(*seeds.values())
        lacking = {arm: len(wanted - seeds.get(arm, set())) for arm in study.levels("arm")}
        where = f"of {len(wanted)} runs in {cell[0]} at {cell[1]:g}"
        absent += [f"{arm} lacks {count} {where}" for arm, count in lacking.items() if count]
    all_seeds = ", ".join(f"{seed:g}" for seed in sorted(plan["seed"].unique()))
    return {
        "what": "seeds",
        "same": not absent,
        "detail": "; ".join(absent) or f"seeds {all_seeds} in every arm and cell",
    }


def _block_check(
    what: str, runs: list[FinishedRun], value: Callable[[FinishedRun], Hashable], words: Callable[[object], str]
) -> dict[str, object]:
    """Whether a value is the same in all arms of each block."""
    blocks: dict[tuple[object, ...], dict[str, Hashable]] = {}
    for run in runs:
        block = tuple("" if run.row[name] != run.row[name] else run.row[name] for name in BLOCK)
        blocks.setdefault(block, {})[run.row["arm"]] = value(run)
    values = [level for block in blocks.values() for level in block.values()]
    if not any(values):
        return {"what": what, "same": None, "detail": "the runs do not tell"}
    unlike = [block for block in blocks.values() if len(set(block.values())) > 1]
    if unlike:
        first = ", ".join(f"{arm} {words(level)}" for arm, level in unlike[0].items())
        return {"what": what, "same": False, "detail": f"differ in {len(unlike)} of {len(blocks)} blocks: {first}"}
    return {"what": what, "same": True, "detail": ", ".join(dict.fromkeys(words(level) for level in values))}


def _option_check(study: Study, runs: list[FinishedRun]) -> dict[str, object]:
    """Whether all options but the compared factor are the same; a rate that a search found may differ."""
    free = APART | {study.arms} | ({"lr"} if len(study.runs("search")) else set())
    blocks: dict[tuple[object, ...], dict[str, set[str]]] = {}
    for run in runs:
        block = tuple(str(run.row[name]) for name in BLOCK)
        for key, value in run.options.items():
            if key not in free:
                blocks.setdefault(block, {}).setdefault(key, set()).add(str(value))
    if not blocks:
        return {"what": "other options", "same": None, "detail": "the runs do not tell"}
    unlike = {key: values for block in blocks.values() for key, values in block.items() if len(values) > 1}
    detail = "; ".join(f"{key} is {' or '.join(sorted(values))}" for key, values in sorted(unlike.items()))
    searched = " and the learning rate, which each arm's search chose" * ("lr" in free and study.arms != "lr")
    alike = f"all options but {study.arms}{searched}"
    return {"what": "other options", "same": not unlike, "detail": detail or alike}


def _code_checks(runs: list[FinishedRun]) -> Iterator[dict[str, object]]:
    """Whether all runs had the same code, libraries and kind of machine."""
    environments = [environment for run in runs if (environment := run_environment(run.row["folder"]))]
    libraries = versions_of(environments)
    unlike = {name: versions for name, versions in libraries.items() if len(versions) > 1}
    kinds = {
        "commit": {str(machine.get("commit") or "unknown")[:10] for machine in environments},
        "machine": {str(machine.get("cpu") or "unknown") for machine in environments},
    }
    for what, values in kinds.items():
        yield {"what": what, "same": len(values) == 1 if environments else None, "detail": ", ".join(sorted(values))}
    detail = "; ".join(f"{name} {', '.join(sorted(versions))}" for name, versions in (unlike or libraries).items())
    yield {"what": "library versions", "same": not unlike if environments else None, "detail": detail}


def _search_checks(study: Study) -> Iterator[dict[str, object]]:
    """Whether every arm's search had the same budget, and looked at training images alone."""
    table = search_table(study)
    if table.empty:
        return
    budgets = ["strategy", "trials", "seeds", "lowest", "highest"]
    each = [
        {tuple(budget) for budget in part[budgets].astype(str).to_numpy()}
        for _, part in table.groupby("label_fraction")
    ]
    words = {
        f"{s}, {n} trials of {k} seed{'' if k == '1' else 's'}, {low} to {high}"
        for budget in each
        for s, n, k, low, high in budget
    }
    yield {
        "what": "search of the learning rate",
        "same": all(len(budget) == 1 for budget in each),
        "detail": "; ".join(sorted(words)),
    }
    inner = bool((table["scored"] == "inner").all())
    detail = "on images set aside of the training side" if inner else "held-out images were read"
    yield {"what": "search scored on training images", "same": inner, "detail": detail}


def _pretraining_checks(study: Study) -> Iterator[dict[str, object]]:
    """Where several methods pretrained: whether on the same images, as large and for as long."""
    cards = [read_card(file) for file in encoder_files(study)]
    if len({card.method for card in cards}) < 2:
        return
    facts: dict[str, set[str]] = {
        "pretraining images": {str(card.data.get("manifest")) for card in cards},
        "pretraining epochs": {str(card.epochs) for card in cards},
        "pretraining size": {f"{card.image_size} px" for card in cards},
    }
    for what, values in facts.items():
        yield {"what": what, "same": len(values) == 1, "detail": ", ".join(sorted(values))}
