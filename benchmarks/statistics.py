"""Simulated studies with a known truth: are the errors of `compare` those that it promises?

python -m benchmarks.statistics --write docs/results/error_rates.md

Scores are drawn as real ones look: of each image from a beta distribution about a mean of its own, most near 0.85 and a
tail of hard lesions, some images failing altogether; lesions have one to five images where the design says so; each
training is a little better or worse than the next, and prefers other lesions. The first arm gains on most images and
fails on more, so that differences are skewed. The truth is the mean over a study of very many lesions and trainings.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import expit

from compare.publish.documents import fill_between_markers
from compare.statistics.bootstrap import Interval
from compare.statistics.decisions import hierarchical_bootstrap, holm, paired_permutation, verdict
from compare.statistics.paired import Components, FloatArray, components, lesion_sums
from compare.statistics.resolution import resolvable_difference

DRAWS = 1000  # of the bootstrap and of the permutations, a study
FAMILY_DRAWS = 4000  # of permutations whose p is held against a part of 5 %
FAMILIES = (3, 8)  # arms
TYPE_ONE, COVERAGE = (0.04, 0.06), (0.93, 0.97)  # the bounds that the method is held to
SEED_SPREADS = (0.0, 0.04, 0.1)
STEADINESS = 100.0  # of the beta distribution: larger draws a training nearer to its mean on an image


@dataclass(frozen=True)
class World:
    """Where studies come from; spreads are on the logit of the score, where 0.1 is about a point of IoU."""

    lesions: int
    seeds: int = 3
    seed_spread: float = 0.04
    several: bool = False
    """Whether lesions have one to five images, most of them one, or one each."""
    lesion_spread: float = 0.15
    """Of what an arm makes of a lesion whatever the seed."""

    def images(self) -> np.ndarray:
        """Images of each lesion, (lesions,): the same in every study, as a data set is."""
        if not self.several:
            return np.ones(self.lesions, int)
        return np.resize([1, 1, 2, 1, 3, 1, 5, 1, 2, 4], self.lesions)

    def source(self) -> np.random.Generator:
        """The generator of this world's studies, which no other world shares."""
        return np.random.default_rng([self.lesions, self.seeds, round(1000 * self.seed_spread)])

    @property
    def lesion_names(self) -> list[str]:
        """Lesion of each image, (images,)."""
        return [f"L{lesion:05d}" for lesion in np.repeat(np.arange(self.lesions), self.images())]

    def draw(self, rng: np.random.Generator, kinds: Sequence["Arm"]) -> list[FloatArray]:
        """Scores of each arm in one study, (seeds, images): the same images under all of them."""
        lesion_of = np.repeat(np.arange(self.lesions), self.images())
        hard = rng.random(self.lesions) < 0.08
        ease = 1.75 + rng.normal(0, 0.6, self.lesions) - 2.2 * hard  # (lesions,)
        image = ease[lesion_of] + rng.normal(0, 0.3, len(lesion_of))  # (images,)
        arms = []
        for kind in kinds:
            own = rng.normal(0, self.lesion_spread, self.lesions)[lesion_of]
            seed = rng.normal(0, self.seed_spread, (self.seeds, 1))
            mean = expit(image + own + seed + kind.lift)
            scores = rng.beta(STEADINESS * mean, STEADINESS * (1 - mean))
            failed = rng.random(scores.shape) < np.where(hard[lesion_of], 5 * kind.failing, kind.failing)
            arms.append(np.where(failed, scores * rng.random(scores.shape), scores))
        return arms


class Arm(NamedTuple):
    """What is better about an arm on the logit of the score, and the share of ordinary images that it fails on."""

    lift: float = 0.0
    failing: float = 0.005


PAIR = (Arm(lift=0.1, failing=0.01), Arm())


class Truth(NamedTuple):
    """What a study that never ends would say of a world."""

    difference: float
    parts: Components


class Row(NamedTuple):
    """Shares of the studies of a world, and the mean width of their intervals in IoU."""

    world: World
    truth: Truth
    resolvable: float
    type_one: float
    coverage: float
    false_equivalence: float
    power: float
    width: float

    def holds(self) -> bool:
        """Whether the error and the coverage lie within their bounds."""
        return TYPE_ONE[0] <= self.type_one <= TYPE_ONE[1] and COVERAGE[0] <= self.coverage <= COVERAGE[1]


SIZES = (World(60, several=True), World(200, lesion_spread=0.3))
WORLDS = [
    replace(size, seeds=seeds, seed_spread=spread)
    for seeds in (2, 3, 4, 5)
    for size in SIZES
    for spread in SEED_SPREADS
]


def truth_of(world: World, lesions: int = 4000, seeds: int = 400) -> Truth:
    """The true difference of a world, and its components on average, from studies that are large in both."""
    large = replace(world, lesions=lesions, seeds=seeds)
    # arms that lesions and seeds treat alike have the same means, and a difference without their noise
    alike = [large.draw(np.random.default_rng(7), [arm])[0].mean() for arm in PAIR]
    a, b = large.draw(np.random.default_rng(7), PAIR)
    parts = components(*lesion_sums(a - b, large.lesion_names))
    fewer_lesions, fewer_seeds = lesions / world.lesions, seeds / world.seeds
    rest = parts.rest * fewer_lesions * fewer_seeds
    seed = max(parts.seeds - parts.rest, 0.0) * fewer_seeds
    scaled = Components(parts.lesions * fewer_lesions, seed + rest, rest, world.lesions - 1, world.seeds - 1)
    return Truth(float(alike[0] - alike[1]), scaled)


