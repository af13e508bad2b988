"""A study whose runs are followed by a logger, in processes of their own."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small_study import draw_photographs, plan_of, small_study

from compare.run import run


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_run_of_a_study_is_one_run_of_the_logger_that_its_file_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("DERMSSL_CACHE", str(tmp_path / "cache"))
    study = small_study(tmp_path, draw_photographs(tmp_path / "photographs"), jobs=2)
    without = plan_ids(tmp_path / "without", tmp_path / "photographs")
    for name in ("pretrain.yaml", "finetune.yaml"):
        with (tmp_path / name).open("a") as file:
            file.write("logger: [tensorboard]\n")
    run(study)
    plan = plan_of(study)
    assert plan["state"].tolist() == ["done"] * 5
    assert plan["id"].tolist() == without
    for folder in map(Path, plan["folder"]):
        [_] = folder.rglob("events.out.tfevents.*")
        events = EventAccumulator(str(folder / "tensorboard")).Reload()
        table = pd.read_csv(folder / "metrics.csv")
        assert [event.step for event in events.Scalars("loss")] == table["epoch"].tolist()
        assert [event.value for event in events.Scalars("loss")] == pytest.approx(table["loss"].tolist(), rel=1e-6)
        figures = {f"figures/{path.stem}" for path in (folder / "figures").glob("*.png")}
        assert {*events.Tags()["images"]} == figures != set()
        assert [*json.loads((folder / ".loggers.json").read_text())] == ["tensorboard"]


def plan_ids(place: Path, photographs: Path) -> list[str]:
    """The ids of the runs of the same study without a logger, which does not change what a run is."""
    from compare.run import planned_study

    return [task.id for task in planned_study(small_study(place, photographs)).tasks]
