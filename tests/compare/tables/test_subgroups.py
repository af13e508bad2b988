from math import isnan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_study import Design, draw_study

from compare.records.study import Study, read_study
from compare.tables.subgroups import SIZES, presence, subgroup_arm_table, subgroup_table, subgroups_of, thirds

DESIGN = Design(pictures=True, label_fraction=(1.0,), images=60, probes=False, pretrained=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(draw_study(tmp_path_factory.mktemp("subgroups") / "study", DESIGN))


def test_images_are_divided_by_size_class_and_skin_tone(study: Study) -> None:
    labels = subgroups_of(study)
    assert labels.columns.tolist() == ["lesion size", "class", "skin tone"]  # nothing drawn has an artefact
    assert labels.index.equals(study.lesions.index)
    assert labels["class"].value_counts().to_dict() == {"nv": 40, "mel": 20}
    assert labels["skin tone"].value_counts().to_dict() == {"very light": 45, "dark": 15}  # each fourth skin is dark
    assert sorted(labels["lesion size"].value_counts()) == [20, 20, 20]


def test_a_subgroup_has_the_mean_difference_of_its_images(study: Study) -> None:
    labels, table = subgroups_of(study), subgroup_table(study, draws=60)
    for _, row in table.iterrows():
        inside = study.scores["image_id"].map(labels[row["by"]]) == row["subgroup"]
        means = study.scores[inside].groupby("arm")["jaccard"].mean()
        assert row["difference"] == pytest.approx(means["ssl"] - means["imagenet"])
        assert (row["mean_a"], row["mean_b"]) == (pytest.approx(means["ssl"]), pytest.approx(means["imagenet"]))
        assert row["low"] < row["difference"] < row["high"]
    assert table.groupby("by")["images"].sum().eq(60).all()


def test_subgroups_of_arms_add_up_to_the_whole(study: Study) -> None:
    table = subgroup_arm_table(study, draws=60)
    for (_, arm), part in table.groupby(["by", "arm"]):
        own = study.scores[study.scores["arm"] == arm]["jaccard"]
        for name, whole in (("jaccard", own.mean()), ("failure_rate", (own < 0.65).mean())):
            assert np.average(part[name], weights=part["images"]) == pytest.approx(whole)


def test_subgroups_stand_in_the_order_of_their_meaning(study: Study) -> None:
    table = subgroup_table(study, draws=20)
    assert table.loc[table["by"] == "lesion size", "subgroup"].tolist() == list(SIZES)
    assert table.loc[table["by"] == "skin tone", "subgroup"].tolist() == ["very light", "dark"]
    assert table.loc[table["by"] == "class", "subgroup"].tolist() == ["nv", "mel"]  # the largest first


def test_one_seed_gives_a_difference_without_an_interval(tmp_path: Path) -> None:
    one = Design(seed=(0,), decoder=("unet",), label_fraction=(1.0,), images=30, probes=False)
    table = subgroup_table(read_study(draw_study(tmp_path / "study", one)), draws=20)
    assert len(table) == 3
    assert table["difference"].notna().all()
    assert table[["low", "high"]].isna().all(axis=None)


def test_without_pictures_the_size_of_lesions_is_known_from_the_scores(whole_study: Path) -> None:
    table = subgroup_table(read_study(whole_study), draws=20)
    assert table["by"].unique().tolist() == ["lesion size"]


def test_thirds_are_thirds_and_what_is_not_known_is_none() -> None:
    areas = pd.Series([0.5, 0.1, 0.3, 0.2, 0.4, 0.6, np.nan])
    small, middle, large = SIZES
    assert thirds(areas).tolist() == [large, small, middle, small, middle, large, ""]
    assert presence(pd.Series([0.3, 0.29, np.nan]), "hair", 0.3).tolist() == ["hair", "no hair", ""]


def test_a_subgroup_of_one_lesion_has_no_interval(tmp_path: Path) -> None:
    few = Design(decoder=("unet",), label_fraction=(1.0,), images=6, probes=False, pretrained=False)
    table = subgroup_table(read_study(draw_study(tmp_path / "study", few)), draws=20)
    assert table["lesions"].tolist() == [1, 1, 1]  # two images of one lesion in each third
    assert all(isnan(low) for low in table["low"])
