from itertools import product

import numpy as np
import pytest

from compare.statistics.decisions import hierarchical_bootstrap
from compare.statistics.factor_effects import effect_weights, factor_effects, levels_of

approx = pytest.approx

CELLS = [
    {"decoder": d, "init": i, "label_fraction": f}
    for d, i, f in product(["unet", "fpn"], ["ssl", "random"], [0.1, 1.0])
]
LIFT = {"unet": 0.01, "fpn": -0.01, "ssl": 0.05, "random": -0.05, 0.1: -0.02, 1.0: 0.02}


def draw(cells: list[dict[str, object]], spread: float = 0.0, images: int = 30) -> np.ndarray:
    source = np.random.default_rng(0)
    lesion = source.normal(0.7, 0.15, images)  # the same in all cells, so no effect may feel it
    lifts = np.array([sum(LIFT[level] for level in cell.values()) for cell in cells])  # type: ignore[index]
    return lifts[:, None, None] + lesion + source.normal(0, spread, (len(cells), 3, images))


def lesions(images: int = 30) -> list[str]:
    return [f"L{i:02d}" for i in range(images)]


def effects(cells: list[dict[str, object]], scores: np.ndarray) -> dict[str, float]:
    table = factor_effects(cells, scores, lesions(), np.random.default_rng(0), 50).levels
    return dict(zip(table["level"], table["effect"], strict=True))


def test_effects_of_an_additive_study_are_found_exactly() -> None:
    assert effects(CELLS, draw(CELLS)) == approx({str(level): lift for level, lift in LIFT.items()})


def test_effects_are_not_bent_by_cells_that_are_not_there() -> None:
    some = [CELLS[i] for i in (0, 1, 2, 3, 4, 6)]  # fpn never saw all labels: means of levels would mix the two
    assert effects(some, draw(some)) == approx({str(level): lift for level, lift in LIFT.items()})


def test_in_a_full_factorial_an_effect_is_the_levels_mean_less_the_mean() -> None:
    scores = draw(CELLS, 0.1)
    assert effects(CELLS, scores)["unet"] == approx(scores[:4].mean() - scores.mean())


def test_the_interval_of_two_levels_is_half_that_of_their_contrast() -> None:
    scores = draw(CELLS, 0.1)
    row = factor_effects(CELLS, scores, lesions(), np.random.default_rng(0), 500).levels.iloc[0]
    boot = hierarchical_bootstrap(scores[:4].mean(0), scores[4:].mean(0), lesions(), np.random.default_rng(0), 500)
    assert 2 * row["effect"] == approx(boot.difference)
    assert (2 * row["low"], 2 * row["high"]) == approx(boot.interval())


def test_factors_come_in_the_order_of_what_they_move() -> None:
    table = factor_effects(CELLS, draw(CELLS), lesions(), np.random.default_rng(0), 50).factors.set_index("factor")
    assert table.index.tolist() == ["init", "label_fraction", "decoder", "interactions"]
    assert table["range"].tolist() == approx([0.10, 0.04, 0.02, 0.0])
    assert table["share"].tolist() == approx([25 / 30, 4 / 30, 1 / 30, 0.0])
    assert table["spread"].tolist() == approx([0.05 * 2**0.5, 0.02 * 2**0.5, 0.01 * 2**0.5, 0.0])


def test_an_interaction_is_nobodys_main_effect() -> None:
    scores = draw(CELLS)
    turn = np.array([1 if (c["decoder"] == "unet") == (c["init"] == "ssl") else -1 for c in CELLS])
    table = factor_effects(CELLS, scores + 0.03 * turn[:, None, None], lesions(), np.random.default_rng(0), 50)
    assert table.levels["effect"].tolist() == approx(
        [LIFT[level] for level in ("unet", "fpn", "ssl", "random", 0.1, 1.0)]
    )
    assert table.factors.set_index("factor")["share"]["interactions"] == approx(0.03**2 / (0.03**2 + 0.003))


def test_chance_alone_has_no_spread() -> None:
    rows = []
    for seed in range(60):
        scores = np.random.default_rng(seed).normal(0.7, 0.1, (8, 3, 30))
        found = factor_effects(CELLS, scores, lesions(), np.random.default_rng(0), 10)
        rows.append(found.factors.set_index("factor")["spread"]["init"])
    assert np.mean(np.array(rows) == 0) > 0.5  # half of the time the levels differ by less than chance


def test_a_factor_with_one_level_has_no_effect() -> None:
    assert list(levels_of(CELLS[:2])) == ["label_fraction"]
    assert effects(CELLS[:2], draw(CELLS[:2])) == approx({"0.1": -0.02, "1.0": 0.02})


def test_a_study_of_one_cell_has_no_effects() -> None:
    found = factor_effects(CELLS[:1], draw(CELLS[:1]), lesions(), np.random.default_rng(0), 10)
    assert (len(found.levels), found.factors["factor"].tolist()) == (0, ["interactions"])


def test_factors_that_move_together_are_refused() -> None:
    cells = [{"decoder": "unet", "loss": "dice"}, {"decoder": "fpn", "loss": "focal"}]
    with pytest.raises(ValueError, match="effects of decoder, loss cannot be told apart in these 2 cells"):
        effect_weights(cells, levels_of(cells))


def test_missing_scores_are_refused() -> None:
    scores = draw(CELLS)
    scores[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="without nan"):
        factor_effects(CELLS, scores, lesions(), np.random.default_rng(0))
