import json
from itertools import product
from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study
from exact_study import exact_study

from compare.records.study import Study, read_study
from compare.tables.all_tables import all_tables, run_table
from compare.tables.arms import ARMS, arm_table
from compare.tables.contrasts import CONTRASTS, contrast_table, run_means
from compare.tables.search_tables import search_table
from compare.tables.subgroups import subgroup_arm_table, subgroup_table

EVERYTHING = frozenset((i, "unet", 1.0, s) for i in ("ssl", "imagenet", "random") for s in (0, 1))
SMALL = {"decoder": ("unet",), "label_fraction": (1.0,), "images": 24}


@pytest.fixture(scope="module")
def study(whole_study: Path) -> Study:
    return read_study(whole_study)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Study:
    design = Design(
        pictures=True, searched=True, padding=("skin", "reflect"), fold=(0, 1), label_fraction=(1.0,), decoder=("unet",)
    )
    return read_study(draw_study(tmp_path_factory.mktemp("rich") / "study", design))


def columns_of(tables: dict[str, pd.DataFrame]) -> dict[str, list[str]]:
    """Of every table but the one whose columns are the arms."""
    return {name: table.columns.tolist() for name, table in tables.items() if name != "claims_reloaded"}


def test_a_rich_study_fills_every_table_but_that_of_leaking_pairs(rich: Study) -> None:
    tables = all_tables(rich, draws=60)
    assert [name for name, table in tables.items() if table.empty] == ["fresh_contrasts", "deviations", "leak_pairs"]
    assert all(table.columns.is_unique for table in tables.values())


@pytest.mark.parametrize(
    "design",
    [
        Design(**SMALL, failed=EVERYTHING),
        Design(**SMALL, failed=frozenset(run for run in EVERYTHING if run[0] == "ssl")),
        Design(**{**SMALL, "images": 1}, seed=(0,)),
        Design(**SMALL, init=("ssl",), probes=False, pretrained=False),
    ],
    ids=["nothing", "an arm failed", "an image", "an arm"],
)
def test_a_study_in_any_state_has_every_table_with_its_columns(tmp_path: Path, rich: Study, design: Design) -> None:
    tables = all_tables(read_study(draw_study(tmp_path / "study", design)), draws=20)
    assert columns_of(tables) == columns_of(all_tables(rich, draws=20))


