import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from drawn_study import CLEAN, Design, draw_study, write_run

from compare.records.data_sets import data_sets
from compare.records.study import Study, read_study
from compare.tables.data_card import CARD, LEAKS, PAIRS, data_card, leak_pair_table, leak_table

DESIGN = Design(pictures=True, decoder=("unet",), label_fraction=(1.0,), images=60)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return read_study(draw_study(tmp_path / "study", DESIGN))


def runs_of(study: Study) -> list[Path]:
    return [Path(folder) for folder in study.runs("finetune")["folder"]]


def test_the_card_says_what_the_images_are_and_who_may_use_them(study: Study) -> None:
    table = data_card(study)
    facts = table.set_index("fact")["labelled"]
    assert table.columns.tolist() == CARD
    assert facts[["name", "images", "licence", "lesions", "patients"]].tolist() == [
        "data",
        "60",
        "CC-0",
        "50",
        "not told",
    ]
    assert facts["classes"] == "nv 40, mel 20"
    assert facts["size"] == "64 x 48 px"
    assert facts["problems"] == "0 files"
    assert facts["trained on"] == "240"
    assert facts["split"] == "hold-out of 20% (sNone); together by lesion, split seed 0"


def test_areas_of_lesions_stand_as_quartiles(study: Study) -> None:
    manifest = data_sets(study).labelled
    assert manifest is not None
    quartiles = manifest.table["mask_area"].quantile([0.25, 0.5, 0.75])
    said = data_card(study).set_index("fact").loc["lesion area", "labelled"]
    assert said == "quartiles " + ", ".join(f"{100 * share:.0f} %" for share in quartiles)


def test_images_whose_folder_is_gone_are_told_by_the_encoder_that_saw_them(study: Study) -> None:
    facts = data_card(study).set_index("fact")["unlabelled"]
    assert facts[["images", "licence", "manifest", "folder"]].tolist() == ["1000", "CC-BY", "0123456789ab", "gone"]
    assert facts["classes"] == ""


def test_images_that_pretraining_took_a_part_of_are_not_called_changed(study: Study) -> None:
    sets = data_sets(study)

    def said(counts: set[int], seen: str) -> str:
        there = replace(sets, unlabelled=sets.labelled, unlabelled_seen=frozenset({seen}),
                        unlabelled_counts=frozenset(counts))  # fmt: skip
        return str(data_card(study, there).set_index("fact").loc["as the runs saw it", "unlabelled"])

    assert sets.labelled is not None
    assert said({40}, "a part") == "they saw a part, 40 images"
    assert said({60}, "changed") == "no"
    assert said({60}, sets.labelled.hash) == "yes"


def test_images_of_another_data_set_in_the_same_place_are_not_described(study: Study) -> None:
    (study.folder / "data" / "images" / "ISIC_0000005.png").unlink()
    (study.folder / "data" / "masks" / "ISIC_0000005_segmentation.png").unlink()
    assert data_sets(study).labelled is None
    assert "name" not in data_card(study)["fact"].tolist()


def test_folds_are_told_one_by_one(tmp_path: Path) -> None:
    design = Design(fold=(0, 1), decoder=("unet",), label_fraction=(1.0,), images=40)
    facts = data_card(read_study(draw_study(tmp_path / "study", design))).set_index("fact")["labelled"]
    assert facts["split"] == "fold 0 (s0); fold 1 (s1); together by lesion, split seed 0"
    assert facts["held out"] == "20"


def test_a_finding_of_the_firewall_stands_once_with_the_number_of_its_runs(study: Study) -> None:
    table = leak_table(study)
    assert table.columns.tolist() == LEAKS
    assert table[["stage", "side", "action", "runs"]].to_numpy().tolist() == [
        ["pretrain", "training", "clean", 1],
        ["finetune", "training", "clean", 6],
        ["finetune", "encoder", "clean", 6],
        ["probe", "encoder", "clean", 3],
    ]


def test_a_pretraining_that_was_found_done_for_another_split_is_told_apart(study: Study) -> None:
    def drawn(folder: str, share: float) -> None:
        options = {"split": "drawn", "val_fraction": share, "folds": 0, "fold": 0, "split_seed": 0, "on_leak": "drop"}
        write_run(Path(folder), options, json.loads((Path(folder) / "result.json").read_text()))

    for folder in study.plan["folder"]:
        drawn(folder, 0.5)
    assert "training, for another split" not in set(leak_table(study)["side"])
    drawn(study.runs("pretrain")["folder"].iloc[0], 0.2)
    sides = leak_table(study).set_index("stage")["side"]
    assert sides["pretrain"] == "training, for another split"
    assert sides["finetune"].tolist() == ["training", "encoder"]


def test_leaks_are_counted_by_reason_and_their_pairs_listed(study: Study) -> None:
    leak = {**CLEAN, "action": "dropped", "leaking_held_out": 2, "leaking_training": 2}
    leak["pairs"] = {"same lesion": 1, "near-duplicate": 1}
    pairs = pd.DataFrame({"trained_on": ["a", "b"], "held_out": ["c", "d"], "why": ["same lesion", "near-duplicate"]})
    for run in runs_of(study)[:2]:
        result = json.loads((run / "result.json").read_text())
        pairs.assign(side="training").to_csv(run / "leaks.csv", index=False)
        write_run(run, {}, result | {"leaks": {"training": leak, "encoder": CLEAN}})
    row = leak_table(study).set_index("action").loc["dropped"]
    assert row[["runs", "leaking_training", "same_lesion", "near_duplicate", "same_file"]].tolist() == [2, 2, 1, 1, 0]
    listed = leak_pair_table(study)
    assert listed.columns.tolist() == PAIRS
    assert listed[["trained_on", "held_out", "why", "runs"]].to_numpy().tolist() == [
        ["a", "c", "same lesion", 2],
        ["b", "d", "near-duplicate", 2],
    ]
