"""What a planned study could find."""

from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy import integrate, stats

from compare.forecast.power import Spreads, count_cells, equivalence_power, power_by_seeds, spreads_for
from compare.statistics.paired import Components
from compare.statistics.resolution import Design, resolvable_difference
from compare.statistics.smyth import expected_freedom
from compare.study.config import StudyConfig
from compare.study.plan import tasks_of

approx = pytest.approx

SPREADS = Spreads(lesion=0.03, seed=0.006, rest=0.06, pooled_lesion=0.02, source="")


def test_one_cell_resolves_what_its_design_does() -> None:
    design = Design(lesions=50, images=60, seeds=3, lesion_spread=0.03, seed_spread=0.006, rest_spread=0.06)
    [found] = power_by_seeds(50, 60, 4, SPREADS, 0.01, [3])
    borrowed = design.components._replace(seed_freedom=expected_freedom(3, 4))
    assert found.cell == approx(resolvable_difference(borrowed, family=4))
    assert found.cell < 0.7 * resolvable_difference(design.components, family=4)  # what each cell knows by itself


def test_trainings_of_several_cells_average_out_and_lesions_do_not() -> None:
    design = Design(lesions=50, images=60, seeds=3, lesion_spread=0.02, seed_spread=0.003, rest_spread=0.03)
    [found] = power_by_seeds(50, 60, 4, SPREADS, 0.01, [3])
    assert found.pooled == approx(resolvable_difference(design.components))


def test_what_many_pairs_are_looked_at_for_must_be_larger_but_for_the_primary_one() -> None:
    design = Design(lesions=50, images=60, seeds=3, lesion_spread=0.03, seed_spread=0.006, rest_spread=0.06)
    [few], [many] = (power_by_seeds(50, 60, 4, SPREADS, 0.01, [3], arms=count) for count in (2, 8))
    borrowed = design.components._replace(seed_freedom=expected_freedom(3, 4))
    assert many.cell == approx(resolvable_difference(borrowed, family=4 * 28))
    assert many.cell > 1.1 * resolvable_difference(borrowed, family=4)
    assert (many.pooled, many.equivalent) == (few.pooled, few.equivalent)


def test_more_seeds_resolve_less_and_one_seed_resolves_nothing() -> None:
    found = power_by_seeds(50, 60, 2, SPREADS, 0.01, [1, 2, 3, 5, 10])
    assert found[0].pooled == found[0].cell == inf
    assert found[0].equivalent == 0
    pooled = [one.pooled for one in found]
    assert pooled == sorted(pooled, reverse=True)
    assert len(set(pooled)) == 5
    assert [one.equivalent for one in found] == sorted(one.equivalent for one in found)


def test_power_of_equivalence_is_that_of_two_t_tests_where_lesions_do_not_matter() -> None:
    error, margin, freedom = 0.004, 0.012, 4
    times = stats.t.isf(0.05, freedom)  # Schuirmann 1987, on the means of five seeds

    def inside(level: float) -> float:
        width = times * error * np.sqrt(stats.chi2.ppf(level, freedom) / freedom)
        return float(2 * stats.norm.cdf(max(0.0, margin - width) / error) - 1)

    expected, _ = integrate.quad(inside, 0, 1)
    assert equivalence_power(Components(0.0, error**2, 0.0, 1000, freedom), margin) == approx(expected, abs=0.01)


def test_a_margin_below_the_interval_is_never_reached_and_a_wide_one_always() -> None:
    parts = Components(1e-4, 1e-5, 0.0, 500, 4)
    assert equivalence_power(parts, 0.001) == 0
    assert equivalence_power(parts, 1.0) == approx(1)


def test_cells_are_combinations_of_everything_but_arms_seeds_and_folds() -> None:
    study = StudyConfig(
        decoder=("unet", "fpn"), label_fraction=(0.1, 1.0), seed=(0, 1), folds=2, method=("simclr", "moco")
    )
    assert count_cells(tasks_of(study, 1), "init") == 4
    by_decoder = replace(study, arms="decoder", contrast=("unet", "fpn"))
    assert count_cells(tasks_of(by_decoder, 1), "decoder") == 4 * 2  # inits and methods, by fractions


def scored_study(folder: Path, data: Path, spreads: Spreads, contrast: tuple[str, str] = ("ssl", "random")) -> None:
    """Two arms whose differences have these spreads: 400 lesions, 24 seeds, one cell."""
    rng = np.random.default_rng(0)
    gap = (
        rng.normal(0, spreads.lesion, 400)
        + rng.normal(0, spreads.seed, (24, 1))
        + rng.normal(0, spreads.rest, (24, 400))
    )
    folder.mkdir(parents=True)
    options = {"name": folder.name, "init": list(contrast), "contrast": list(contrast), "data": str(data)}
    (folder / "study.yaml").write_text(yaml.safe_dump(options))
    arms = []
    for arm, scores in zip(contrast, (0.7 + gap, np.full_like(gap, 0.7)), strict=True):
        for seed, row in enumerate(scores):
            names = [f"i{i:03d}" for i in range(400)]
            table = pd.DataFrame(
                {"image_id": names, "lesion_id": names, "jaccard": row, "isic_jaccard": row, "dice": row}
            )
            arms.append(table.assign(run=f"{arm}{seed}", init=arm, method="", encoder="e", decoder="unet",
                                     label_fraction=1.0, seed=seed))  # fmt: skip
    pd.concat(arms).to_parquet(folder / "scores.parquet")


def test_spreads_of_an_earlier_study_on_the_same_images_are_found_again(tmp_path: Path) -> None:
    scored_study(tmp_path / "out" / "earlier", tmp_path, SPREADS)
    study = StudyConfig(data=tmp_path, out=tmp_path / "out", init=("ssl", "random"), contrast=("random", "ssl"))
    found = spreads_for(study)
    assert "study 'earlier'" in found.source
    assert found.lesion == approx(0.03, rel=0.1)
    assert found.rest == approx(0.06, rel=0.03)
    assert found.seed == approx(0.006, rel=0.35)
    assert found.pooled_lesion == approx(found.lesion)  # it has one cell


@pytest.mark.parametrize("other", [{"data": Path(__file__).parent}, {"contrast": ("ssl", "imagenet")}])
def test_a_study_of_other_images_or_another_contrast_tells_nothing(tmp_path: Path, other: dict[str, object]) -> None:
    scored_study(tmp_path / "out" / "earlier", tmp_path, SPREADS)
    given: dict[str, object] = {"data": tmp_path, "out": tmp_path / "out", "contrast": ("ssl", "random")}
    found = spreads_for(StudyConfig(**(given | other)))  # type: ignore[arg-type]
    assert "the defaults" in found.source
    assert found.lesion == Design(lesions=2, images=2, seeds=2).lesion_spread
