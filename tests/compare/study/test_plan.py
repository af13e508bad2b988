"""The plan: which runs a study is made of, with which options, and what waits for what."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import compare.study.plan
from compare.study.config import StudyConfig
from compare.study.images import StudyImages
from compare.study.plan import Task, completed_task, tasks_of
from compare.study.search_config import SearchConfig
from dermssl.errors import UserError
from dermssl.files import write_json
from dermssl.flags import parse_choice


def contents(text: str, *, apart: bool = False) -> StudyImages:
    """What a plan asks of the images of a study."""
    return cast(StudyImages, SimpleNamespace(hash=text, apart=apart))


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def of_stage(study: StudyConfig, stage: str) -> list[Task]:
    return [task for task in tasks_of(study, 1) if task.stage == stage]


@pytest.mark.parametrize(
    ("factors", "pretrainings", "finetunings"),
    [
        ({}, 1, 3 * 2 * 2 * 2),
        ({"method": ("simclr", "moco")}, 2, 4 * 2 * 2 * 2),
        ({"encoder": ("resnet18", "resnet34"), "decoder": ("fpn",), "seed": (0, 1, 2)}, 2, 3 * 2 * 1 * 2 * 3),
        ({"init": ("imagenet", "random"), "contrast": ("imagenet", "random")}, 0, 2 * 2 * 2 * 2),
        ({"folds": 3}, 3, 3 * 2 * 2 * 2 * 3),  # what is held out differs, so what may be pretrained on does
        ({"pretrainings": 2}, 2, 3 * 2 * 2 * 2),
        ({"exclude": ("init=ssl",), "contrast": ("imagenet", "random")}, 0, 2 * 2 * 2 * 2),
    ],
)
def test_every_arm_in_every_cell_and_each_pretraining_once(
    factors: dict[str, Any], pretrainings: int, finetunings: int
) -> None:
    study = StudyConfig(**factors)
    assert len(of_stage(study, "pretrain")) == pretrainings
    assert len(of_stage(study, "finetune")) == finetunings
    assert of_stage(study, "probe") == of_stage(study, "search") == []


def test_probes_are_made_once_an_arm_where_their_options_are_given(tmp_path: Path) -> None:
    study = StudyConfig(
        method=("simclr", "moco"), encoder=("resnet18", "resnet34"), probe=written(tmp_path / "p.yaml", "k: 5\n")
    )
    probes = of_stage(study, "probe")
    assert len(probes) == 4 * 2
    assert {task.config.k for task in probes} == {5}


def test_an_option_that_some_methods_have_is_for_those_and_one_that_none_has_is_refused(tmp_path: Path) -> None:
    options = written(tmp_path / "p.yaml", "method: moco\nepochs: 3\nqueue_size: 512\ntemperature: 0.3\n")
    study = StudyConfig(method=("simclr", "moco", "byol"), pretrain=options)
    simclr, moco, byol = (task.config for task in of_stage(study, "pretrain"))
    assert (simclr.epochs, moco.epochs, byol.epochs) == (3, 3, 3)
    assert (moco.queue_size, simclr.temperature, moco.temperature) == (512, 0.3, 0.3)
    with pytest.raises(UserError, match=r"'queue_size' is no option of python -m pretrain .*; it belongs to"):
        tasks_of(replace(study, method=("simclr", "byol")), 1)


def test_a_run_waits_for_its_own_pretraining_and_no_other() -> None:
    study = StudyConfig(method=("simclr", "moco"), encoder=("resnet18", "resnet34"))
    made = {task.id: (task.factors["method"], task.factors["encoder"]) for task in of_stage(study, "pretrain")}
    for task in of_stage(study, "finetune"):
        needed = [made[need] for need in task.needs]
        own = [(task.factors["method"], task.factors["encoder"])]
        assert needed == (own if task.factors["init"] == "ssl" else [])


def test_seeds_share_the_pretrainings_in_turn() -> None:
    study = StudyConfig(seed=(5, 6, 7), pretrainings=2)
    seed_of = {task.id: task.config.seed for task in of_stage(study, "pretrain")}
    shared = {(task.factors["seed"], seed_of[task.needs[0]]) for task in of_stage(study, "finetune") if task.needs}
    assert shared == {(5, 5), (6, 6), (7, 5)}


def test_a_task_comes_behind_all_that_it_needs() -> None:
    seen: set[str] = set()
    for task in tasks_of(StudyConfig(search="grid", folds=2, method=("simclr", "moco")), 1):
        assert set(task.needs) <= seen
        seen.add(task.id)


def test_every_arm_searches_with_the_same_rates_seeds_and_trials_on_the_training_side() -> None:
    study = StudyConfig(search="grid", search_lr=(1e-4, 1e-2), search_seeds=(7, 8), seed=(0, 1, 2))
    searches = of_stage(study, "search")
    configs = [task.config for task in searches if isinstance(task.config, SearchConfig)]
    assert len(searches) == len(configs) == 3 * 2 * 2  # none for a seed: the seeds of a cell share one
    assert {(one.rates, one.seeds, one.trials, one.strategy) for one in configs} == {((1e-4, 1e-2), (7, 8), 2, "grid")}
    assert {one.tuning.score_on for one in configs} == {"inner"}
    needed = {task.id: task.needs for task in of_stage(study, "finetune")}
    by_search = [[need for need in needs if need in {task.id for task in searches}] for needs in needed.values()]
    assert {len(found) for found in by_search} == {1}
    assert {need for found in by_search for need in found} == {task.id for task in searches}


def test_ids_tell_runs_apart_and_stay_where_only_place_and_pace_change(tmp_path: Path) -> None:
    study = StudyConfig(search="grid", probe=written(tmp_path / "p.yaml", "k: 5\n"))
    ids = [task.id for task in tasks_of(study, 1, contents("images"))]
    assert len(set(ids)) == len(ids)
    moved = replace(study, runs=tmp_path, out=tmp_path, jobs=3, budget=1.0, data=tmp_path)
    assert [task.id for task in tasks_of(moved, 8, contents("images"))] == ids
    assert not set(ids) & {task.id for task in tasks_of(study, 1, contents("other images"))}


@pytest.mark.parametrize("fold", [(), (1, 2)])
def test_one_pretraining_serves_all_folds_where_no_image_to_pretrain_on_is_held_out_in_any(
    fold: tuple[int, ...],
) -> None:
    study = StudyConfig(folds=3, fold=fold, seed=(0, 1), pretrainings=2, probe=Path("configs/probe/demo.yaml"))
    apart, mixed = (tasks_of(study, 1, contents("images", apart=apart)) for apart in (True, False))
    for tasks, count in ((apart, 2), (mixed, 2 * len(study.folds_run))):
        pretrained = {task.id: task for task in tasks if task.stage == "pretrain"}
        assert len(pretrained) == count
        tuned = [task for task in tasks if task.stage == "finetune" and task.factors["init"] == "ssl"]
        assert {need for task in tuned for need in task.needs} == set(pretrained)
        assert {pretrained[task.needs[0]].factors["seed"] == task.factors["seed"] for task in tuned} == {True}
    assert {task.factors["fold"] for task in apart if task.stage == "pretrain"} == {study.folds_run[0]}
    ids = [[task.id for task in tasks if task.stage == "probe"] for tasks in (apart, mixed)]
    assert ids[0] == ids[1] != []


def test_ids_of_what_stands_stay_when_a_study_grows() -> None:
    small, large = tasks_of(StudyConfig(seed=(0,)), 1), tasks_of(StudyConfig(decoder=("unet", "fpn", "pan")), 1)
    assert {task.id for task in small} < {task.id for task in large}


def test_an_id_changes_with_the_text_of_a_file_that_an_option_names(tmp_path: Path) -> None:
    recipe = written(tmp_path / "a.yaml", "one")
    study = StudyConfig(augmentation=(str(recipe),))
    before = [task.id for task in of_stage(study, "finetune")]
    written(recipe, "two")
    assert not set(before) & {task.id for task in of_stage(study, "finetune")}


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


def test_levels_of_every_factor_arrive_in_the_options() -> None:
    levels = {"loss": ("bce",), "lr": (0.01,), "image_size": (64,), "padding": ("edge",), "augmentation": ("light",)}
    study = StudyConfig(**levels, folds=4, fold=(3,))  # type: ignore[arg-type]
    for task in of_stage(study, "finetune"):
        assert {name: (getattr(task.config, name),) for name in levels} == levels
        assert (task.config.folds, task.config.fold) == (4, 3)
    [pretraining] = of_stage(study, "pretrain")
    assert (pretraining.config.folds, pretraining.config.fold) == (4, 3)  # it keeps clear of what is held out


def test_threads_are_those_of_the_study() -> None:
    assert {task.config.threads for task in tasks_of(StudyConfig(search="grid"), 3)} == {3}


def test_a_wrong_fixed_option_is_told_with_its_file(tmp_path: Path) -> None:
    study = StudyConfig(finetune=written(tmp_path / "f.yaml", "step: 11\n"))
    with pytest.raises(UserError, match=r"f.yaml: 'step' is no option of python -m finetune; did you mean 'steps'"):
        tasks_of(study, 1)


def test_a_bound_task_has_its_encoder_and_its_rate(tmp_path: Path) -> None:
    tasks = tasks_of(StudyConfig(search="grid", decoder=("unet",), label_fraction=(1.0,), seed=(0,)), 1)
    ssl = next(task for task in tasks if task.stage == "finetune" and task.factors["init"] == "ssl")
    folders = {task.id: tmp_path / task.id for task in tasks}
    for task in tasks:
        folders[task.id].mkdir()
        if task.stage == "pretrain":
            (folders[task.id] / "encoder.safetensors").touch()
        elif task.stage == "search":
            write_json(folders[task.id] / "result.json", {"best": 0.02})
    config = completed_task(ssl, folders).config
    pretraining = next(task for task in tasks if task.stage == "pretrain")
    assert config.init == str(folders[pretraining.id] / "encoder.safetensors")
    assert config.lr == 0.02
    search = next(task for task in tasks if task.stage == "search" and task.factors["init"] == "ssl")
    assert completed_task(search, folders).config.tuning.init == config.init


def test_the_file_of_pretraining_is_read_once_a_method_however_many_runs_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    words: list[object] = []

    def counted(*arguments: object, **more: object) -> object:
        words.append(arguments)
        return parse_choice(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(compare.study.plan, "parse_choice", counted)
    tasks_of(StudyConfig(method=("simclr", "moco"), seed=tuple(range(20)), pretrainings=20, search="grid"), 1)
    assert len(words) == 2


def test_a_recipe_is_an_arm_by_the_name_of_its_file_and_stands_above_the_fixed_options(tmp_path: Path) -> None:
    fixed = written(tmp_path / "p.yaml", "epochs: 3\nlr: 0.5\nqueue_size: 512\n")
    longer = written(tmp_path / "longer.yaml", "method: moco\nepochs: 9\n")
    gentle = written(tmp_path / "gentle.yaml", "method: simclr\nlr: 0.1\n")
    study = StudyConfig(
        method=("moco", str(longer), str(gentle)), pretrain=fixed, contrast=("longer", "imagenet"),
        exclude=("method=gentle decoder=fpn",),
    )  # fmt: skip
    plain, long, soft = (task.config for task in of_stage(study, "pretrain"))
    assert [(one.method, one.epochs, one.lr) for one in (plain, long, soft)] == [
        ("moco", 3, 0.5), ("moco", 9, 0.5), ("simclr", 3, 0.1),
    ]  # fmt: skip
    assert (plain.queue_size, long.queue_size) == (512, 512)
    named = {(task.factors["method"], task.factors["decoder"]) for task in of_stage(study, "finetune")}
    assert {("longer", "fpn"), ("longer", "unet"), ("gentle", "unet")} < named
    assert ("gentle", "fpn") not in named
    assert any(", longer, " in task.name for task in of_stage(study, "finetune"))


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ("epochs: 3\n", "the recipe names no method"),
        ("method: simclr\nqueue_size: 512\n", "'queue_size' is no option of python -m pretrain"),
        ("method: simclr\ndata: elsewhere\n", "names images of its own"),
        ("method: simclear\n", "--method is one of simclr"),
    ],
)
def test_a_recipe_that_cannot_be_used_is_refused(recipe: str, sentence: str, tmp_path: Path) -> None:
    study = StudyConfig(method=(str(written(tmp_path / "own.yaml", recipe)), "moco"))
    with pytest.raises(UserError, match=sentence):
        tasks_of(study, 1)


def test_two_recipes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="--method: two of them would be called 'longer'"):
        StudyConfig(method=("a/longer.yaml", "b/longer.yaml"))


def test_a_study_logs_where_its_files_say_so_and_its_runs_stay_the_same_ones(tmp_path: Path) -> None:
    logged = written(tmp_path / "logged.yaml", "logger: [tensorboard, mlflow]\n")
    silent = tasks_of(StudyConfig(), 1)
    tasks = tasks_of(StudyConfig(pretrain=logged, finetune=logged), 1)
    assert {task.config.logger for task in tasks} == {("tensorboard", "mlflow")}
    assert [task.id for task in tasks] == [task.id for task in silent]
