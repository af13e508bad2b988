"""What runs of a study will take: from finished ones, from what was timed, from the nearest kind."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import compare.estimates.estimate
from compare.estimates.estimate import KEPT, estimates, kinds_of, seconds_in_plans
from compare.estimates.kinds import RunKind
from compare.estimates.timings import Rates
from compare.estimates.work import Workload
from compare.study.config import StudyConfig
from compare.study.plan import Task, tasks_of
from dermssl import flags
from dermssl.runs.environment import environment
from dermssl.runs.seal import RESULT

approx = pytest.approx

RATES = Rates(fixed=5.0, step=0.5, row=0.0, picture=1.0, memory_mb=800.0, disk_mb=10.0)


@pytest.fixture
def study(workplace: Path, draw_isic: Callable[..., Path]) -> StudyConfig:
    """Two inits under one decoder on twelve images; three are scored."""
    (workplace / "fixed.yaml").write_text("steps: 30\nbatch_size: 4\nval_fraction: 0.25\nimage_size: 64\n")
    return StudyConfig(
        init=("imagenet", "random"), contrast=("imagenet", "random"), decoder=("unet",), label_fraction=(1.0,),
        data=draw_isic(workplace / "data", 12), unlabelled=workplace / "data", finetune=Path("fixed.yaml"),
    )  # fmt: skip


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every kind that was timed; each gives `RATES` at once."""
    asked: list[str] = []

    def answer(stage: str, config: object, images: Workload, limit: float) -> Rates:
        asked.append(f"{stage} {getattr(config, 'decoder', '')}".strip())
        return RATES

    monkeypatch.setattr(compare.estimates.estimate, "time_short_runs", answer)
    return asked


def finished(task: Task, runs: Path, seconds: float = 40.0, **elsewhere: object) -> Path:
    """The folder of a run that took `seconds` for its 30 steps, and nothing for the rest."""
    folder = runs / task.stage / f"unet-{task.factors['init']}-{task.id}"
    folder.mkdir(parents=True)
    flags.write_options(task.config, folder / "config.yaml")
    (folder / "environment.json").write_text(json.dumps(environment() | elsewhere))
    rate = 30 * 4 / seconds
    pd.DataFrame({"epoch": [0], "seconds": [seconds], "images_per_second": [rate]}).to_csv(folder / "metrics.csv")
    (folder / "scores.parquet").write_text("")
    (folder / RESULT).write_text(json.dumps({"seconds": seconds, "n_val": 3, "memory_mb": 500.0}))
    plan = pd.DataFrame({"folder": [str(folder)], "seconds": [seconds]})
    (runs / "studies" / task.id).mkdir(parents=True)
    plan.to_csv(runs / "studies" / task.id / "plan.csv", index=False)
    return folder


def test_a_kind_is_timed_once_for_all_its_runs(study: StudyConfig, timings: list[str]) -> None:
    tasks = tasks_of(study, 1)
    found = estimates(study, tasks, Workload(study))
    assert timings == ["finetune unet"]
    assert {one.seconds for one in found.values()} == {5 + 30 * 0.5 + 3 * 1.0}
    assert len(found) == len(tasks) == 4


def test_what_was_timed_is_kept_and_not_timed_again(study: StudyConfig, timings: list[str]) -> None:
    tasks = tasks_of(study, 1)
    first = estimates(study, tasks, Workload(study))
    assert estimates(study, tasks, Workload(study)) == first
    assert timings == ["finetune unet"]


