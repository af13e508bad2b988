"""Which factor moves IoU how much: a mixed model of the whole study, with lesions and seeds as random."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from compare.statistics.bootstrap import hierarchical_bootstrap
from compare.statistics.paired import FloatArray, Lesions

EFFECTS = ["factor", "level", "cells", "mean", "effect", "low", "high", "standard_error"]
FACTORS = ["factor", "levels", "range", "spread", "share"]


class FactorEffects(NamedTuple):
    """Effects of every level, and what each factor comes to."""

    levels: pd.DataFrame
    """A row a level: its marginal mean, and its `effect` against the mean of all levels, with a 95 % interval."""
    factors: pd.DataFrame
    """A row a factor, largest first: `range` between its best and worst level, `spread` (standard deviation of its
    levels, less what chance adds), `share` of the variance of the cells' means; last `interactions`, what is left."""


def factor_effects(
    cells: Sequence[Mapping[str, object]],
    scores: FloatArray,
    lesions: Lesions,
    rng: np.random.Generator,
    draws: int = 2000,
) -> FactorEffects:
    """The main effect of each level of each factor, other factors held equal.

    The model of the score of cell c, seed s and lesion l is

        score = mean + sum over factors of effect(level of c) + seed_s + lesion_l
                + sum over factors of (seed x level and lesion x level) + rest,

    effects of a factor adding up to 0, everything with a seed or a lesion in it random, with a variance of its own for
    each level: the maximal random effects of Barr et al. 2013 (https://doi.org/10.1016/j.jml.2012.11.001). As every
    cell is scored on the same lesions under the same seeds, the fixed effects are least squares on the cells, lesion by
    lesion and seed by seed; what is common to all cells cancels; and the interval of an effect is that of a contrast,
    by `hierarchical_bootstrap`. The spread of a factor is that of its own levels (Gelman 2005,
    https://doi.org/10.1214/009053604000001048), not of a population of decoders.

    Args:
        cells: Factors and their levels, of each cell; every cell has the same factors.
        scores: (cells, seeds, images), no nan: leave out what is not there before.
        lesions: Lesion of each image, (images,).
        rng: Source of the draws.
        draws: Resamples of the lesions, a level.

    Returns:
        Nothing of factors with a single level.

    Raises:
        ValueError: If scores are missing, or the effects of two factors cannot be told apart in these cells.
    """
    if scores.ndim != 3 or len(scores) != len(cells) or np.isnan(scores).any():
        raise ValueError(f"scores are (cells, seeds, images) without nan, got {scores.shape} for {len(cells)} cells")
    levels = levels_of(cells)
    centre, weights = effect_weights(cells, levels)  # (cells,), (levels of all factors, cells)
    middle = float(centre @ scores.mean(axis=(1, 2)))
    rows, nothing = [], np.zeros(scores.shape[1:])
    for (factor, level), weight in zip(((f, value) for f, of in levels.items() for value in of), weights, strict=True):
        boot = hierarchical_bootstrap(np.tensordot(weight, scores, 1), nothing, lesions, rng, draws)
        low, high = boot.interval()
        count = sum(cell[factor] == level for cell in cells)
        numbers = [middle + boot.difference, boot.difference, low, high, boot.standard_error]
        rows.append([factor, str(level), count, *numbers])
    table = pd.DataFrame(rows, columns=EFFECTS)
    return FactorEffects(table, _factor_table(table, cells, scores.mean(axis=(1, 2))))


def levels_of(cells: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    """Levels of each factor that has several, in the order in which they come."""
    levels = {factor: list(dict.fromkeys(cell[factor] for cell in cells)) for factor in (cells[0] if cells else {})}
    return {factor: of for factor, of in levels.items() if len(of) > 1}


def effect_weights(
    cells: Sequence[Mapping[str, object]], levels: Mapping[str, Sequence[object]]
) -> tuple[FloatArray, FloatArray]:
    """What each cell counts in the mean, (cells,), and in each effect, (levels of all factors, cells).

    Least squares, the effects of a factor adding up to 0.

    Raises:
        ValueError: If some effects cannot be told apart: a level of one factor is met with one level of another only.
    """
    columns, codes = [np.ones(len(cells))], []
    for factor, of in levels.items():
        code = np.vstack([np.eye(len(of) - 1), -np.ones(len(of) - 1)])  # (levels, free effects)
        codes.append((len(columns), code))
        columns += list(code[[of.index(cell[factor]) for cell in cells]].T)
    design = np.stack(columns, axis=1)  # (cells, 1 + free effects)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise ValueError(
            f"the effects of {', '.join(levels)} cannot be told apart in these {len(cells)} cells: "
            "a level of one is only met with one level of another; give fewer factors, or join two into one"
        )
    solved = np.linalg.pinv(design)  # (1 + free effects, cells)
    parts = [code @ solved[start : start + code.shape[1]] for start, code in codes]
    return solved[0], np.concatenate(parts) if parts else np.zeros((0, len(cells)))


def _factor_table(table: pd.DataFrame, cells: Sequence[Mapping[str, object]], means: FloatArray) -> pd.DataFrame:
    """Spreads by factor; shares are of the sum of squares of the cells' means, a factor's added up over its cells."""
    total = float(((means - means.mean()) ** 2).sum())
    fitted, rows = np.zeros(len(cells)), []
    for factor, part in table.groupby("factor", sort=False):
        effects = part.set_index("level")["effect"]
        own = np.array([effects[str(cell[str(factor)])] for cell in cells])
        fitted += own
        chance = float((part["standard_error"] ** 2).mean())
        spread = max(float(effects.var(ddof=1)) - chance * len(part) / (len(part) - 1), 0.0) ** 0.5
        share = float((own**2).sum()) / total if total > 0 else 0.0
        rows.append([factor, len(part), float(np.ptp(effects)), spread, share])
    rows.sort(key=lambda row: -row[2])
    residuals = means - means.mean() - (fitted - fitted.mean())
    residual_share = float((residuals**2).sum()) / total if total > 0 else 0.0
    rows.append(["interactions", 0, float(np.ptp(residuals)), float(residuals.std()), residual_share])
    return pd.DataFrame(rows, columns=FACTORS)
