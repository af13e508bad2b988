"""Contrasts estimate how trainings vary together: moderated variances (Smyth 2004, https://doi.org/10.2202/1544-6115.1027).

Three seeds tell the variance of one contrast from two degrees of freedom. A study has more to tell: its other cells.
Their variances are taken as draws of one scaled inverse chi-squared distribution; the posterior of each is Smyth's
moderated variance, with more degrees of freedom. Smyth plugs in the two numbers of that prior, which thousands of genes
tell and four cells do not: here they are integrated over, by their marginal likelihood, so that few contrasts borrow
little, and those that differ, less. A contrast without another beside it keeps its own.

What is assumed of dependence. Cells share seeds, so order and draws, and their trainings may go up and down together:
any two cells are taken to be correlated alike, and not negatively. The correlation is not known; it has a posterior, by
how far the seeds' means differ against how far single cells differ from them, and is integrated over. The likelihood of
other contrasts is tempered, such that all together count as many as are independent (Pauli, Racugno and Ventura 2011,
Statistica Sinica 21).

What is not borrowed. Other pairs of arms vary for reasons of their own. The mean over cells keeps seeds - 1 degrees of
freedom of its own: from its cells it would follow only if they were known to be independent. A test that keeps its 5 %
whatever the correlation gains 6 to 12 % of the detectable difference at most (docs/statistics.md); that is not worth
the risk.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from compare.statistics.paired import Components, FloatArray

CORRELATIONS = np.array([0.0, 0.3, 0.5, 0.7, 0.85, 0.95, 0.99])
"""Of the trainings of two cells under one seed."""
LIKELY = np.array([0.35, 0.15, 0.15, 0.1, 0.1, 0.1, 0.05])
"""How likely each is before anything is seen; chosen by simulation, such that errors stay near 5 % (docs)."""
FREEDOMS = np.array([0.25, 0.5, 1, 2, 4, 8, 16, 64, 1e4])
"""Degrees of freedom of the prior, all as likely: from contrasts that share nothing to contrasts that vary alike."""
BEYOND, STEP = 6.0, 0.25
"""How far the scale of the prior may lie beyond the variances, and its steps, on the logarithm; all as likely."""


def moderated(parts: Sequence[Components], weights: FloatArray) -> list[Components]:
    """The components of each contrast, the seeds' part moderated by those of the others.

    Args:
        parts: Of the cells of a pair of arms; any number of seeds.
        weights: `correlation_weights`.

    Returns:
        In the order given. Those of one seed, or whose seeds agree to the last digit, stay as they are and have no say.
    """
    telling = [index for index, own in enumerate(parts) if own.seed_freedom and own.seeds > 0]
    moderate = list(parts)
    if len(telling) < 2:
        return moderate
    seeds = np.array([parts[index].seed_freedom + 1 for index in telling])
    variances = seeds * [parts[index].seeds for index in telling]  # of one training
    found = _moderated(variances, seeds - 1, _tempering(len(telling)), weights)
    for index, count, (variance, freedom) in zip(telling, seeds, found, strict=True):
        moderate[index] = parts[index]._replace(seeds=variance / float(count), seed_freedom=freedom)
    return moderate


def correlation_weights(means: FloatArray) -> FloatArray:
    """Posterior of `CORRELATIONS`, (correlations,), from how the cells of a pair of arms move over seeds.

    Between cells that are independent the mean square of the seeds' means, times cells, and that within seeds have the
    same expectation; a correlation makes the first larger.

    Args:
        means: Mean difference in each cell under each seed, (cells, seeds). Those of one cell or one seed, or without
            any variance, tell nothing.
    """
    return np.asarray(special.softmax(np.log(LIKELY) + _log_likelihood(means)))


@lru_cache(maxsize=256)
def expected_freedom(seeds: int, cells: int, studies: int = 16) -> float:
    """Degrees of freedom that the seeds' part of one cell has on average, where all cells vary alike and independently.

    From studies drawn by the same numbers each time; many cells are taken for thirty. 0 for one seed.
    """
    cells, rng, freedoms = min(cells, 30), np.random.default_rng(0), []
    if seeds < 2:
        return 0.0
    for _ in range(studies if cells > 1 else 1):
        means = np.subtract(*rng.normal(size=(2, cells, seeds)))  # of two arms, (cells, seeds)
        parts = [Components(0.0, float(cell.var(ddof=1)) / seeds, 0.0, 1, seeds - 1) for cell in means]
        freedoms += [own.seed_freedom for own in moderated(parts, correlation_weights(means))]
    return float(np.mean(freedoms))


def _log_likelihood(means: FloatArray) -> FloatArray:
    """Of each correlation, the variance integrated out with the prior 1/v; means are (cells, seeds)."""
    cells, seeds = means.shape
    if min(cells, seeds) < 2:
        return np.zeros(len(CORRELATIONS))
    centred = means - means.mean(axis=1, keepdims=True)
    between = cells * float((centred.mean(axis=0) ** 2).sum())  # sums of squares: of seeds - 1 degrees of freedom
    within = float(((centred - centred.mean(axis=0)) ** 2).sum())  # (cells - 1) (seeds - 1)
    if between == 0 or within == 0:
        return np.zeros(len(CORRELATIONS))
    ratio = (1 + (cells - 1) * CORRELATIONS) / (1 - CORRELATIONS)
    squares = np.log(between / ratio + within)
    return np.asarray(-(seeds - 1) / 2 * (np.log(ratio) + cells * squares))


def _tempering(cells: int) -> FloatArray:
    """The power that the likelihood of another cell gets under each correlation, (correlations,); of two or more."""
    independent = cells / (1 + (cells - 1) * CORRELATIONS**2)
    return np.asarray((independent - 1) / (cells - 1))


def _moderated(
    variances: FloatArray, freedoms: FloatArray, tempering: FloatArray, weights: FloatArray
) -> list[tuple[float, float]]:
    """Scale and degrees of freedom of each contrast's posterior."""
    own, variance = freedoms[:, None], variances[:, None]  # (contrasts, 1)
    low, high = float(np.log(variances.min())) - BEYOND, float(np.log(variances.max())) + BEYOND
    scales = np.exp(np.linspace(low, high, 1 + int(np.ceil((high - low) / STEP))))
    prior, scale = np.repeat(FREEDOMS, len(scales)), np.tile(scales, len(FREEDOMS))  # (grid,)
    marginal = _log_marginal(variance / scale, own, prior)  # (contrasts, grid)
    others = marginal.sum(axis=0) - marginal
    posterior = np.zeros_like(marginal)
    for power, weight in zip(tempering, weights, strict=True):
        posterior += weight * special.softmax(marginal + power * others, axis=1)
    freedom = own + prior
    moderate = (own * variance + prior * scale) / freedom
    return [_as_one(*contrast) for contrast in zip(posterior, moderate, freedom, strict=True)]


