from pathlib import Path

import pandas as pd
import pytest

from compare.config import StudyConfig
from compare.plan import STAGES, Outcome, Task, plan_table, tasks_of
from dermssl.errors import UserError

THREADS = dict.fromkeys(STAGES, 1)


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def of_stage(study: StudyConfig, stage: str) -> list[Task]:
    return [task for task in tasks_of(study, THREADS) if task.stage == stage]


@pytest.mark.parametrize(
    ("factors", "pretrainings", "finetunings"),
    [
        ({}, 1, 3 * 2 * 2 * 2),
        ({"method": ("simclr", "moco")}, 2, 4 * 2 * 2 * 2),
        ({"encoder": ("resnet18", "resnet34"), "decoder": ("fpn",), "seed": (0, 1, 2)}, 2, 3 * 2 * 1 * 2 * 3),
        ({"init": ("imagenet", "random"), "contrast": ("imagenet", "random")}, 0, 2 * 2 * 2 * 2),
    ],
)
def test_the_grid_is_every_arm_in_every_cell(factors: dict[str, object], pretrainings: int, finetunings: int) -> None:
    study = StudyConfig(**factors)
    assert len(of_stage(study, "pretrain")) == pretrainings
    assert len(of_stage(study, "finetune")) == finetunings
    assert of_stage(study, "probe") == []


def test_probes_are_made_once_an_arm_where_their_options_are_given(tmp_path: Path) -> None:
    study = StudyConfig(
        method=("simclr", "moco"), encoder=("resnet18", "resnet34"), probe=written(tmp_path / "p.yaml", "k: 5\n")
    )
    probes = of_stage(study, "probe")
    assert len(probes) == 4 * 2
    assert {task.config.k for task in probes} == {5}


def test_every_run_has_a_name_of_its_own(tmp_path: Path) -> None:
    study = StudyConfig(
        method=("simclr", "moco"),
        encoder=("resnet18", "tu-resnet18"),  # their random arms differ
        probe=written(tmp_path / "p.yaml", "k: 5\n"),
    )
    names = [task.name for task in tasks_of(study, THREADS)]
    assert len(set(names)) == len(names) == 4 + 4 * 2 * 2 * 2 * 2 + 4 * 2


def test_runs_come_in_the_order_in_which_they_need_each_other(tmp_path: Path) -> None:
    stages = [task.stage for task in tasks_of(StudyConfig(probe=written(tmp_path / "p.yaml", "k: 5\n")), THREADS)]
    assert stages == sorted(stages, key=STAGES.index)


def test_only_ssl_needs_a_pretraining() -> None:
    study = StudyConfig(method=("simclr", "moco"), encoder=("resnet18",))
    needed = {(task.init, task.method): task.pretrained_by for task in of_stage(study, "finetune")}
    assert needed == {
        ("ssl", "simclr"): ("simclr", "resnet18"),
        ("ssl", "moco"): ("moco", "resnet18"),
        ("imagenet", ""): None,
        ("random", ""): None,
    }
    assert {task.pretrained_by for task in of_stage(study, "pretrain")} == {None}


def test_fixed_options_arrive_and_factors_win(tmp_path: Path) -> None:
    study = StudyConfig(
        decoder=("fpn",),
        encoder=("resnet18",),
        seed=(7, 8),
        data=tmp_path / "labelled",
        unlabelled=tmp_path / "unlabelled",
        runs=tmp_path / "runs",
        pretrain=written(tmp_path / "p.yaml", "epochs: 3\nimage_size: 64\nseed: 99\n"),
        finetune=written(tmp_path / "f.yaml", "steps: 11\nlr: 1e-2\ndecoder: unet\nlabel_fraction: 0.7\n"),
    )
    [pretraining] = of_stage(study, "pretrain")
    config = pretraining.config
    assert (config.epochs, config.image_size, config.seed, config.encoder) == (3, 64, 7, "resnet18")
    assert (config.data, config.out) == (tmp_path / "unlabelled", tmp_path / "runs" / "pretrain")
    assert config.checkpoints is None  # a study does not change what `--init ssl` finds
    tunings = [task.config for task in of_stage(study, "finetune")]
    assert {(c.steps, c.lr, c.decoder, c.encoder) for c in tunings} == {(11, 0.01, "fpn", "resnet18")}
    assert {(c.data, c.out) for c in tunings} == {(tmp_path / "labelled", tmp_path / "runs" / "finetune")}
    assert {(c.init, c.label_fraction, c.seed) for c in tunings} == {
        (init, fraction, seed) for init in study.init for fraction in (0.1, 1.0) for seed in (7, 8)
    }


def test_threads_are_those_of_the_stage() -> None:
    tasks = tasks_of(StudyConfig(), {"pretrain": 4, "finetune": 2, "probe": 1})
    assert {(task.stage, task.config.threads) for task in tasks} == {("pretrain", 4), ("finetune", 2)}


def test_a_wrong_fixed_option_is_told_with_its_file(tmp_path: Path) -> None:
    study = StudyConfig(finetune=written(tmp_path / "f.yaml", "step: 11\n"))
    with pytest.raises(UserError, match=r"f.yaml: FinetuneConfig has no option 'step'; did you mean 'steps'"):
        tasks_of(study, THREADS)


def test_the_plan_has_a_row_a_run_with_its_hash(tmp_path: Path) -> None:
    tasks = tasks_of(StudyConfig(decoder=("fpn",), seed=(0,), label_fraction=(1.0,)), THREADS)
    outcomes = [Outcome() for _ in tasks]
    outcomes[1] = Outcome(state="done", folder="runs/finetune/fpn-ssl-0123456789", seconds=2.5)
    outcomes[2] = Outcome(state="failed", error="no room, at all")
    plan_table(tasks, outcomes).to_csv(tmp_path / "plan.csv", index=False)
    plan = pd.read_csv(tmp_path / "plan.csv", dtype={"hash": str})
    assert plan["name"].tolist() == [task.name for task in tasks]
    assert plan["stage"].tolist() == ["pretrain", "finetune", "finetune", "finetune"]
    assert plan["state"].tolist() == ["planned", "done", "failed", "planned"]
    assert plan.loc[1, ["hash", "seconds", "init", "method"]].tolist() == ["0123456789", 2.5, "ssl", "simclr"]
    assert plan.loc[2, ["error", "init", "decoder"]].tolist() == ["no room, at all", "imagenet", "fpn"]
