"""Simulated studies of many cells: are the errors those that are promised, although cells borrow from each other?

python -m benchmarks.moderation --write docs/results/error_rates.md

Two arms that do not differ are trained in one to twelve cells, which share images and seeds; trainings of some cells
vary more than those of others, two trainings of one seed are correlated or not, and folds are trainings of their own.
Scores are drawn as in `benchmarks.statistics`. Power is that of finding the difference which the plan promises to find.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from benchmarks.statistics import DRAWS, FAMILY_DRAWS, STEADINESS, percent, shifted
from compare.publish.documents import fill_between_markers
from compare.statistics.decisions import hierarchical_bootstrap, holm, paired_permutation, verdict
from compare.statistics.paired import Components, FloatArray, components, lesion_sums
from compare.statistics.resolution import resolvable_difference
from compare.statistics.smyth import correlation_weights, expected_freedom, moderated

SEEDS, CELLS, RATIOS, CORRELATIONS, FOLDS = (2, 3, 5), (4, 12), (1, 2, 10), (0.0, 0.3, 0.6, 0.9), 5
BOUNDS, COVERAGE = (0.04, 0.06), (0.93, 0.97)
SLOW_EACH = 4  # every fourth study goes through Holm and is lifted to see whether it is found


@dataclass(frozen=True, kw_only=True)
class ManyCells:
    """Where studies come from; spreads are on the logit of the score, where 0.1 is about a point of IoU."""

    seeds: int
    cells: int = 1
    ratio: float = 1.0
    """Variance of the trainings of the last cell by that of the first, between them in equal steps."""
    correlation: float = 0.0
    """Between any two trainings of one seed: in another cell, or on another fold."""
    folds: int = 1
    lesions: int = 60
    seed_spread: float = 0.08
    lesion_spread: float = 0.1

    @property
    def names(self) -> list[str]:
        """Lesion of each image; one image each."""
        return [f"L{lesion:03d}" for lesion in range(self.lesions)]

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Differences of two arms that are the same, (cells, seeds, images)."""
        hard = rng.random(self.lesions) < 0.08
        image = 1.75 + rng.normal(0, 0.7, self.lesions) - 2.2 * hard
        scores = []
        for _ in range(2):
            mean = expit(image + self._lesions(rng) + self._trainings(rng))
            drawn = rng.beta(STEADINESS * mean, STEADINESS * (1 - mean))
            failed = rng.random(drawn.shape) < 0.005
            scores.append(np.where(failed, drawn * rng.random(drawn.shape), drawn))
        return np.asarray(scores[0] - scores[1])

    def _lesions(self, rng: np.random.Generator) -> FloatArray:
        """What an arm makes of a lesion whatever the seed, (cells, 1, images)."""
        return rng.normal(0, self.lesion_spread, (self.cells, 1, self.lesions))

    def _trainings(self, rng: np.random.Generator) -> FloatArray:
        """What a training adds to each image that it scores, (cells, seeds, images)."""
        spreads = self.seed_spread * self.ratio ** (np.linspace(-0.25, 0.25, self.cells) if self.cells > 1 else 0.0)
        shared = rng.normal(size=(1, self.seeds, 1))
        own = rng.normal(size=(self.cells, self.seeds, self.folds))
        effect = np.sqrt(self.correlation) * shared + np.sqrt(1 - self.correlation) * own
        fold_of = np.arange(self.lesions) % self.folds
        return np.asarray((effect * np.reshape(spreads, (-1, 1, 1)))[:, :, fold_of])


class Judged(NamedTuple):
    """The share of studies that err, of one world."""

    cell_error: float
    cell_coverage: float
    lowest: float
    """Error in the cell whose trainings vary least."""
    highest: float
    """In the cell whose trainings vary most."""
    mean_error: float
    mean_coverage: float
    family: float
    """In which any cell gets a verdict after Holm."""
    found: float
    found_alone: float
    """The same studies, each contrast by its own variance."""

    def holds(self) -> bool:
        """Whether errors and coverage lie within their bounds."""
        errors, coverages = (self.cell_error, self.mean_error), (self.cell_coverage, self.mean_coverage)
        inside = all(BOUNDS[0] <= error <= BOUNDS[1] for error in errors)
        return inside and all(COVERAGE[0] <= coverage <= COVERAGE[1] for coverage in coverages) and self.family <= 0.06


WORLDS = [
    *(ManyCells(seeds=seeds) for seeds in SEEDS),
    *(ManyCells(seeds=seeds, cells=cells, folds=FOLDS, correlation=rho)
      for seeds in SEEDS for cells in (1, 4) for rho in (0.0, 0.6)),
    *(ManyCells(seeds=seeds, cells=cells, ratio=ratio, correlation=rho)
      for seeds in SEEDS for cells in CELLS for ratio in RATIOS for rho in CORRELATIONS),
]  # fmt: skip