def simulate(world: World, studies: int) -> Row:
    """Many studies of one world, each through `hierarchical_bootstrap`, `paired_permutation` and `verdict`."""
    truth, names, rng = truth_of(world), world.lesion_names, world.source()
    resolvable = resolvable_difference(truth.parts)
    found = np.zeros((studies, 5))
    for study in found:
        a, b = world.draw(rng, PAIR)
        a -= truth.difference  # now the arms do not differ
        boot = hierarchical_bootstrap(a, b, names, rng, DRAWS)
        at95, at90 = boot.interval(), boot.interval(0.9)
        p = paired_permutation(a, b, names, rng, DRAWS)
        p_lifted = paired_permutation(a + resolvable, b, names, rng, DRAWS)
        study[:] = (
            verdict(at95, at90, 0.0, p) != "undecided",
            at95.low <= 0 <= at95.high,
            at90.high < 0,  # as if the difference were the margin: the 90 % interval ends below it
            verdict(shifted(at95, resolvable), at90, 0.0, p_lifted) == "better",
            at95.high - at95.low,
        )
    return Row(world, truth, resolvable, *(float(column) for column in found.mean(axis=0)))


def shifted(interval: Interval, by: float) -> Interval:
    """The interval of the same study, had every difference been larger by this."""
    return Interval(interval.low + by, interval.high + by)


def table(rows: Sequence[Row], studies: int) -> str:
    """The rows in Markdown; spreads, differences and widths in points of IoU."""
    names = ["lesions", "seeds", "seeds against lesions", "type-I error", "coverage", "false equivalence",
             "smallest difference", "found", "mean width"]  # fmt: skip
    lines = ["| " + " | ".join(names) + " |", "|" + "--:|" * len(names)]
    for row in rows:
        world, parts = row.world, row.truth.parts
        size = f"{world.lesions} ({world.images().sum()} images)" if world.several else f"{world.lesions}"
        ratio = (parts.seeds - parts.rest) / (parts.lesions + parts.rest)
        cells = [size, f"{world.seeds}", f"{ratio:.1f}", *map(percent, (row.type_one, row.coverage))]
        cells += [percent(row.false_equivalence), f"{100 * row.resolvable:.1f}", percent(row.power)]
        lines.append("| " + " | ".join([*cells, f"{100 * row.width:.1f}"]) + " |")
    held = sum(row.holds() for row in rows)
    bounds = "{:.0f} to {:.0f} %".format(*(100 * end for end in TYPE_ONE))
    bounds += " of type-I error and {:.0f} to {:.0f} % of coverage".format(*(100 * end for end in COVERAGE))
    said = f"{studies:,} studies a row with {DRAWS} draws each; {held} of {len(rows)} rows lie within {bounds}."
    return "\n".join([*lines, "", said])


def family_error(world: World, arms: int, studies: int) -> float:
    """Share of studies of arms that are the same in which any of their contrasts gets a verdict."""
    rng, names = world.source(), world.lesion_names
    wrong = 0
    for _ in range(studies):
        pairs = list(combinations(world.draw(rng, [Arm()] * arms), 2))
        adjusted = holm([paired_permutation(a, b, names, rng, FAMILY_DRAWS, len(pairs)) for a, b in pairs])
        small = [pair for pair, p in zip(pairs, adjusted, strict=True) if p < 0.05]  # no other can get a verdict
        intervals = [hierarchical_bootstrap(a, b, names, rng, DRAWS).interval() for a, b in small]
        wrong += any(verdict(at95, at95, 0.0, 0.0) != "undecided" for at95 in intervals)
    return wrong / studies


def family_table(studies: int) -> str:
    """Error of whole families, after Holm, by seeds, in Markdown."""
    names = ["seeds", *(f"any of {arms * (arms - 1) // 2} contrasts" for arms in FAMILIES)]
    lines = ["| " + " | ".join(names) + " |", "|" + "--:|" * len(names)]
    for seeds in (2, 3, 5):
        errors = [family_error(replace(SIZES[1], seeds=seeds), arms, studies) for arms in FAMILIES]
        lines.append("| " + " | ".join([f"{seeds}", *map(percent, errors)]) + " |")
        print(lines[-1], flush=True)
    return "\n".join([*lines, "", f"{studies:,} studies a number, arms that do not differ, {FAMILY_DRAWS} draws."])


def percent(share: float) -> str:
    """'5.1 %'."""
    return f"{100 * share:.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics")
    parser.add_argument("--studies", type=int, default=5000, help="simulated studies a row")
    parser.add_argument("--write", type=Path, help="page to put the tables into, such as docs/results/error_rates.md")
    parser.add_argument("--only", choices=TABLES, help="one of the two tables; both by default")
    options = parser.parse_args()
    for name in [options.only] if options.only else list(TABLES):
        text = TABLES[name](options.studies)
        print("\n" + text, flush=True)
        if options.write:
            fill_between_markers(options.write, name, text)


def simulation(studies: int) -> str:
    """The table of single contrasts in Markdown, its rows printed as they come."""
    rows = []
    for world in WORLDS:
        rows.append(simulate(world, studies))
        print(table(rows[-1:], studies).splitlines()[2], flush=True)
    return table(rows, studies)


TABLES = {"simulation": simulation, "families": lambda studies: family_table(studies // 2)}


if __name__ == "__main__":
    main()
