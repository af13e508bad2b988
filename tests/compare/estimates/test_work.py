"""Kinds of runs, and how much each has to do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from compare.estimates.kinds import repeats, run_kind, task_kind
from compare.estimates.work import Workload
from compare.study.config import StudyConfig
from compare.study.plan import Task, tasks_of
from dermssl import flags


def first(tasks: list[Task], stage: str) -> Task:
    return next(task for task in tasks if task.stage == stage)


def test_runs_of_other_inits_seeds_and_fractions_are_of_one_kind() -> None:
    tasks = tasks_of(StudyConfig(decoder=("unet",), lr=(1e-3, 1e-4)), 1)
    assert len({task_kind(task) for task in tasks if task.stage == "finetune"}) == 1


@pytest.mark.parametrize(
    "factors",
    [
        {"decoder": ("unet", "fpn")},
        {"image_size": (64, 96)},
        {"loss": ("dice", "dice+0.1*boundary")},
        {"encoder": ("a", "b")},
    ],
)
def test_what_a_step_depends_on_makes_another_kind(factors: dict[str, tuple[str, ...]]) -> None:
    tasks = tasks_of(StudyConfig(**({"decoder": ("unet",)} | factors)), 1)
    assert len({task_kind(task) for task in tasks if task.stage == "finetune"}) == 2


def test_an_option_that_an_older_run_does_not_name_has_its_default() -> None:
    options = flags.plain_options(first(tasks_of(StudyConfig(), 1), "finetune").config)
    older = {key: value for key, value in options.items() if key not in ("symmetries", "ema")}
    assert run_kind("finetune", older) == run_kind("finetune", options)


def test_a_kind_survives_the_file_of_its_options(tmp_path: Path) -> None:
    for stage in ("pretrain", "finetune"):
        task = first(tasks_of(StudyConfig(), 3), stage)
        flags.write_options(task.config, tmp_path / "config.yaml")
        assert run_kind(stage, flags.read_options(tmp_path / "config.yaml")) == task_kind(task)


def test_a_search_is_as_many_trainings_as_rates_times_seeds() -> None:
    grid = StudyConfig(search="grid", search_lr=(1e-4, 1e-3, 1e-2), search_seeds=(0, 1))
    optuna = replace(grid, search="optuna", search_lr=(1e-4, 1e-2), search_trials=5)
    assert repeats(first(tasks_of(grid, 1), "search")) == 6
    assert repeats(first(tasks_of(optuna, 1), "search")) == 10
    assert repeats(first(tasks_of(grid, 1), "finetune")) == 1


def test_a_search_is_of_the_kind_of_its_trainings() -> None:
    tasks = tasks_of(StudyConfig(search="grid", decoder=("unet",)), 1)
    assert task_kind(first(tasks, "search")) == task_kind(first(tasks, "finetune"))


@pytest.fixture
def study(workplace: Path, draw_isic: Callable[..., Path]) -> StudyConfig:
    (workplace / "f.yaml").write_text("steps: 30\nbatch_size: 4\nval_fraction: 0.25\n")
    (workplace / "p.yaml").write_text("epochs: 3\nbatch_size: 4\n")
    return StudyConfig(
        data=draw_isic(workplace / "labelled", 12), unlabelled=draw_isic(workplace / "more", 10, masks=False),
        finetune=Path("f.yaml"), pretrain=Path("p.yaml"), decoder=("unet",), label_fraction=(0.5,), seed=(0,),
    )  # fmt: skip


def test_steps_rows_and_pictures_are_those_of_the_options(study: StudyConfig) -> None:
    tasks, images = tasks_of(study, 1), Workload(study)
    assert images.amount(first(tasks, "pretrain")) == (3 * (10 // 4), 3, 0)
    assert images.amount(first(tasks, "finetune")) == (30, 10, 3)


def test_passes_over_few_images_are_few_steps(study: StudyConfig) -> None:
    Path("passes.yaml").write_text("epochs: 2\nbatch_size: 4\nval_fraction: 0.25\n")
    passes = replace(study, finetune=Path("passes.yaml"))
    assert Workload(passes).amount(first(tasks_of(passes, 1), "finetune")).steps == 3  # 2 passes over 5 images, by 4


def test_pretraining_on_the_labelled_images_leaves_the_held_out_ones_out(study: StudyConfig) -> None:
    same = replace(study, unlabelled=study.data)
    images = Workload(same)
    task = first(tasks_of(same, 1), "pretrain")
    assert images.to_pretrain_on(task.config) == 12 - 3


def test_every_fold_scores_other_images_and_together_they_score_all(study: StudyConfig) -> None:
    folded = replace(study, folds=3)
    assert Workload(folded).scored(tasks_of(folded, 1)) == (12, 12)
    assert Workload(study).scored(tasks_of(study, 1)) == (3, 3)