def judge(world: ManyCells, studies: int) -> Judged:
    """Many studies of one world, one cell after the other of each, and the mean of its cells."""
    rng = np.random.default_rng([world.seeds, world.cells, round(10 * world.ratio), round(100 * world.correlation)])
    difference = _promised(world)
    cell = np.zeros((studies, 2))
    mean = np.zeros((studies, 2))
    slow = []
    for study in range(studies):
        gaps = world.draw(rng)
        own, parts, pooled = _parts(gaps, world)
        chosen = study % world.cells
        cell[study] = _errs(gaps[chosen], parts[chosen], world, rng)
        mean[study] = _errs(gaps.mean(axis=0), pooled, world, rng) if world.cells > 1 else cell[study]
        if study % SLOW_EACH == 0:
            lifted = gaps[chosen] + difference
            found = [_finds(lifted, one[chosen], world, rng) for one in (parts, own)]
            slow.append([_family_errs(gaps, parts, world, rng), *found])
    each = [cell[index :: world.cells, 0].mean() for index in (0, world.cells - 1)]
    errors, missed = cell.mean(axis=0)
    mean_errors, mean_missed = mean.mean(axis=0)
    return Judged(errors, 1 - missed, *each, mean_errors, 1 - mean_missed, *np.mean(slow, axis=0))


def _parts(gaps: FloatArray, world: ManyCells) -> tuple[list[Components], list[Components], Components]:
    """Components of each cell by itself, moderated, and of the mean."""
    own = [components(*lesion_sums(gap, world.names)) for gap in gaps]
    weights = correlation_weights(gaps.mean(axis=2))
    return own, moderated(own, weights), components(*lesion_sums(gaps.mean(axis=0), world.names))


def _errs(gap: FloatArray, parts: Components, world: ManyCells, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether arms that are the same get a verdict, and whether the interval misses 0."""
    boot = hierarchical_bootstrap(gap, np.zeros_like(gap), world.names, rng, DRAWS)
    at95 = boot.judged_by(parts, rng).interval()
    missed = not at95.low <= 0 <= at95.high
    p = paired_permutation(gap, np.zeros_like(gap), world.names, rng, DRAWS, parts=parts) if missed else 1.0
    return verdict(at95, at95, 0.0, p) != "undecided", missed


def _finds(gap: FloatArray, parts: Components, world: ManyCells, rng: np.random.Generator) -> bool:
    """Whether a contrast that differs is called better, by itself."""
    at95 = hierarchical_bootstrap(gap, np.zeros_like(gap), world.names, rng, DRAWS).judged_by(parts, rng).interval()
    p = paired_permutation(gap, np.zeros_like(gap), world.names, rng, DRAWS, parts=parts)
    return verdict(at95, shifted(at95, 0.0), 0.0, p) == "better"


def _family_errs(gaps: FloatArray, parts: Sequence[Components], world: ManyCells, rng: np.random.Generator) -> bool:
    p = [
        paired_permutation(gap, np.zeros_like(gap), world.names, rng, FAMILY_DRAWS, len(gaps), own)
        for gap, own in zip(gaps, parts, strict=True)
    ]
    return bool((holm(p) < 0.05).any())


def _promised(world: ManyCells, studies: int = 200) -> float:
    """The difference that a cell resolves, by the components that studies of this world have on average."""
    rng = np.random.default_rng(7)
    found = [own for _ in range(studies) for own in _parts(world.draw(rng), world)[0]]
    lesions, seeds, rest = (float(np.mean([own[i] for own in found])) for i in range(3))
    freedom = expected_freedom(world.seeds, world.cells)
    return resolvable_difference(Components(lesions, seeds, rest, world.lesions - 1, freedom))


def table(rows: Sequence[tuple[ManyCells, Judged]], studies: int) -> str:
    """The rows in Markdown."""
    names = ["seeds", "cells", "unequal", "correlation", "folds", "error, cell", "coverage, cell", "least to most",
             "error, mean", "coverage, mean", "family", "found", "found alone"]  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|" + "--:|" * len(names)]
    lines += ["| " + " | ".join(_cells_of(*row)) + " |" for row in rows]
    near = [row for row in rows if row[0].seeds > 2 and row[0].correlation < 0.9]
    held = sum(judged.holds() for _, judged in near)
    said = f"{studies:,} studies a row with {DRAWS} draws each, every {SLOW_EACH}th of them for family and found; "
    said += f"of the rows of three seeds or more and correlations up to 0.6, {held} of {len(near)} lie within 4 to 6 % "
    said += "of error, 93 to 97 % of coverage and up to 6 % of families, of which a share has a standard error of 1 %."
    return "\n".join([*lines, "", said])


def _cells_of(world: ManyCells, judged: Judged) -> Iterator[str]:
    yield from (f"{world.seeds}", f"{world.cells}", f"{world.ratio:g}", f"{world.correlation:g}", f"{world.folds}")
    yield from (percent(judged.cell_error), percent(judged.cell_coverage))
    yield f"{100 * judged.lowest:.1f} to {100 * judged.highest:.1f}" if world.cells > 1 else "-"
    yield from map(percent, (judged.mean_error, judged.mean_coverage))
    yield percent(judged.family) if world.cells > 1 else "-"
    yield from map(percent, (judged.found, judged.found_alone))


def _judged_world(task: tuple[ManyCells, int]) -> tuple[ManyCells, Judged]:
    return task[0], judge(*task)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.moderation")
    parser.add_argument("--studies", type=int, default=2000, help="simulated studies a row")
    parser.add_argument("--write", type=Path, help="page to put the table into, such as docs/results/error_rates.md")
    options = parser.parse_args()
    rows = []
    with Pool(2) as pool:
        for row in pool.imap(_judged_world, [(world, options.studies) for world in WORLDS]):
            rows.append(row)
            print(" | ".join(_cells_of(*row)), flush=True)
    text = table(rows, options.studies)
    print("\n" + text)
    if options.write:
        fill_between_markers(options.write, "moderation", text)


if __name__ == "__main__":
    main()
