"""What a study that is planned could find: the smallest difference it resolves, and whether it can show equivalence."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from compare.records.study import Study, read_study
from compare.statistics.paired import Components, components, lesion_sums, paired_gap
from compare.statistics.pairs import complete_pairs
from compare.statistics.resolution import Design, half_width, resolvable_difference
from compare.statistics.smyth import expected_freedom
from compare.study.config import StudyConfig
from compare.study.plan import Task
from dermssl.data.sources import labelled_source
from dermssl.errors import UserError

SEEDS = (1, 2, 3, 5, 10)
STEPS = 16  # widths that are averaged over


class Spreads(NamedTuple):
    """How much differences of two arms vary, standard deviations in shares of IoU; see `Design`."""

    lesion: float
    seed: float
    rest: float
    pooled_lesion: float
    """Between lesions, of the mean over cells: what all cells find hard alike."""
    source: str


class Power(NamedTuple):
    """What a number of seeds gives."""

    seeds: int
    pooled: float
    """Smallest true difference, in IoU, that the mean over all cells shows four times in five; inf for one seed."""
    cell: float
    """The same in a single cell."""
    equivalent: float
    """Probability that arms without any difference are called equivalent, over all cells."""


def power_by_seeds(
    lesions: int, images: int, cells: int, spreads: Spreads, margin: float, seeds: Sequence[int], arms: int = 2
) -> list[Power]:
    """What each number of seeds gives.

    Trainings of different cells are independent, so their part shrinks with the number of cells; lesions are the same
    in all of them. The cells of a pair tell each other how trainings vary (`compare.statistics.smyth`).

    Args:
        lesions: That are scored, at least two.
        images: Of them.
        cells: That the pooled difference is the mean of.
        spreads: Of the differences.
        margin: Of equivalence, in IoU.
        seeds: The numbers.
        arms: All pairs of which are looked at in every cell. What is pooled is the primary contrast, which is looked
            at by itself.
    """
    powers = []
    contrasts = arms * (arms - 1) // 2
    for count in seeds:
        single_cell, all_cells = (
            Design(
                lesions=lesions, images=images, seeds=count, lesion_spread=lesion,
                seed_spread=spreads.seed / over**0.5, rest_spread=spreads.rest / over**0.5,
            ).components._replace(seed_freedom=expected_freedom(count, beside))
            for lesion, over, beside in ((spreads.lesion, 1, cells), (spreads.pooled_lesion, cells, 1))
        )  # fmt: skip
        pooled = resolvable_difference(all_cells)
        single = resolvable_difference(single_cell, family=contrasts * cells if cells > 1 else 1)
        powers.append(Power(count, pooled, single, equivalence_power(all_cells, margin)))
    return powers


def equivalence_power(parts: Components, margin: float) -> float:
    """Probability that two one-sided tests at 5 % call arms equivalent that do not differ; 0 for one seed.

    The 90 % interval must lie inside the margin, so its centre within what its half width leaves. The width is averaged
    over, for with few seeds it is itself drawn.
    """
    if not parts.seed_freedom:
        return 0.0
    steps = (np.arange(STEPS) + 0.5) / STEPS
    shown = parts.seeds * stats.chi2.ppf(steps, parts.seed_freedom) / parts.seed_freedom
    left = np.array([margin - half_width(parts._replace(seeds=float(seeds)), 0.9) for seeds in shown])
    inside = 2 * stats.norm.cdf(np.maximum(left, 0) / parts.standard_error) - 1
    return float(inside.mean())


def spreads_for(study: StudyConfig) -> Spreads:
    """Those of an earlier study of the same contrast on the same images, the largest there is, else the defaults."""
    measurements = [
        measurement
        for measurement in (measured_spreads(path, study) for path in sorted(study.out.glob("*/study.yaml")))
        if measurement
    ]
    if measurements:
        return max(measurements, key=lambda measurement: measurement[0])[1]
    standard = Design(lesions=2, images=2, seeds=2)
    words = "the defaults, near what ISIC 2018 gave between two pretrained inits"
    lesion, seed, rest = standard.lesion_spread, standard.seed_spread, standard.rest_spread
    return Spreads(lesion, seed, rest, lesion, words)


def measured_spreads(path: Path, study: StudyConfig) -> tuple[int, Spreads] | None:
    """The count of differences that a study rests on, and how they spread; None for other images or contrasts."""
    try:
        earlier = read_study(path.parent)
    except UserError:  # of a form that is no more, or half written: it tells nothing
        return None
    data = earlier.options.get("data")
    same = (
        labelled_source(Path(str(data)) if data else None).folder.resolve()
        == labelled_source(study.data).folder.resolve()
    )
    contrast = earlier.contrasts[0] if earlier.contrasts else ()
    if not same or named_contrast(earlier) != set(study.contrast) or not len(earlier.scores):
        return None
    cells = list(cell_variances(earlier, *contrast))
    if not cells:
        return None
    lesion, seed, rest = (float(np.sqrt(np.mean([cell[i] for cell in cells]))) for i in range(3))
    pooled = next(pooled_variances(earlier, *contrast), None)
    words = f"measured in study '{earlier.name}' ({len(cells)} cells, {len(earlier.seeds)} seeds)"
    size = len(cells) * len(earlier.seeds) * len(earlier.lesions)
    return size, Spreads(lesion, seed, rest, float(np.sqrt(pooled[0])) if pooled else lesion, words)


def named_contrast(study: Study) -> set[str]:
    """The two levels that the study asks about."""
    named = study.options.get("contrast")
    return {str(name) for name in named} if isinstance(named, list) else set()


def cell_variances(study: Study, first: str, second: str) -> Iterator[tuple[float, float, float]]:
    """Variances between lesions, between seeds and of the rest, in each cell that both arms scored with two seeds."""
    for cell in range(len(study.cells)):
        yield from variances(study, first, second, slice(cell, cell + 1))


def pooled_variances(study: Study, first: str, second: str) -> Iterator[tuple[float, float, float]]:
    """The same of the mean over cells."""
    yield from variances(study, first, second, slice(None))


def variances(study: Study, first: str, second: str, cells: slice) -> Iterator[tuple[float, float, float]]:
    """Variances of single lesions, seeds and images in some cells; nothing where no two seeds are complete."""
    pairs = complete_pairs(study.jaccard(first)[cells], study.jaccard(second)[cells])
    seeds, images = pairs.scores_a.shape
    lesions = study.lesions.to_numpy(str)[pairs.images]
    if seeds < 2 or len(set(lesions)) < 2:
        return
    sums, counts = lesion_sums(paired_gap(pairs.scores_a, pairs.scores_b, lesions), lesions)
    parts = components(sums, counts)
    yield parts.lesions * len(counts), max(0.0, parts.seeds - parts.rest) * seeds, parts.rest * seeds * images


def count_cells(tasks: Sequence[Task], arms: str) -> int:
    """Cells of a study: what its arms are compared under, seeds and folds apart."""
    apart = {arms, "fold", "seed", *(["method"] if arms == "init" else [])}
    tuned = [task.factors for task in tasks if task.stage == "finetune"]
    return len({tuple((name, value) for name, value in factors.items() if name not in apart) for factors in tuned})