def _log_marginal(ratio: FloatArray, own: FloatArray, prior: FloatArray) -> FloatArray:
    """Log density of the log of a variance by its prior's scale, that of Fisher's F, but for a constant."""
    times = own * ratio / prior
    return np.asarray(
        -special.betaln(own / 2, prior / 2) + own / 2 * np.log(times) - (own + prior) / 2 * np.log1p(times)
    )


def _as_one(weights: FloatArray, variances: FloatArray, freedoms: FloatArray) -> tuple[float, float]:
    """Scale and degrees of freedom of the inverse chi-squared distribution nearest to a mixture of such.

    Its logarithm has the mixture's mean and variance.
    """
    means = np.log(variances * freedoms / 2) - special.digamma(freedoms / 2)
    mean = float(weights @ means)
    half = _inverse_trigamma(float(weights @ (special.polygamma(1, freedoms / 2) + (means - mean) ** 2)))
    return float(np.exp(mean + special.digamma(half)) / half), 2 * half


def _inverse_trigamma(value: float) -> float:
    """Half the degrees of freedom at which the logarithm of a chi-squared number has this variance."""
    x = 0.5 + 1 / value  # Newton's steps on 1/trigamma, which is nearly straight (Smyth 2004, appendix)
    for _ in range(50):
        there = float(special.polygamma(1, x))
        step = there * (1 - there / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x
