from pathlib import Path

import pytest
from drawn_study import Design, draw_study

from compare.records.study import Study, read_study
from compare.tables.padding_study import PADDING, padding_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    design = Design(padding=("reflect", "skin"), decoder=("unet",), label_fraction=(0.1, 1.0), images=40)
    return read_study(draw_study(tmp_path_factory.mktemp("padding") / "study", design))


def test_mirrored_lesions_are_counted_in_a_thousand_draws_and_fall_to_no_arm(study: Study) -> None:
    table = padding_table(study)
    assert table.columns.tolist() == PADDING
    assert table["padding"].tolist() == ["reflect"] * 3 + ["skin"] * 3
    assert table["invented"].tolist() == [125.0] * 3 + [0.0] * 3
    assert table["of_lesion"].tolist() == [0.2] * 3 + [0.0] * 3


def test_scores_are_means_over_all_runs_of_the_padding(study: Study) -> None:
    row = padding_table(study).iloc[0]
    own = study.scores[(study.scores["padding"] == "reflect") & (study.scores["arm"] == row["arm"])]
    assert (row["runs"], row["images"]) == (own["run"].nunique(), len(own)) == (4, 160)
    assert row["jaccard"] == pytest.approx(own["jaccard"].mean())
    assert row["failure_rate"] == pytest.approx((own["jaccard"] < 0.65).mean())


def test_a_study_of_one_padding_reads_it_from_the_runs(whole_study: Path) -> None:
    table = padding_table(read_study(whole_study))
    assert table["padding"].tolist() == ["skin"] * 3
    assert table["arm"].tolist() == ["ssl", "imagenet", "random"]


def test_runs_whose_folders_are_gone_say_nothing_of_padding(whole_study: Path) -> None:
    found = read_study(whole_study)
    gone = found.plan.assign(folder="nowhere/" + found.plan["hash"])
    assert padding_table(Study(found.folder, found.options, gone, found.scores, found.environment)).empty
