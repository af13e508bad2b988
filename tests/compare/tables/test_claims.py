from pathlib import Path

import numpy as np
import pytest
from exact_study import exact_study
from scipy import stats

from compare.records.study import read_study
from compare.tables.claims import FACTS, algorithm, claims_facts, claims_table, false_claim


def test_the_file_has_a_row_a_case_and_a_column_an_algorithm(whole_study: Path) -> None:
    study = read_study(whole_study)
    table = claims_table(study)
    assert table.columns.tolist() == ["case_id", "alg_ssl", "alg_imagenet"]
    assert table["case_id"].tolist() == study.lesions.index.tolist()
    own = study.scores[study.scores["arm"] == "ssl"].groupby("image_id")["dice"].mean()
    assert table["alg_ssl"].to_numpy() == pytest.approx(own.to_numpy())
    assert table[["alg_ssl", "alg_imagenet"]].to_numpy().min() >= 0
    assert table[["alg_ssl", "alg_imagenet"]].to_numpy().max() <= 1


def test_a_case_that_one_arm_did_not_score_is_not_in_it(tmp_path: Path) -> None:
    runs = {("ssl", "unet", 1.0, 0): [0.5, 0.6, 0.7], ("imagenet", "unet", 1.0, 0): [0.4, 0.6]}
    assert claims_table(exact_study(tmp_path, runs))["case_id"].tolist() == ["I_0", "I_1"]


@pytest.mark.parametrize(
    ("arm", "column"), [("ssl (moco)", "alg_ssl_moco"), ("0.001", "alg_0.001"), ("96 px", "alg_96_px")]
)
def test_columns_are_named_after_arms_in_plain_letters(arm: str, column: str) -> None:
    assert algorithm(arm) == column


def test_the_probability_is_that_of_the_papers_formula() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.uniform(0.5, 0.9, (2, 40))
    a += 0.02
    first, second = (a, b) if a.mean() > b.mean() else (b, a)
    s1, s2, r = first.std(ddof=1), second.std(ddof=1), np.corrcoef(first, second)[0, 1]
    t = np.sqrt(40) * (second.mean() - first.mean()) / np.sqrt(s1**2 + s2**2 - 2 * s1 * s2 * r)
    assert false_claim(a, b) == pytest.approx(stats.t.cdf(t, 39))
    assert false_claim(b, a) == pytest.approx(false_claim(a, b))


def test_equal_methods_are_a_coin_toss_and_a_constant_gain_is_sure() -> None:
    scores = np.array([0.5, 0.75, 0.25])
    assert false_claim(scores, scores) == 0.5
    assert false_claim(scores + 0.25, scores) == 0.0


def test_means_spreads_and_correlation_are_those_of_the_cases(whole_study: Path) -> None:
    study = read_study(whole_study)
    table, facts = claims_table(study), claims_facts(study)
    assert facts.columns.tolist() == FACTS
    assert facts["arm"].tolist() == ["ssl", "imagenet"]
    assert facts["mean"].to_numpy() == pytest.approx(table.iloc[:, 1:].mean().to_numpy())
    assert facts["correlation"].iloc[0] == pytest.approx(table["alg_ssl"].corr(table["alg_imagenet"]))
    assert facts["cases"].tolist() == [80, 80]


def test_a_study_without_a_complete_pair_has_an_empty_file(tmp_path: Path) -> None:
    study = exact_study(tmp_path, {("ssl", "unet", 1.0, 0): [0.5, 0.6]})
    assert claims_table(study).empty
    assert claims_facts(study).empty
