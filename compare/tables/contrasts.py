"""The table of contrasts: how far apart any two arms are, how sure that is, and one word for it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Literal

import numpy as np
import pandas as pd

from compare.records.study import Cell, Study
from compare.statistics.aggregate import probability_of_improvement
from compare.statistics.decisions import (
    Bootstrap,
    FloatArray,
    Interval,
    equivalence_p,
    hierarchical_bootstrap,
    holm,
    paired_permutation,
    verdict,
)
from compare.statistics.paired import Components, components, lesion_sums, paired_gap
from compare.statistics.pairs import Pairs, complete_pairs
from compare.statistics.resolution import resolvable_difference
from compare.statistics.smyth import CORRELATIONS, correlation_weights, moderated

CONTRASTS = [
    "a", "b", "setting", "label_fraction", "pooled", "family", "cells", "difference", "low", "high", "low90",
    "high90", "standard_error", "degrees_of_freedom", "seed_freedom", "seed_correlation", "p", "adjusted_p",
    "verdict", "note", "equivalence_p", "false_claim", "improvement", "smallest_detectable", "images", "lesions",
    "seeds", "pairs_left_out", "images_left_out", "alone_low", "alone_high", "alone_p", "alone_verdict",
]  # fmt: skip
ENDS = ("low", "high", "low90", "high90")
ENDS_ALONE = ["alone_low90", "alone_high90"]  # that only the verdict needs
NOTHING = 0.01  # mean IoU below which an arm segments nothing
Family = Literal["primary", "other", "cell"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two arms in one cell or pooled over several."""

    pair: tuple[str, str]
    cells: list[Cell]
    family: Family
    """Among which p is adjusted: the primary one stands alone."""
    margin: float
    """Of equivalence, in IoU."""
    scores: tuple[FloatArray, FloatArray]
    """Of both arms, (cells, seeds, images), nan where missing."""
    pairs: Pairs
    """What of them is complete."""
    lesions: list[str]
    """Of the images that both scored."""
    own: Components | None
    """From these scores alone; None where nothing is complete, with one lesion, or where scores tell nothing."""
    parts: Components | None
    """`own`, the seeds' part of a cell moderated by the other cells of its pair of arms."""
    correlation: float = nan
    """Between trainings of two cells under one seed, as far as the study tells; nan for a single cell or seed."""

    @property
    def note(self) -> str:
        """Why the scores tell nothing of the two arms; '' where they do."""
        return why_silent(self.pairs.scores_a, self.pairs.scores_b)

    @property
    def complete(self) -> tuple[FloatArray, FloatArray, list[str]]:
        """Scores of both arms, (seeds, images), and the lesion of each image."""
        return self.pairs.scores_a, self.pairs.scores_b, self.lesions

    @property
    def name(self) -> dict[str, str | float]:
        """The cell in the columns of a table, 'all' and nan where there are several."""
        settings, fractions = {cell[0] for cell in self.cells}, {cell[1] for cell in self.cells}
        return {
            "setting": settings.pop() if len(settings) == 1 else "all",
            "label_fraction": fractions.pop() if len(fractions) == 1 else nan,
        }


def contrast_table(study: Study, draws: int = 10_000) -> pd.DataFrame:
    """Every pair of arms, pooled over cells and, where there are several cells, in each; the primary one first.

    The cells of a pair of arms tell each other how much trainings vary (`compare.statistics.smyth`); what each would
    have been called by its own variance stands beside it, in the columns that begin with `alone`.

    Holm's correction runs within three families: the primary contrast, which the study has declared as its question
    and so stands alone; the other pooled contrasts; and those of single cells. With one seed the verdict is always
    undecided, since nothing then says how another training would have gone; and so it is where `note` says why scores
    tell nothing.

    Args:
        study: Complete or not; what is missing is counted in `pairs_left_out` and `images_left_out`.
        draws: Bootstrap and permutation draws per contrast.

    Returns:
        A row per contrast; differences are shares of IoU, nan where no pair of runs is complete. For pooled rows
        `setting` is 'all' and `label_fraction` nan, unless the study has just one.
    """
    found = comparisons(study)
    sizes = Counter(one.family for one in found)
    table = pd.DataFrame([_row(one, draws, sizes[one.family]) for one in found], columns=[*CONTRASTS, *ENDS_ALONE])
    for family in sizes:
        own = table["family"] == family
        for p, adjusted in (("p", "adjusted_p"), ("alone_p", "alone_p")):
            table.loc[own, adjusted] = holm(table.loc[own, p].to_numpy(dtype=float))
    words = {
        "verdict": [_word(row, study.margin, "") for _, row in table.iterrows()],
        "alone_verdict": [_word(row, study.margin, "alone_") for _, row in table.iterrows()],
    }
    return table.assign(**words)[CONTRASTS]


def run_means(scores: FloatArray) -> FloatArray:
    """Mean over the images of each run, (..., images) -> (...), nan where a run scored none."""
    there = ~np.isnan(scores)
    counts = there.sum(axis=-1)
    sums = np.where(there, scores, 0.0).sum(axis=-1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), nan)


def _word(row: "pd.Series[float]", margin: float, by: str) -> str:
    """The verdict, by the ends and the p in the columns that begin with `by`."""
    if row["seeds"] < 2 or row["note"]:
        return "undecided"
    low, high, low90, high90 = (row[f"{by}{end}"] for end in ENDS)
    return verdict(Interval(low, high), Interval(low90, high90), margin, row["alone_p" if by else "adjusted_p"])


