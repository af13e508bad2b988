from math import isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study
from scipy.stats import spearmanr

from compare.records.study import Study, read_study
from compare.tables.all_tables import probe_table
from compare.tables.ranks import RANKS, rank_table, spearman


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(draw_study(tmp_path_factory.mktemp("ranks") / "study"))


def probes_that_say(values: dict[str, float]) -> pd.DataFrame:
    """A probe of every arm on the drawn study's encoder."""
    rows = [
        {
            "arm": arm,
            "encoder": "tu-tf_efficientnet_lite0",
            "probe": "dense",
            "measure": "jaccard",
            "detail": "",
            "value": value,
        }
        for arm, value in values.items()
    ]
    return pd.DataFrame(rows)


def test_rank_correlation_is_scipys() -> None:
    rng = np.random.default_rng(0)
    for count in (3, 8, 30):
        a, b = rng.integers(0, 6, (2, count)).astype(float)  # with ties
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5]), ([], [])])
def test_nothing_can_be_said_of_two_encoders_or_of_level_ones(a: list[float], b: list[float]) -> None:
    assert isnan(spearman(np.array(a, float), np.array(b, float)))


def test_a_probe_in_the_order_of_segmentation_has_rank_correlation_one_in_every_cell(study: Study) -> None:
    table = rank_table(study, probes_that_say({"ssl": 0.9, "imagenet": 0.8, "random": 0.1}))
    assert table.columns.tolist() == RANKS
    assert table["decoder"].tolist() == ["fpn", "fpn", "unet", "unet", "all"]
    assert (table["rho"] == 1).all()
    assert (table["encoders"] == 3).all()


def test_a_probe_in_reverse_has_minus_one(study: Study) -> None:
    table = rank_table(study, probes_that_say({"ssl": 0.1, "imagenet": 0.8, "random": 0.9}))
    assert table["rho"].tolist() == [-1] * 5


def test_the_row_of_all_cells_is_their_mean(tmp_path: Path) -> None:
    drawn = read_study(draw_study(tmp_path / "study"))
    turned = drawn.scores["jaccard"].where(drawn.scores["decoder"] == "unet", 1 - drawn.scores["jaccard"])
    study = Study(drawn.folder, drawn.options, drawn.plan, drawn.scores.assign(jaccard=turned), drawn.environment)
    table = rank_table(study, probes_that_say({"ssl": 0.9, "imagenet": 0.8, "random": 0.1}))
    assert table["rho"].tolist() == pytest.approx([-1, -1, 1, 1, 0])


def test_an_encoder_without_a_probe_is_left_out_and_counted(study: Study) -> None:
    table = rank_table(study, probes_that_say({"ssl": 0.9, "imagenet": 0.8, "random": nan}))
    assert (table["encoders"] == 2).all()
    assert table["rho"].isna().all()


def test_a_study_without_probes_or_without_scores_has_no_ranks(tmp_path: Path, study: Study) -> None:
    assert rank_table(study, probe_table(study).head(0)).empty
    failed = frozenset((i, "unet", 1.0, s) for i in ("ssl", "imagenet", "random") for s in (0, 1))
    design = Design(decoder=("unet",), label_fraction=(1.0,), failed=failed)
    bare = read_study(draw_study(tmp_path / "bare", design))
    assert rank_table(bare, probe_table(bare)).empty