def test_a_study_that_was_only_asked_for_has_tables_that_say_nothing(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: bare")
    assert all(table.empty for table in all_tables(read_study(tmp_path), draws=60).values())


# contrasts


def test_two_arms_in_one_cell_borrow_nothing_and_more_of_either_tell_each_other_how_seeds_vary(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    scores = {key: 0.7 + 0.02 * rng.normal() + 0.05 * rng.normal(size=30)
              for key in product(("ssl", "imagenet", "random"), ("unet", "fpn"), (1.0,), (0, 1, 2))}  # fmt: skip

    def table(inits: int, decoders: int) -> pd.DataFrame:
        names = (("ssl", "imagenet", "random")[:inits], ("unet", "fpn")[:decoders])
        runs = {key: list(values) for key, values in scores.items() if key[0] in names[0] and key[1] in names[1]}
        return contrast_table(exact_study(tmp_path / f"{inits}{decoders}", runs), draws=60)

    single = table(2, 1).iloc[0]
    assert single["seed_freedom"] == 2
    assert single[["low", "high", "p", "verdict"]].tolist() == single[
        ["alone_low", "alone_high", "alone_p", "alone_verdict"]].tolist()  # fmt: skip
    pooled, *cells = table(2, 2).to_dict("records")
    assert pooled["seed_freedom"] == 2  # a mean over cells does not borrow from them
    assert {row["seed_freedom"] > 2 for row in cells} == {True}
    assert cells[0]["alone_low"] == pytest.approx(single["low"])
    assert set(table(3, 1)["seed_freedom"]) == {2}  # nor do other pairs of arms, which vary for other reasons


def test_improvement_counts_pairs_of_runs_and_not_images(tmp_path: Path) -> None:
    runs = {
        ("ssl", "unet", 1.0, 0): [0.9, 0.7],  # 0.8 and 0.6 against 0.7 and 0.5: three of four pairs
        ("ssl", "unet", 1.0, 1): [0.6, 0.6],
        ("imagenet", "unet", 1.0, 0): [0.7, 0.7],
        ("imagenet", "unet", 1.0, 1): [0.5, 0.5],
    }
    row = contrast_table(exact_study(tmp_path, runs), draws=60).iloc[0]
    assert row["improvement"] == 0.75
    assert row["difference"] == pytest.approx(0.1)


def test_no_interval_of_a_difference_or_a_mean_reaches_beyond_what_shares_can_be(tmp_path: Path) -> None:
    runs = {
        ("ssl", "unet", 1.0, 0): 2 * [0.95, 0.9, 0.99],  # seeds that disagree, of which two say little
        ("ssl", "unet", 1.0, 1): 2 * [0.05, 0.1, 0.01],
        ("imagenet", "unet", 1.0, 0): 2 * [0.1, 0.2, 0.1],
        ("imagenet", "unet", 1.0, 1): 2 * [0.1, 0.1, 0.2],
    }
    study = exact_study(tmp_path, runs, area=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    row = contrast_table(study, draws=200).iloc[0]
    assert row[["low", "low90", "high90", "high"]].tolist() == [-1, -1, 1, 1]
    assert subgroup_table(study, draws=200)[["low", "high"]].abs().max(axis=None) <= 1
    means = subgroup_arm_table(study, draws=200)[["low", "high"]]
    assert (means.min(axis=None), means.max(axis=None)) == (0, 1)


def test_more_arms_take_nothing_from_the_primary_contrast_and_cost_the_others(tmp_path: Path) -> None:
    wave = [0.7 + 0.05 * (i % 7) / 7 for i in range(60)]
    runs = {(init, "unet", 1.0, s): [x + 0.001 * (s * i % 5) for i, x in enumerate(wave)]
            for init in ("ssl", "imagenet", "random") for s in (0, 1, 2)}  # fmt: skip
    runs |= {("ssl", "unet", 1.0, s): [x - 0.002 * (s * i % 3) for i, x in enumerate(wave)] for s in (0, 1, 2)}
    two = {key: value for key, value in runs.items() if key[0] != "random"}
    few, many = (contrast_table(exact_study(tmp_path / str(len(r)), r), draws=60) for r in (two, runs))
    assert few.iloc[0].equals(many.iloc[0])
    swapped = {("imagenet" if key[0] == "random" else "random" if key[0] == "imagenet" else "ssl", *key[1:]): values
               for key, values in runs.items()}  # fmt: skip
    primary = contrast_table(exact_study(tmp_path / "swapped", swapped), draws=60).iloc[0]
    other = many[(many["a"] == "ssl") & (many["b"] == "random")].iloc[0]
    assert other["difference"] == primary["difference"]
    assert other["smallest_detectable"] > 1.3 * primary["smallest_detectable"]


@pytest.mark.parametrize(
    ("ssl", "imagenet", "note"),
    [
        ([[0.0, 0.0, 0.0]] * 2, [[0.0, 0.0, 0.0]] * 2, "neither arm segments anything"),
        ([[0.0, 0.0, 0.001]] * 2, [[0.002, 0.0, 0.0]] * 2, "neither arm segments anything"),
        ([[0.1, 0.3, 0.2]] * 2, [[0.1, 0.3, 0.2]] * 2, "every training scores every image the same"),  # all is lesion
        ([[0.1, 0.3, 0.2]] * 2, [[0.1, 0.3, 0.2], [0.1, 0.3, 0.201]], ""),
        ([[0.9, 0.8, 0.7]] * 2, [[0.0, 0.0, 0.0]] * 2, ""),
    ],
)
def test_arms_that_segment_nothing_are_not_called_equivalent(
    tmp_path: Path, ssl: list[list[float]], imagenet: list[list[float]], note: str
) -> None:
    arms = (("ssl", ssl), ("imagenet", imagenet))
    runs = {(init, "unet", 1.0, seed): 10 * row for init, rows in arms for seed, row in enumerate(rows)}
    row = contrast_table(exact_study(tmp_path, runs), draws=200).iloc[0]
    assert row["note"] == note
    assert (row["verdict"] == "undecided") == bool(note)
    assert isnan(row["smallest_detectable"]) == bool(note)


def test_equivalence_and_its_p_say_the_same(study: Study) -> None:
    table = contrast_table(study, draws=400)
    inside = (table["low90"] > -study.margin) & (table["high90"] < study.margin)
    assert (inside == (table["equivalence_p"] < 0.05)).all()


def test_a_false_claim_is_likely_where_the_interval_holds_zero(study: Study) -> None:
    table = contrast_table(study, draws=400)
    holds = (table["low"] < 0) & (table["high"] > 0)
    assert table.columns.tolist() == CONTRASTS
    assert (table.loc[~holds, "false_claim"] < 0.03).all()
    assert (table.loc[holds, "false_claim"] > 0.02).all()
    assert table["false_claim"].between(0, 0.5).all()


def test_the_mean_of_a_run_leaves_out_images_that_it_did_not_score() -> None:
    scores = np.array([[[0.2, 0.4, np.nan], [np.nan] * 3]])
    assert run_means(scores).tolist() == [[pytest.approx(0.3), pytest.approx(np.nan, nan_ok=True)]]


# arms


def test_an_arm_has_the_mean_and_the_middle_half_of_its_runs(tmp_path: Path) -> None:
    levels = [0.1, 0.7, 0.8, 0.9]
    runs = {("ssl", "unet", 1.0, seed): [level, level] for seed, level in enumerate(levels)}
    row = arm_table(exact_study(tmp_path, runs), draws=60).iloc[0]
    assert row["jaccard"] == pytest.approx(0.625)
    assert row["interquartile_mean"] == pytest.approx(0.75)  # one failed training does not move it
    assert (row["runs"], row["failure_rate"]) == (4, 0.25)


def test_the_distance_of_boundaries_is_a_median_and_nan_where_it_was_not_measured(tmp_path: Path) -> None:
    runs = {("ssl", "unet", 1.0, 0): [0.9, 0.9, 0.0]}
    missed = exact_study(tmp_path / "a", runs, hd95=[2.0, 3.0, 400.0])
    assert arm_table(missed, draws=60)["hd95"].tolist() == [3.0]
    assert isnan(arm_table(exact_study(tmp_path / "b", runs), draws=60)["hd95"].iloc[0])


def test_arms_tell_the_rate_the_labels_and_the_lesions_that_padding_invents(rich: Study) -> None:
    table = arm_table(rich, draws=60).set_index(["arm", "setting"])
    assert table.reset_index().columns[[0, 1]].tolist() == ARMS[:2]
    assert table.loc[("random", "unet, padding reflect"), ["lr", "n_train", "invented"]].tolist() == [0.01, 240, 125]
    assert table.loc[("ssl", "unet, padding skin"), ["lr", "n_train", "invented"]].tolist() == [0.001, 240, 0]
    assert (table["runs"] == 4).all()  # two folds of two seeds score each image twice
    assert (table["images"] == 80).all()


def test_rates_that_folds_do_not_share_have_no_middle_and_each_search_tells_its_fold(tmp_path: Path) -> None:
    design = Design(searched=True, fold=(0, 1), decoder=("unet",), label_fraction=(1.0,), images=24)
    folder = draw_study(tmp_path / "study", design)
    assert sorted(search_table(read_study(folder))["fold"].unique()) == [0, 1]
    assert arm_table(read_study(folder), draws=20)["lr"].notna().all()
    runs = read_study(folder).runs("finetune")
    own = runs[(runs["arm"] == "ssl") & (runs["fold"] == 1)]
    for path in (Path(one) / "result.json" for one in own["folder"]):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"lr": 0.5}))
    rates = arm_table(read_study(folder), draws=20).set_index("arm")["lr"]
    assert isnan(rates["ssl"])
    assert rates.drop("ssl").notna().all()


def test_the_table_of_runs_has_the_score_that_each_run_wrote(study: Study) -> None:
    table = run_table(study)
    means = study.scores.groupby("run")["jaccard"].mean()
    tuned = table[table["stage"] == "finetune"]
    assert len(table) == len(study.plan)
    names = [Path(folder).name for folder in tuned["folder"]]
    assert tuned["jaccard"].to_numpy() == pytest.approx(means[names].to_numpy())
    assert table.loc[table["stage"] == "pretrain", "jaccard"].isna().all()
