"""The story of a study, told with runs of a second each."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
from small_study import ENCODER, Here, draw_photographs, plan_of, small_study

import compare.forecast.preflight
import compare.page.report
import compare.run
import finetune.run
import finetune.training.loop
import pretrain.run
from compare.command_line import StudyCommand
from compare.commands import report_command
from compare.execution.ledger import locked_study
from compare.page.report import Report
from compare.run import run
from compare.study.config import StudyConfig
from dermssl import flags
from dermssl.data.manifest import read_manifest
from dermssl.errors import UserError
from dermssl.runs.folder import Run, read_result
from dermssl.splits.config import SplitConfig
from dermssl.splits.official import split_of
from finetune.training.loop import TrainingMaterial

Make = Callable[..., StudyConfig]


def do_it_here(patch: pytest.MonkeyPatch) -> None:
    """Lets studies go without processes, whose start takes longer than the runs of this module, and without figures."""
    patch.setattr(compare.run, "executor_of", lambda *_: Here())
    patch.setattr(finetune.run, "draw_figures", lambda *_: None)  # half of a run's time
    patch.setattr(finetune.training.loop, "show_pictures", lambda *_: {})


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pixels of this module alone, one thread a run, and few draws in the report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMSSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(os, "sched_getaffinity", lambda _: set(range(1)))
        patch.setattr(compare.page.report, "DRAWS", 200)
        yield


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    do_it_here(monkeypatch)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_photographs(tmp_path_factory.mktemp("drawn") / "photographs")


@pytest.fixture(scope="module")
def make(photographs: Path) -> Make:
    """Studies below a folder."""
    return lambda place, **more: small_study(place, photographs, **more)


class Finished(NamedTuple):
    """A study that nothing interrupted."""

    study: StudyConfig
    folder: Path
    report: Report


@pytest.fixture(scope="module")
def finished(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    study = make(tmp_path_factory.mktemp("finished"))
    with pytest.MonkeyPatch.context() as patch:
        do_it_here(patch)
        report = run(study)
    return Finished(study, study.out / study.name, report)


def times(folder: Path) -> dict[Path, int]:
    """When each file that a training leaves was written."""
    names = {"encoder.safetensors", "model.safetensors", "scores.parquet", "result.json", "state.ckpt", "metrics.csv"}
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name in names}


def test_every_run_is_done_and_stands_where_the_plan_says(finished: Finished) -> None:
    plan = plan_of(finished.study)
    assert plan["stage"].tolist() == ["pretrain"] + ["finetune"] * 4
    assert plan["state"].tolist() == ["done"] * 5
    for row in plan.itertuples():
        assert Path(row.folder).name.endswith(row.hash)
        file = "encoder.safetensors" if row.stage == "pretrain" else "model.safetensors"
        assert (Path(row.folder) / file).exists()
    assert plan["folder"].nunique() == 5


def test_ssl_runs_start_from_the_pretrained_encoder_and_no_others(finished: Finished) -> None:
    plan = plan_of(finished.study).set_index("name")
    [encoder] = plan.loc[plan["stage"] == "pretrain", "folder"]
    tuned = plan[plan["stage"] == "finetune"]
    inits = {row.init: flags.read_options(Path(row.folder) / "config.yaml")["init"] for row in tuned.itertuples()}
    assert inits == {"ssl": str(Path(encoder) / "encoder.safetensors"), "random": "random"}


def test_the_scores_hold_every_held_out_image_of_every_run(finished: Finished) -> None:
    scores = pd.read_parquet(finished.folder / "scores.parquet")
    held_out = split_of(read_manifest(finished.study.data), SplitConfig(val_fraction=0.25)).val
    assert set(scores["image_id"]) == set(held_out)
    assert len(scores) == 4 * len(held_out)
    factors = ["init", "method", "encoder", "decoder", "loss", "lr", "image_size", "padding", "label_fraction", "seed"]
    assert scores.groupby(factors).size().to_dict() == {
        (init, method, ENCODER, "unet", "dice+bce", 3e-4, 32, "skin", 1.0, seed): len(held_out)
        for init, method in (("ssl", "simclr"), ("random", ""))
        for seed in (0, 1)
    }


def test_the_study_ends_with_a_report_and_a_verdict(finished: Finished) -> None:
    assert finished.report.verdict in ("better", "worse", "equivalent", "undecided")
    assert finished.report.page.read_text().lstrip().lower().startswith("<!doctype html>")
    assert finished.report.markdown.read_text()
    assert {path.name for path in finished.folder.iterdir()} >= {
        "plan.csv", "scores.parquet", "study.yaml", "environment.json", "history.jsonl", "report.html", "report.md",
        "tables",
    }  # fmt: skip


def test_the_study_leaves_what_init_ssl_finds_alone(finished: Finished) -> None:
    [folder] = plan_of(finished.study).query("stage == 'pretrain'")["folder"]
    assert flags.read_options(Path(folder) / "config.yaml")["checkpoints"] is None


@pytest.mark.usefixtures("_in_this_process")
def test_a_study_done_again_trains_nothing_and_says_the_same(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, scores = times(finished.study.runs), (finished.folder / "scores.parquet").read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(finetune.training.loop, "fit", never)
    monkeypatch.setattr(pretrain.run, "fit", never)
    report = run(finished.study)
    assert plan_of(finished.study)["state"].tolist() == ["done"] * 5
    assert times(finished.study.runs) == before
    assert (finished.folder / "scores.parquet").read_bytes() == scores
    assert report.sentence == finished.report.sentence


def test_workers_find_what_was_done_here(finished: Finished) -> None:
    before = times(finished.study.runs)
    run(finished.study)
    assert plan_of(finished.study)["state"].tolist() == ["done"] * 5
    assert times(finished.study.runs) == before


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_another_study_shares_the_runs_that_it_has_in_common(
    finished: Finished, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = times(finished.study.runs)
    place = finished.study.runs.parent
    run(make(place, name="other", label_fraction=(0.5, 1.0), seed=(0,)))
    assert {path: at for path, at in times(finished.study.runs).items() if path in before} == before
    done = {path.parent for path in times(finished.study.runs) if path.name == "result.json"}
    assert len(done) == 5 + 2


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_a_run_that_fails_twice_is_recorded_and_the_others_go_on(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    train, tries = finetune.run.train, []

    def burst(work: Run, given: TrainingMaterial, *rest: object) -> object:
        if given.config.decoder == "fpn":
            tries.append(work.folder)
            raise RuntimeError("loss is nan")
        return train(work, given, *rest)

    monkeypatch.setattr(finetune.run, "train", burst)
    study = make(tmp_path, decoder=("unet", "fpn"), seed=(0,))
    report = run(study)
    plan = plan_of(study).set_index(["stage", "init", "decoder"])
    assert plan["state"].to_dict() == {
        ("pretrain", "ssl", ""): "done",
        ("finetune", "ssl", "unet"): "done",
        ("finetune", "random", "unet"): "done",
        ("finetune", "ssl", "fpn"): "failed",
        ("finetune", "random", "fpn"): "failed",
    }
    assert [tries.count(folder) for folder in set(tries)] == [2, 2]
    assert plan.loc[("finetune", "ssl", "fpn"), "error"].startswith("RuntimeError: loss is nan")
    assert "failed: RuntimeError: loss is nan" in capsys.readouterr().out
    assert set(pd.read_parquet(study.folder / "scores.parquet")["decoder"]) == {"unet"}
    assert "loss is nan" in report.markdown.read_text()


@pytest.mark.usefixtures("_in_this_process")
def test_what_needs_a_failed_pretraining_fails_with_it_and_the_rest_goes_on(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object, **__: object) -> None:
        raise RuntimeError("loss is nan")

    monkeypatch.setattr(pretrain.run, "fit", burst)
    study = make(tmp_path, seed=(0,))
    report = run(study)
    plan = plan_of(study).set_index(["stage", "init"])
    assert plan["state"].to_dict() == {
        ("pretrain", "ssl"): "failed", ("finetune", "ssl"): "failed", ("finetune", "random"): "done",
    }  # fmt: skip
    assert plan.loc[("pretrain", "ssl"), "error"].startswith("RuntimeError: loss is nan")
    assert plan.loc[("finetune", "ssl"), "error"].startswith("its pretraining failed")
    assert report.verdict == "undecided"


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_an_interrupted_study_goes_on_where_it_was(
    finished: Finished, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = make(tmp_path)
    score = finetune.run.score

    def interrupted(*arguments: object) -> pd.DataFrame:
        if len(list(study.runs.glob("finetune/*/result.json"))) == 2:
            raise KeyboardInterrupt
        return score(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.run, "score", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(study)
    assert plan_of(study)["state"].tolist() == ["done"] * 3 + ["planned"] * 2
    before = {path: at for path, at in times(study.runs).items() if (path.parent / "result.json").exists()}
    assert len(before) > 8
    run(study)
    assert {path: at for path, at in times(study.runs).items() if path in before} == before
    assert_same_scores(study.out / study.name, finished.folder)


def assert_same_scores(folder: Path, other: Path) -> None:
    ours, theirs = (pd.read_parquet(place / "scores.parquet") for place in (folder, other))
    assert ours.equals(theirs)


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_a_run_that_was_changed_by_hand_stops_the_study_unless_it_is_trusted(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = {"arms": "loss", "loss": ("dice", "bce"), "contrast": ("dice", "bce")}
    study = make(tmp_path, init=("random",), seed=(0,), **arms)
    run(study)
    [folder, _] = plan_of(study)["folder"]
    scores = pd.read_parquet(Path(folder) / "scores.parquet")
    scores.assign(jaccard=1.0).to_parquet(Path(folder) / "scores.parquet")
    with pytest.raises(UserError, match=r"scores\.parquet.*--trust"):
        run(study)
    run(replace(study, trust=True))
    gathered = pd.read_parquet(study.folder / "scores.parquet")
    assert set(gathered.loc[gathered["run"] == Path(folder).name, "jaccard"]) == {1.0}
    events = [json.loads(line) for line in (study.folder / "history.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events].count("trusted") == 1


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_the_rate_is_searched_for_on_inner_images_and_used(make: Make, tmp_path: Path) -> None:
    rates = (1e-4, 3e-2)
    study = make(tmp_path, seed=(0,), search="grid", search_lr=rates, search_seeds=(5,))
    run(study)
    plan = plan_of(study)
    assert plan["stage"].value_counts().to_dict() == {"pretrain": 1, "search": 2, "finetune": 2}
    assert set(plan["state"]) == {"done"}
    best = {}
    for row in plan[plan["stage"] == "search"].itertuples():
        result = read_result(Path(row.folder)) or {}
        trials = {trial["lr"]: trial["jaccard"] for trial in result["trials"]}
        assert set(trials) == set(rates)
        best[row.init] = max(rates, key=lambda rate, trials=trials: trials[rate])
        assert {(read_result(Path(trial["folder"])) or {})["scored"] for trial in result["trials"]} == {"inner"}
    scores = pd.read_parquet(study.folder / "scores.parquet")
    assert scores.groupby("init")["lr"].unique().map(list).to_dict() == {init: [rate] for init, rate in best.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_folds_score_every_image_once_a_seed(make: Make, tmp_path: Path, photographs: Path) -> None:
    study = make(tmp_path, init=("random",), arms="loss", loss=("dice", "bce"), contrast=("dice", "bce"), folds=2)
    run(study)
    scores = pd.read_parquet(study.folder / "scores.parquet")
    images = set(read_manifest(photographs).table["image_id"])
    for _, part in scores.groupby(["loss", "seed"]):
        assert sorted(part["image_id"]) == sorted(images)
    contrasts = pd.read_csv(study.folder / "tables" / "contrasts.csv")
    assert contrasts.loc[0, ["a", "b", "images", "seeds"]].tolist() == ["dice", "bce", 12, 2]


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_a_spent_budget_leaves_runs_for_the_next_call_and_seeds_balanced(make: Make, tmp_path: Path) -> None:
    study = make(tmp_path, seed=(0,))
    report = run(replace(study, budget=1e-9))
    assert set(plan_of(study)["state"]) == {"planned"}
    assert report.verdict == "undecided"
    run(study)
    assert set(plan_of(study)["state"]) == {"done"}


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_a_study_that_grows_keeps_its_runs_and_says_so(make: Make, tmp_path: Path) -> None:
    study = make(tmp_path, seed=(0,))
    run(study)
    before = times(study.runs)
    run(replace(study, seed=(0, 1)))
    assert {path: at for path, at in times(study.runs).items() if path in before} == before
    assert len(plan_of(study)) == 5
    said = (study.folder / "history.jsonl").read_text()
    assert "seed from [0] to [0, 1]" in said


@pytest.mark.usefixtures("_in_this_process")
def test_a_second_command_on_a_study_that_runs_is_refused(make: Make, tmp_path: Path) -> None:
    study = make(tmp_path, seed=(0,))
    with locked_study(study.folder), pytest.raises(UserError, match="another command runs this study"):
        run(study)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"decoder": ("unet", "pan")}, "--image_size 32: tu-test_efficientnet under pan takes no image so small"),
        ({"init": ("random", "there.safetensors"), "contrast": ("random", "there")}, "there.safetensors: no such file"),
        ({"augmentation": ("none", "absent.yaml")}, "absent.yaml"),
        (
            {"unlabelled": Path("nowhere")},
            "--unlabelled nowhere: no such folder or list; give a folder of images or a CSV",
        ),
        (
            {"init": ("ssl", "random"), "method": ("simclr", "swav"), "contrast": ("swav", "simclr")},
            "swav: --queue_size 3840: ",
        ),
    ],
)
@pytest.mark.usefixtures("_in_this_process")
def test_what_would_stop_a_run_stops_the_study_before_the_first(
    make: Make, tmp_path: Path, more: dict[str, object], told: str
) -> None:
    study = make(tmp_path, **more)
    with pytest.raises(UserError, match=re.escape(told)):
        run(study)
    assert not study.runs.exists()
    assert not study.out.exists()


@pytest.mark.usefixtures("_in_this_process")
def test_a_fold_without_lesions_is_told(make: Make, tmp_path: Path) -> None:
    data = draw_photographs(tmp_path / "data")
    for mask in sorted((data / "masks").iterdir())[1:]:
        cv2.imwrite(str(mask), np.zeros((48, 64), np.uint8))
    study = make(tmp_path / "place", data=data, unlabelled=data, folds=3)
    with pytest.raises(UserError, match="of 3 holds out 4 images and none of them shows a lesion") as told:
        run(study)
    assert len(str(told.value).splitlines()) == 3  # two folds hold out none, and a third trains on none


@pytest.mark.usefixtures("_in_this_process")
def test_broken_images_are_told_before_the_first_run(make: Make, photographs: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for picture in sorted((photographs / "images").iterdir())[:3]:
        (data / "images" / picture.name).write_bytes(picture.read_bytes())
    study = make(tmp_path / "place", data=data)
    with pytest.raises(UserError, match="3 images without a mask"):
        run(study)
    assert not study.runs.exists()
    assert not study.out.exists()


@pytest.mark.usefixtures("_in_this_process")
def test_a_report_is_made_of_what_is_there_without_weights_that_only_a_run_needs(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise UserError("no weights for it, and no network")

    monkeypatch.setattr(compare.forecast.preflight, "start_from", away)
    (finished.folder / "report.html").unlink()
    report_command(StudyCommand("report", finished.study))
    assert (finished.folder / "report.html").is_file()
