"""Scores in subgroups of the images: size and class of the lesion, artefacts, skin tone. Exploratory, without verdicts.

No correction is made for the number of subgroups, and most hold few lesions: n stands in every row, and an interval
that excludes 0 in one of twenty subgroups is what chance gives.
"""

from math import nan

import numpy as np
import pandas as pd

from compare.records.data_sets import DataSets, labelled_set
from compare.records.kept import kept_groups
from compare.records.study import Study
from compare.statistics.decisions import FloatArray, Interval, hierarchical_bootstrap
from compare.statistics.pairs import BoolArray, Pairs, complete_pairs
from compare.tables.arms import FAILURE
from dermssl.appearance import covariates, hair
from dermssl.appearance.per_image import appearance
from dermssl.appearance.skin_tone import TONES, tone_of

SUBGROUPS = [
    "by", "subgroup", "a", "b", "images", "lesions", "seeds", "mean_a", "mean_b", "difference", "low", "high",
]  # fmt: skip
SUBGROUP_ARMS = ["by", "subgroup", "arm", "images", "lesions", "seeds", "jaccard", "low", "high", "failure_rate"]
SIZES = ("smallest third", "middle third", "largest third")
ARTEFACTS = {**covariates.THRESHOLDS, "hair": hair.THRESHOLD}  # score from which on each counts as present


def subgroup_table(study: Study, draws: int = 10_000, sets: DataSets | None = None) -> pd.DataFrame:
    """The primary contrast in every subgroup, pooled over cells.

    Returns:
        Differences are shares of IoU. The interval is nan where a subgroup has fewer than two lesions or the study
        fewer than two seeds.
    """
    if not study.contrasts or study.scores.empty:
        return pd.DataFrame(columns=SUBGROUPS)
    (a, b), labels, rows = study.contrasts[0], subgroups_of(study, sets), []
    pairs = complete_pairs(study.jaccard(a), study.jaccard(b))
    for by, name, inside in _each(labels, pairs):
        scores = pairs.scores_a[:, inside], pairs.scores_b[:, inside]
        lesions = study.lesions[pairs.images][inside]
        difference, interval = _with_interval(scores, lesions, draws, least=-1.0)
        means = {"mean_a": float(scores[0].mean()), "mean_b": float(scores[1].mean())}
        counts = {"images": int(inside.sum()), "lesions": lesions.nunique(), "seeds": len(scores[0])}
        named = {"by": by, "subgroup": name, "a": a, "b": b}
        rows.append({**named, **counts, **means, "difference": difference, **interval._asdict()})
    return pd.DataFrame(rows, columns=SUBGROUPS)


def subgroup_arm_table(study: Study, draws: int = 10_000, sets: DataSets | None = None) -> pd.DataFrame:
    """Mean IoU of every arm in every subgroup, pooled over cells, and the share of images below 0.65 (FAILURE)."""
    if study.scores.empty:
        return pd.DataFrame(columns=SUBGROUP_ARMS)
    labels, rows = subgroups_of(study, sets), []
    for arm in study.levels("arm"):
        jaccard = study.jaccard(arm)
        pairs = complete_pairs(jaccard, np.zeros_like(jaccard))
        whole = jaccard[np.ix_(pairs.cells, pairs.seeds, pairs.images)]
        for by, name, inside in _each(labels, pairs):
            own, lesions = pairs.scores_a[:, inside], study.lesions[pairs.images][inside]
            mean, interval = _with_interval((own, np.zeros_like(own)), lesions, draws, least=0.0)
            counts = {"images": int(inside.sum()), "lesions": lesions.nunique(), "seeds": len(own)}
            failures = float((whole[:, :, inside] < FAILURE).mean())
            named = {"by": by, "subgroup": name, "arm": arm, **counts}
            rows.append({**named, "jaccard": mean, **interval._asdict(), "failure_rate": failures})
    table = pd.DataFrame(rows, columns=SUBGROUP_ARMS)
    order = {key: place for place, key in enumerate(_order(labels))}
    places = [order[key] for key in zip(table["by"], table["subgroup"], strict=True)]
    return table.iloc[np.argsort(places, kind="stable")].reset_index(drop=True)


def subgroups_of(study: Study, sets: DataSets | None = None) -> pd.DataFrame:
    """The subgroup of every scored image in each way to divide them, '' where it is not known.

    Returns:
        Columns `lesion size` (thirds of the images by the lesion's share of its picture), `class`, one an artefact
        (with or without), and `skin tone`; indexed by image id as `study.lesions`. What takes the pictures is left out
        where their folder is gone, and what divides nothing is left out.
    """
    images = study.lesions.index
    if study.kept:
        return kept_groups(study).loc[images]
    manifest = sets.labelled if sets else labelled_set(study)
    columns = {}
    if manifest is not None:
        table = manifest.table.set_index("image_id").loc[images]
        scores = appearance(manifest).set_index("image_id").loc[images]
        columns = {"lesion size": thirds(table["mask_area"]), "class": table["label"]}
        columns |= {name: presence(scores[name], name, limit) for name, limit in ARTEFACTS.items()}
        columns["skin tone"] = scores["angle"].map(tone_of)
    elif "area" in study.scores:
        columns = {"lesion size": thirds(study.scores.groupby("image_id")["area"].first().loc[images])}
    groups = pd.DataFrame(columns, index=images)
    return groups[[name for name in groups if groups[name][groups[name] != ""].nunique() > 1]]


def thirds(areas: "pd.Series[float]") -> "pd.Series[str]":
    """Which third of the images each lies in by its lesion's area, ties in the order of the images; '' for nan."""
    places = areas.rank(method="first", pct=True)
    names = [SIZES[min(2, int(np.ceil(3 * place)) - 1)] if place == place else "" for place in places]
    return pd.Series(names, index=areas.index)


def presence(scores: "pd.Series[float]", name: str, limit: float) -> "pd.Series[str]":
    """Whether each image has an artefact; '' for nan."""
    return pd.Series(
        ["" if score != score else name if score >= limit else f"no {name}" for score in scores], index=scores.index
    )


def _order(labels: pd.DataFrame) -> list[tuple[str, str]]:
    """Every way to divide with its subgroups, in the order of their meaning, else the largest first."""
    order = []
    for by in labels:
        counts = labels[by][labels[by] != ""].value_counts()
        names = {"lesion size": SIZES, "skin tone": TONES}.get(str(by), (str(by), f"no {by}"))
        rank = {name: place for place, name in enumerate(names)}
        order += [(str(by), str(name)) for name in sorted(counts.index, key=lambda one: rank.get(one, -counts[one]))]
    return order


def _each(labels: pd.DataFrame, pairs: Pairs) -> list[tuple[str, str, BoolArray]]:
    """Every subgroup that holds images of these pairs, with a mask of those images."""
    used = labels[pairs.images]
    masks = [(by, name, (used[by] == name).to_numpy(bool)) for by, name in _order(labels)]
    return [(by, name, inside) for by, name, inside in masks if inside.any() and pairs.scores_a.size]


def _with_interval(
    scores: tuple[FloatArray, FloatArray], lesions: "pd.Series[str]", draws: int, least: float
) -> tuple[float, Interval]:
    """The mean and its interval, which ends where shares, or their differences, end: at `least` and 1."""
    boot = hierarchical_bootstrap(*scores, lesions.to_list(), np.random.default_rng(0), draws)
    ends = Interval(*(float(end) for end in np.clip(boot.interval(), least, 1)))
    return boot.difference, ends if len(scores[0]) > 1 else Interval(nan, nan)
