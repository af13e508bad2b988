from itertools import product
from math import isnan
from pathlib import Path

import numpy as np
import pytest
from drawn_study import Design, draw_study
from exact_study import Runs, exact_study

from compare.records.study import Study, read_study
from compare.tables.factor_tables import ARM_RANKS, arm_rank_table, effect_tables, separable_factors

EFFECTS = {"ssl": 0.04, "imagenet": 0.0, "random": -0.04, "unet": 0.01, "fpn": -0.01, 0.1: -0.1, 1.0: 0.1}
INITS, DECODERS, FRACTIONS = ("ssl", "imagenet", "random"), ("unet", "fpn"), (0.1, 1.0)
CELLS = tuple(product(INITS, DECODERS, FRACTIONS))


def additive() -> dict[tuple[str, str, float, int], list[float]]:
    """Scores that are a sum of effects, a lesion and a seed, and nothing else."""
    lesions, seeds = [0.5, 0.6, 0.7], [-0.005, 0.005]
    return {
        (*cell, seed): [sum(EFFECTS[level] for level in cell) + lesion + seeds[seed] for lesion in lesions]
        for cell in CELLS
        for seed in (0, 1)
    }


def without(runs: Runs, init: str, decoder: str) -> Runs:
    return {key: scores for key, scores in runs.items() if key[:2] != (init, decoder)}


def test_effects_of_an_additive_study_are_its_own(tmp_path: Path) -> None:
    factors, levels = effect_tables(exact_study(tmp_path, additive()), draws=40)
    found = levels.set_index(["factor", "level"])["effect"]
    assert found["init"].to_dict() == pytest.approx({"ssl": 0.04, "imagenet": 0.0, "random": -0.04})
    assert found["decoder"].to_dict() == pytest.approx({"unet": 0.01, "fpn": -0.01})
    assert found["label_fraction"].to_dict() == pytest.approx({"10 %": -0.1, "100 %": 0.1})
    assert factors["factor"].tolist() == ["label_fraction", "init", "decoder", "interactions"]
    assert factors["range"].tolist() == pytest.approx([0.2, 0.08, 0.02, 0.0])


def test_cells_that_are_missing_do_not_bend_the_effects(tmp_path: Path) -> None:
    study = exact_study(tmp_path, without(additive(), "random", "fpn"))
    _, levels = effect_tables(study, draws=40)
    assert levels["effect"].to_numpy() == pytest.approx([0.04, 0.0, -0.04, 0.01, -0.01, -0.1, 0.1])


def test_a_factor_that_moves_with_another_is_named_without_numbers(tmp_path: Path) -> None:
    runs = {key: scores for key, scores in additive().items() if (key[0] == "ssl") == (key[1] == "unet")}
    factors, levels = effect_tables(exact_study(tmp_path, runs), draws=40)
    assert factors["factor"].tolist() == ["label_fraction", "init", "interactions", "decoder"]
    assert factors["range"].isna().tolist() == [False, False, False, True]
    assert set(levels["factor"]) == {"init", "label_fraction"}


def test_the_first_of_two_factors_that_move_together_is_kept() -> None:
    cells: list[dict[str, object]] = [{"init": one, "loss": one.upper(), "size": n} for one in "ab" for n in (96, 128)]
    assert separable_factors(cells) == (["init", "size"], {"loss": 2})
    assert separable_factors([]) == ([], {})


def test_arms_are_ranked_over_the_cells(tmp_path: Path) -> None:
    table = arm_rank_table(exact_study(tmp_path, additive()))
    assert table["arm"].tolist() == ["ssl", "imagenet", "random"]
    assert table["mean_rank"].tolist() == [1, 2, 3]
    assert table["wins"].tolist() == [4, 0, 0]
    assert table["alike"].tolist() == ["imagenet", "ssl, random", "imagenet"]  # 1.66 apart they would not be
    assert table["distance"].iloc[0] == pytest.approx(3.314 / np.sqrt(2) * np.sqrt(3 * 4 / (6 * 4)), rel=1e-3)


def test_few_cells_that_agree_by_chance_give_no_small_p(tmp_path: Path) -> None:
    runs = {key: scores for key, scores in additive().items() if key[1] == "unet"}
    table = arm_rank_table(exact_study(tmp_path, runs))
    assert table["friedman_p"].to_numpy() == pytest.approx(1 / 6)  # the second cell repeats one of six orders


def test_a_single_cell_or_arm_has_no_ranks(tmp_path: Path) -> None:
    alone = {key: scores for key, scores in additive().items() if key[1:3] == ("unet", 1.0)}
    assert arm_rank_table(exact_study(tmp_path / "a", alone)).empty
    one = {key: scores for key, scores in additive().items() if key[0] == "ssl"}
    table = arm_rank_table(exact_study(tmp_path / "b", one))
    assert table.empty
    assert table.columns.tolist() == ARM_RANKS


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Study:
    design = Design(
        image_size=(96, 128), loss=("bce_dice", "lovasz"), decoder=("unet",), label_fraction=(1.0,), images=20
    )
    return read_study(draw_study(tmp_path_factory.mktemp("sized") / "study", design))


def test_every_factor_that_varies_is_in_the_table_but_seeds_and_folds(sized: Study) -> None:
    factors, levels = effect_tables(sized, draws=40)
    assert set(factors["factor"]) == {"init", "loss", "image_size", "interactions"}
    assert levels.loc[levels["factor"] == "image_size", "level"].tolist() == ["96 px", "128 px"]
    ranges = factors.set_index("factor")["range"]
    assert ranges["image_size"] == pytest.approx(0.01, abs=0.01)
    assert not isnan(ranges["loss"])
