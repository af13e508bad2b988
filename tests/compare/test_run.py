"""A whole small study: two inits, one decoder, two seeds, on a dozen drawn images of 32 px."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest

import compare.report
import compare.run
import finetune.run
import finetune.training
import pretrain.run
from compare.config import StudyConfig
from compare.execute import do
from compare.plan import Outcome, Task
from compare.report import Report
from compare.run import run
from dermssl import flags
from dermssl.errors import UserError
from dermssl.manifest import read_manifest
from dermssl.official import split_of
from dermssl.split_config import SplitConfig

ROOT = Path(__file__).parents[2]
ENCODER = "tu-test_efficientnet"
PRETRAIN = """init: random
image_size: 32
cache_size: 40
epochs: 1
batch_size: 4
precision: 32-true
"""
FINETUNE = """image_size: 32
cache_size: 40
steps: 3
batch_size: 4
examples: 2
val_fraction: 0.25
"""

Make = Callable[..., StudyConfig]


def one_by_one(_: None, tasks: Sequence[Task], tell: Callable[[Task, Outcome], None]) -> None:
    """Does the tasks in this process."""
    for task in tasks:
        tell(task, do(task))


def do_it_here(patch: pytest.MonkeyPatch) -> None:
    """Lets studies go without processes, whose start takes longer than the runs of this module."""
    patch.setattr(compare.run, "pool_of", lambda _: contextlib.nullcontext())
    patch.setattr(compare.run, "execute", one_by_one)


@pytest.fixture(scope="module", autouse=True)
def _small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pixels of this module alone, one thread a run, and few draws in the report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DERMSSL_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(compare.report, "DRAWS", 200)
        yield


@pytest.fixture
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    do_it_here(monkeypatch)
    monkeypatch.setattr(finetune.run, "draw_figures", lambda *_: None)  # half of a run's time
    monkeypatch.setattr(finetune.training, "show_pictures", lambda *_: {})


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve dark discs on skin with their masks."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (root / part).mkdir()
    for index in range(12):
        mask = np.zeros((48, 64), np.uint8)
        cv2.circle(mask, (int(rng.integers(20, 44)), int(rng.integers(16, 32))), int(rng.integers(6, 14)), 255, -1)
        image = rng.normal(rng.uniform(170, 230, 3), 6, (48, 64, 3))
        image[mask > 0] -= rng.uniform(60, 120, 3)
        cv2.imwrite(str(root / "images" / f"picture_{index:02d}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(root / "masks" / f"picture_{index:02d}.png"), mask)
    return root


@pytest.fixture(scope="module")
def make(photographs: Path) -> Make:
    """Studies below a folder, with two arms and two seeds where nothing else is said."""

    def made(place: Path, **more: object) -> StudyConfig:
        place.mkdir(exist_ok=True)
        (place / "pretrain.yaml").write_text(PRETRAIN)
        (place / "finetune.yaml").write_text(FINETUNE)
        small = {
            "init": ("ssl", "random"), "contrast": ("ssl", "random"), "encoder": (ENCODER,), "decoder": ("unet",),
            "label_fraction": (1.0,), "seed": (0, 1), "data": photographs, "unlabelled": photographs, "jobs": 1,
            "out": place / "studies", "runs": place / "runs", "pretrain": place / "pretrain.yaml",
            "finetune": place / "finetune.yaml",
        }  # fmt: skip
        return StudyConfig(**(small | more))

    return made


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


def plan_of(study: StudyConfig) -> pd.DataFrame:
    return pd.read_csv(study.out / study.name / "plan.csv", dtype={"hash": str}, keep_default_na=False)


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
    inits = {row.init: flags.read(Path(row.folder) / "config.yaml")["init"] for row in tuned.itertuples()}
    assert inits == {"ssl": str(Path(encoder) / "encoder.safetensors"), "random": "random"}


def test_the_scores_hold_every_held_out_image_of_every_run(finished: Finished) -> None:
    scores = pd.read_parquet(finished.folder / "scores.parquet")
    held_out = split_of(read_manifest(finished.study.data), SplitConfig(val_fraction=0.25)).val
    assert set(scores["image_id"]) == set(held_out)
    assert len(scores) == 4 * len(held_out)
    counts = scores.groupby(["init", "method", "encoder", "decoder", "label_fraction", "seed"]).size()
    assert counts.to_dict() == {
        (init, method, ENCODER, "unet", 1.0, seed): len(held_out)
        for init, method in (("ssl", "simclr"), ("random", ""))
        for seed in (0, 1)
    }


def test_the_study_ends_with_a_report_and_a_verdict(finished: Finished) -> None:
    assert finished.report.verdict in ("better", "worse", "equivalent", "undecided")
    assert finished.report.page.read_text().lstrip().lower().startswith("<!doctype html>")
    assert finished.report.markdown.read_text()
    assert {path.name for path in finished.folder.iterdir()} >= {
        "plan.csv", "scores.parquet", "study.yaml", "environment.json", "report.html", "report.md", "tables",
    }  # fmt: skip


def test_the_study_leaves_what_init_ssl_finds_alone(finished: Finished) -> None:
    [folder] = plan_of(finished.study).query("stage == 'pretrain'")["folder"]
    assert flags.read(Path(folder) / "config.yaml")["checkpoints"] is None


@pytest.mark.usefixtures("_in_this_process")
def test_a_study_done_again_trains_nothing_and_says_the_same(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, scores = times(finished.study.runs), (finished.folder / "scores.parquet").read_bytes()

    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(finetune.training, "fit", never)
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


@pytest.mark.usefixtures("_in_this_process")
def test_a_run_that_fails_is_recorded_and_the_others_go_on(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make(tmp_path, decoder=("unet", "pan"), seed=(0,))  # pan needs 128 px
    report = run(study)
    plan = plan_of(study).set_index(["stage", "init", "decoder"])
    states = plan["state"].to_dict()
    assert states == {
        ("pretrain", "ssl", ""): "done",
        ("finetune", "ssl", "unet"): "done",
        ("finetune", "random", "unet"): "done",
        ("finetune", "ssl", "pan"): "failed",
        ("finetune", "random", "pan"): "failed",
    }
    assert plan.loc[("finetune", "ssl", "pan"), "error"].endswith("under pan takes none so small; the next is 128")
    assert "failed: --image_size 32: tu-test_efficientnet under pan takes" in capsys.readouterr().out
    assert set(pd.read_parquet(study.out / study.name / "scores.parquet")["decoder"]) == {"unet"}
    assert "pan" in report.markdown.read_text()


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
    assert plan.loc[("finetune", "ssl"), "error"] == "its pretraining failed"
    assert report.verdict == "undecided"


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


def start(study: StudyConfig, place: Path) -> subprocess.Popen[bytes]:
    """The study in a process of its own, with one thread a run as here."""
    flags.write(study, place / "study.yaml")
    code = (
        "import os\n"
        "if __name__ == '__main__':\n"
        "    os.cpu_count = lambda: 1\n"
        "    from compare.config import StudyConfig\n"
        "    from compare.run import run\n"
        "    from dermssl.flags import parse\n"
        f"    run(parse(StudyConfig, 'study', ['--config', {str(place / 'study.yaml')!r}]))\n"
    )
    (place / "study.py").write_text(code)
    return subprocess.Popen([sys.executable, str(place / "study.py")], env=os.environ | {"PYTHONPATH": str(ROOT)})


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def lives(pid: int) -> bool:
    """Whether the process runs; one that ended and was fetched by nobody does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def assert_all_end(pids: list[int], seconds: float) -> None:
    until = time.monotonic() + seconds
    while any(map(lives, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    survivors = [pid for pid in pids if lives(pid)]
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    assert survivors == []


@pytest.mark.slow
@pytest.mark.usefixtures("_in_this_process")
def test_a_study_killed_in_the_middle_of_a_run_goes_on_and_leaves_no_worker(
    finished: Finished, make: Make, tmp_path: Path
) -> None:
    study = make(tmp_path)
    process = start(study, tmp_path)
    while not list(study.runs.glob("finetune/*/checkpoints/step-*")):
        assert process.poll() is None
        time.sleep(0.001)
    workers = children(process.pid)
    process.kill()
    process.wait()
    assert workers
    assert_all_end(workers, seconds=5)
    assert len(list(study.runs.glob("finetune/*/result.json"))) < 4
    run(study)
    assert_same_scores(study.out / study.name, finished.folder)


@pytest.mark.slow
def test_a_study_killed_while_workers_load_their_libraries_leaves_no_worker(make: Make, tmp_path: Path) -> None:
    process = start(make(tmp_path), tmp_path)
    while not (workers := [pid for pid in children(process.pid) if "spawn_main" in command_of(pid)]):
        assert process.poll() is None
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert_all_end(workers, seconds=60)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