def _row(one: Comparison, draws: int, family: int) -> dict[str, object]:
    """The numbers of a contrast, whose verdict is one of `family`."""
    a, b = one.scores
    scored = int((~np.isnan(a) | ~np.isnan(b)).any(axis=(0, 1)).sum())
    images, lesions = int(one.pairs.images.sum()), len(set(one.lesions))
    counts = {"cells": int(one.pairs.cells.sum()), "seeds": len(one.pairs.scores_a), "images": images}
    counts |= {"lesions": lesions, "pairs_left_out": one.pairs.left_out, "images_left_out": scored - images}
    named = {"a": one.pair[0], "b": one.pair[1], "pooled": one.family != "cell", "family": one.family, **one.name}
    if not one.pairs.scores_a.size:
        return {**named, **counts, "note": one.note}
    boot = hierarchical_bootstrap(*one.complete, np.random.default_rng(0), draws)
    judged = _judged(one, boot, one.parts, family)
    alone = judged if one.parts == one.own else _judged(one, boot, one.own, family)
    return {
        **named,
        **counts,
        **judged,
        **{f"alone_{name}": alone[name] for name in (*ENDS, "p")},
        "note": one.note,
        "seed_correlation": one.correlation,
        "difference": float((one.pairs.scores_a - one.pairs.scores_b).mean()),
        "improvement": probability_of_improvement(run_means(a), run_means(b)),
        "smallest_detectable": resolvable_difference(one.parts, family=family) if one.parts else nan,
    }


def _judged(one: Comparison, boot: Bootstrap, parts: Components | None, family: int) -> dict[str, float]:
    """What depends on how far trainings vary.

    Each draws from its own generator, so that no contrast depends on what stood before it.
    """
    if parts and parts != boot.components:
        boot = boot.judged_by(parts, np.random.default_rng(1))
    ends = np.clip([*boot.interval(0.95), *boot.interval(0.9)], -1, 1)  # no two shares are further apart
    return {
        **dict(zip(ENDS, map(float, ends), strict=True)),
        "standard_error": boot.standard_error,
        "degrees_of_freedom": boot.degrees_of_freedom,
        "seed_freedom": parts.seed_freedom if parts else nan,
        "p": paired_permutation(*one.complete, np.random.default_rng(0), boot.draws, family, parts),
        "equivalence_p": equivalence_p(boot, one.margin),
        "false_claim": boot.false_claim(),
    }


def comparisons(study: Study) -> list[Comparison]:
    """Every pair of arms pooled over cells, the primary one first, then, where there are several cells, in each."""
    scores = {arm: study.jaccard(arm) for pair in study.contrasts for arm in pair}
    every = list(range(len(study.cells)))
    wanted: list[tuple[Family, tuple[str, str], list[int]]] = [
        ("other" if place else "primary", pair, every) for place, pair in enumerate(study.contrasts)
    ]
    if len(every) > 1:
        wanted += [("cell", pair, [cell]) for pair in study.contrasts for cell in every]
    return _with_moderated_parts([_comparison(study, scores, *one) for one in wanted])


def why_silent(a: FloatArray, b: FloatArray) -> str:
    """Why the scores of two arms, (seeds, images) each, tell nothing of them; '' where they do, or are none.

    Near 0 all scores are alike, whatever is compared. And trainings with other seeds agree on every image only where
    they mark nothing, or everything.
    """
    if not a.size:
        return ""
    if max(a.mean(), b.mean()) < NOTHING:
        return "neither arm segments anything"
    same = (a == a[0]).all() and (b == a[0]).all()
    return "every training scores every image the same" if len(a) > 1 and same else ""


def _comparison(
    study: Study, scores: dict[str, FloatArray], family: Family, pair: tuple[str, str], chosen: list[int]
) -> Comparison:
    a, b = (scores[arm][chosen] for arm in pair)
    pairs = complete_pairs(a, b)
    lesions = study.lesions[pairs.images].to_list()
    own = _own_components(pairs, lesions)
    cells = [study.cells[cell] for cell in chosen]
    return Comparison(
        pair=pair, cells=cells, family=family, margin=study.margin, scores=(a, b), pairs=pairs, lesions=lesions,
        own=own, parts=own,
    )  # fmt: skip


def _own_components(pairs: Pairs, lesions: "Sequence[str] | pd.Series[str]") -> Components | None:
    a, b = pairs.scores_a, pairs.scores_b
    if not a.size or len(set(lesions)) < 2 or why_silent(a, b):
        return None
    return components(*lesion_sums(paired_gap(a, b, list(lesions)), list(lesions)))


def _with_moderated_parts(found: list[Comparison]) -> list[Comparison]:
    """The cells of a pair of arms borrow from each other; other pairs vary for reasons of their own."""
    parts, correlations = {id(one): one.own for one in found}, dict[tuple[str, str], float]()
    for pair in dict.fromkeys(one.pair for one in found):
        [pooled] = [one for one in found if one.pair == pair and one.family != "cell"]
        weights = correlation_weights(pooled.pairs.by_cell)
        tells = pooled.own and min(pooled.pairs.by_cell.shape) > 1
        correlations[pair] = float(weights @ CORRELATIONS) if tells else nan
        cells = [one for one in found if one.pair == pair and one.family == "cell" and one.own]
        parts |= zip(map(id, cells), moderated([one.own for one in cells if one.own], weights), strict=True)
    return [replace(one, parts=parts[id(one)], correlation=correlations[one.pair]) for one in found]
