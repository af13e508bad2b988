import json
from pathlib import Path

import pytest
from drawn_study import Design, draw_study

from compare.records.study import Study, read_study
from compare.tables.cost_table import COSTS, cost_table


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    failed = frozenset({("ssl", "unet", 1.0, 0)})
    design = Design(searched=True, failed=failed, decoder=("unet",), label_fraction=(1.0,), images=20)
    return read_study(draw_study(tmp_path_factory.mktemp("costs") / "study", design))


def test_every_stage_and_arm_has_a_row_and_the_last_is_everything(study: Study) -> None:
    table = cost_table(study)
    assert table.columns.tolist() == COSTS
    stages = ["pretrain"] + ["search"] * 3 + ["finetune"] * 3 + ["probe"] * 3 + ["all"]
    assert table["stage"].tolist() == stages
    assert table["arm"].tolist() == ["ssl", *["ssl", "imagenet", "random"] * 3, ""]
    whole = table.iloc[-1]
    for name in ("runs", "failed", "attempts", "total_seconds", "energy_wh"):
        assert whole[name] == pytest.approx(table[name].iloc[:-1].sum())
    assert whole["total_seconds"] == pytest.approx(study.plan["seconds"].sum())


def test_costs_are_what_runs_and_plan_say(study: Study) -> None:
    rows = cost_table(study).set_index(["stage", "arm"])
    tuned = rows.loc[("finetune", "imagenet")]
    assert tuned[["runs", "failed", "median_seconds", "images_per_second"]].tolist() == [2, 0, 21.5, 120]
    assert tuned["memory_mb"] == 800  # the run's own peak, above what its process was seen to hold
    assert tuned["energy_wh"] == 1.0
    assert rows.loc[("finetune", "ssl"), ["runs", "failed"]].tolist() == [2, 1]


def test_what_no_device_tells_is_not_zero(study: Study) -> None:
    table = cost_table(study)
    assert table["gpu_memory_mb"].isna().all()
    assert table.loc[table["stage"] == "probe", "energy_wh"].isna().all()


def test_runs_that_are_planned_cost_nothing_yet(whole_study: Path) -> None:
    study = read_study(whole_study)
    planned = Study(study.folder, study.options, study.plan.assign(state="planned"), study.scores, {})
    assert cost_table(planned).empty


def test_a_run_that_was_resumed_costs_all_of_its_attempts(tmp_path: Path) -> None:
    study = read_study(draw_study(tmp_path / "study", Design(decoder=("unet",), label_fraction=(1.0,), images=20)))
    before = cost_table(study).set_index("stage").loc["all", "total_seconds"]
    [folder] = study.runs("pretrain")["folder"]
    result = json.loads((Path(folder) / "result.json").read_text())
    (Path(folder) / "result.json").write_text(json.dumps(result | {"seconds": 4000.0}))
    table = cost_table(study).set_index("stage")
    assert table.loc["pretrain", "median_seconds"] == 4000
    assert table.loc["all", "total_seconds"] == pytest.approx(before - 21.5 + 4000)