def test_what_was_timed_on_another_machine_is_timed_again(
    study: StudyConfig, timings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tasks_of(study, 1)
    estimates(study, tasks, Workload(study))
    monkeypatch.setattr(compare.estimates.estimate, "machine_hash", lambda: "another")
    estimates(study, tasks, Workload(study))
    assert len(timings) == 2
    assert len(json.loads((study.out / KEPT).read_text())) == 2


def test_a_finished_run_of_the_kind_tells_more_than_a_short_one(study: StudyConfig, timings: list[str]) -> None:
    tasks = tasks_of(study, 1)
    own = replace(study, out=study.runs / "studies")
    finished(tasks[0], study.runs, 40.0)
    found = estimates(own, tasks, Workload(study))
    assert timings == []
    assert {one.source for one in found.values()} == {"1 finished"}
    assert {round(one.seconds, 3) for one in found.values()} == {40.0}
    assert found[tasks[1].id].memory_mb == 500


@pytest.mark.parametrize("elsewhere", [{"cpu": "another"}, {"cores": 77}])
def test_a_run_of_another_machine_tells_nothing(
    study: StudyConfig, timings: list[str], elsewhere: dict[str, object]
) -> None:
    tasks = tasks_of(study, 1)
    finished(tasks[0], study.runs, 40.0, **elsewhere)
    assert estimates(study, tasks, Workload(study))[tasks[0].id].source == "timed"


def test_without_timing_nothing_is_known_of_a_new_kind(study: StudyConfig, timings: list[str]) -> None:
    assert estimates(replace(study, timed=False), tasks_of(study, 1), Workload(study)) == {}
    assert timings == []


def test_a_kind_that_nothing_tells_of_is_scaled_from_its_nearest_by_pixels(
    study: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = replace(study, image_size=(64, 128))
    asked: list[int] = []

    def only_the_first(stage: str, config: object, images: Workload, limit: float) -> Rates | None:
        asked.append(getattr(config, "image_size", 0))
        return RATES if len(asked) == 1 else None

    monkeypatch.setattr(compare.estimates.estimate, "time_short_runs", only_the_first)
    tasks = tasks_of(sizes, 1)
    found = estimates(sizes, tasks, Workload(sizes))
    assert asked == [64, 128]
    small, large = (next(found[t.id] for t in tasks if t.factors["image_size"] == size) for size in (64, 128))
    assert large.source == "like another"
    assert large.seconds - small.seconds == approx(30 * 0.5 * 3)
    assert large.memory_mb == approx(4 * 800)


def test_a_search_takes_its_trainings_one_after_the_other(study: StudyConfig, timings: list[str]) -> None:
    searched = replace(study, search="grid", search_lr=(1e-4, 1e-3, 1e-2))
    tasks, images = tasks_of(searched, 1), Workload(searched)
    search = next(task for task in tasks if task.stage == "search")
    found = estimates(searched, tasks, images)
    assert timings == ["finetune unet"]
    assert found[search.id].seconds == approx(3 * RATES.seconds(images.amount(search)))
    assert found[search.id].disk_mb == 30


def test_losses_cost_the_same_but_the_one_that_measures_distances() -> None:
    study = StudyConfig(decoder=("unet", "fpn"), loss=("dice", "bce", "dice+0.1*boundary"), init=("random", "imagenet"),
                        contrast=("random", "imagenet"))  # fmt: skip
    said = [dict(kind.options) for kind in kinds_of(tasks_of(study, 1))]
    assert [(one["decoder"], one.get("loss")) for one in said] == [
        ("unet", None), ("fpn", None), ("unet", "boundary"), ("fpn", "boundary"),
    ]  # fmt: skip


def test_every_stage_is_timed_before_a_second_kind_of_one(tmp_path: Path) -> None:
    (tmp_path / "probe.yaml").write_text("k: 5\n")
    study = StudyConfig(method=("simclr", "byol", "vicreg"), decoder=("unet", "fpn"), probe=tmp_path / "probe.yaml",
                        exclude=("decoder=unet init=random",))  # fmt: skip
    order = list(kinds_of(tasks_of(study, 1)))
    assert [kind.stage for kind in order] == ["pretrain", "finetune", "probe", "pretrain", "finetune", "pretrain"]
    assert dict(order[1].options)["decoder"] == "fpn"  # of more runs than unet


def test_timing_ends_when_its_time_is_up(
    study: StudyConfig, timings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare.estimates.estimate, "SECONDS", 10.0)
    assert estimates(study, tasks_of(study, 1), Workload(study)) == {}
    assert timings == []


def test_the_longest_time_of_a_run_counts_for_finding_it_done_is_quick(tmp_path: Path) -> None:
    for name, seconds in (("a", 30.0), ("b", 0.4)):
        (tmp_path / name).mkdir()
        pd.DataFrame({"folder": ["runs/finetune/unet-1"], "seconds": [seconds]}).to_csv(tmp_path / name / "plan.csv")
    assert seconds_in_plans(tmp_path) == {"unet-1": 30.0}


def test_a_kind_reads_as_a_person_says_it() -> None:
    options = (
        ("encoder", "tu-resnet18"),
        ("decoder", "fpn"),
        ("image_size", "96"),
        ("batch_size", "16"),
        ("loss", "dice"),
    )
    assert str(RunKind("finetune", options)) == "finetune, fpn on resnet18, 96 px, dice, batch 16"
