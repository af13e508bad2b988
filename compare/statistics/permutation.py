"""The paired permutation test: how often a difference like this one appears between arms that are the same."""

import numpy as np
from numpy.typing import NDArray

from compare.statistics.bootstrap import chunks
from compare.statistics.paired import Components, FloatArray, Lesions, components, lesion_sums, paired_gap, seed_part

EXACT_LESIONS = 12  # up to here all 2^n sign patterns are counted


def paired_permutation(
    scores_a: FloatArray,
    scores_b: FloatArray,
    lesions: Lesions,
    rng: np.random.Generator,
    draws: int = 10_000,
    family: int = 1,
    parts: Components | None = None,
) -> float:
    """Two-sided p of "the arms do not differ": signs of the lesions' differences are flipped, and seeds drawn again.

    Fisher's paired randomisation test (Fisher 1935, The Design of Experiments, section 21), on differences averaged
    over seeds, with one sign per lesion. All patterns are counted for up to 12 lesions; beyond, `draws` random ones
    with the observed one added (Phipson and Smyth 2010, https://doi.org/10.2202/1544-6115.1585), so p is never 0.

    Flipping lesions alone asks about these trainings only: seeds that happened to favour one arm would then pass for a
    difference (with three seeds whose part equals that of the lesions, 17 % of the time). Flipping seeds too cannot
    help, as three seeds have eight patterns and no p below 0.25. So the flipped sums keep the share that other seeds
    would repeat, and the seeds' part of the bootstrap is added to each pattern, as a probability and not as a draw.

    Args:
        scores_a: Scores of the first arm, (seeds, images), no nan.
        scores_b: Scores of the second arm on the same images under the same seeds.
        lesions: Lesion of each image, (images,).
        rng: Source of the draws; unused for up to 12 lesions.
        draws: Random sign patterns.
        family: Contrasts among which p will be adjusted. Among several Holm holds p against a part of 5 %, where the
            prior of the seeds' variance that is right near 5 % errs many times too often; then it is Fisher's own.
        parts: Components to use in place of these scores' own: those that `compare.statistics.smyth` has moderated.

    Returns:
        p in (0, 1]; 1 where all differences are 0, or for a single lesion. With one seed it speaks of this training.

    Raises:
        ValueError: If the arrays are empty, not paired, or hold nan.
    """
    sums, images = lesion_sums(paired_gap(scores_a, scores_b, lesions), lesions)
    mean = sums.mean(axis=0) / images.sum()  # (lesions,), adds up to the difference
    if len(mean) < 2:
        return 1.0
    parts = parts or components(sums, images)
    kept = _kept_scale(mean, images / images.sum(), parts)
    if len(mean) <= EXACT_LESIONS:
        bits = np.arange(2 ** len(mean))[:, None] >> np.arange(len(mean)) & 1  # (patterns, lesions)
        return float(_exceedance(1.0 - 2 * bits, mean, kept, parts, family > 1).mean())
    reached = 0.0
    for size in chunks(draws, len(mean)):
        signs = 1.0 - 2 * rng.integers(0, 2, size=(size, len(mean)), dtype=np.int8)
        reached += float(_exceedance(signs, mean, kept, parts, family > 1).sum())
    return (reached + 1) / (draws + 1)


def _kept_scale(mean: FloatArray, weights: FloatArray, parts: Components) -> float:
    """Scale of the flipped sums that leaves out what other seeds would not repeat, by lesion and in their mean."""
    around = float(((mean - weights * mean.sum()) ** 2).sum())
    whole = float((mean**2).sum())  # holds the square of the difference too, to which the seeds gave their share
    if parts.seeds == 0 or whole == 0:
        return 1.0
    by_lesions = min((parts.lesions + parts.rest) / (parts.lesions + parts.seeds), 1.0)
    return float(np.sqrt(parts.share * (around + by_lesions * (whole - around)) / whole))


def _exceedance(
    signs: NDArray[np.floating], mean: FloatArray, kept: float, parts: Components, fisher: bool
) -> FloatArray:
    """Probability that each pattern, with other seeds, reaches what was observed, (patterns,)."""
    # equal sums in another order differ in their last digits, and must count as equal
    observed = abs(mean.sum()) - 1e-12 * np.abs(mean).sum()
    flipped = kept * (signs @ mean)
    if parts.seeds == 0:
        return np.asarray(np.abs(flipped) >= observed, dtype=np.float64)
    seeds = seed_part(parts, fisher)
    return seeds.cdf(-observed - flipped) + seeds.cdf(-observed + flipped)
