"""Short runs that tell what long ones take."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from compare.estimates import short_runs
from compare.estimates.short_runs import rates_of_stopped_run, short_configs, time_short_runs, use_own_cache
from compare.estimates.work import Workload
from compare.study.config import StudyConfig
from compare.study.plan import tasks_of
from dermssl.data.kept import kept_folder, temporary_folder
from dermssl.parts import machine
from finetune.options.config import FinetuneConfig
from pretrain.recipes import MoCoConfig

approx = pytest.approx


@pytest.fixture
def images(workplace: Path, draw_isic: Callable[..., Path]) -> Workload:
    study = StudyConfig(data=draw_isic(workplace / "data", 40), unlabelled=workplace / "data", out=workplace / "out")
    return Workload(study)


def test_a_short_fine_tuning_keeps_what_a_step_costs_and_leaves_out_what_waits(images: Workload) -> None:
    config = FinetuneConfig(steps=5000, batch_size=8, image_size=64, lr="auto", patience=3, threshold_search=True,
                            label_fraction=0.05)  # fmt: skip
    [short] = short_configs(config, images)
    assert (short.steps, short.batch_size, short.image_size) == (10, 8, 64)
    assert (short.lr, short.patience, short.threshold_search, short.init) == (3e-4, 0, False, "random")
    held_out = len(images.split(config, short.limit).val)
    assert held_out == 8


def test_a_short_pretraining_has_steps_of_the_true_batch_and_a_queue_that_fits(images: Workload) -> None:
    [short] = short_configs(MoCoConfig(batch_size=16, queue_size=4096, encoder="tu-test_efficientnet"), images)
    assert (short.limit, short.batch_size, short.queue_size, short.epochs) == (16, 16, 16, 7)
    assert short.checkpoints is None
    assert short.init == "random"


def test_what_a_short_run_keeps_of_the_pictures_lies_apart_and_it_uses_what_is_kept(
    images: Workload, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = images.labelled.root
    monkeypatch.setenv("DERMSSL_CACHE", str(workplace / "true"))
    kept = kept_folder(root)
    kept.mkdir(parents=True)
    (kept / "manifest.parquet").write_text("as it was")
    use_own_cache(workplace / "apart", [root])
    own = kept_folder(root)
    assert own.is_relative_to(workplace / "apart")
    assert (own / "manifest.parquet").read_text() == "as it was"
    (own / "images-64").mkdir()
    assert [path.name for path in kept.iterdir()] == ["manifest.parquet"]


def test_a_run_that_was_stopped_tells_its_steps(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "unet-random-1"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    began = (folder / "config.yaml").stat().st_mtime - 7
    pd.DataFrame({"seconds": [9.0, 4.0], "images_per_second": [1.0, 4.0]}).to_csv(folder / "metrics.csv")
    rates = rates_of_stopped_run(tmp_path, FinetuneConfig(batch_size=16), began)
    assert rates is not None
    assert rates[:2] == approx((7, 4))
    assert rates_of_stopped_run(tmp_path / "nothing", FinetuneConfig(), began) is None


@pytest.mark.slow
def test_a_true_short_run_tells_everything_and_leaves_nothing_behind(images: Workload, workplace: Path) -> None:
    (workplace / "f.yaml").write_text("steps: 9000\nbatch_size: 4\nimage_size: 32\ncache_size: 40\n")
    study = StudyConfig(
        data=images.labelled.root, finetune=Path("f.yaml"), encoder=("tu-test_efficientnet",), decoder=("unet",),
        init=("random", "imagenet"), contrast=("random", "imagenet"),
    )  # fmt: skip
    task = tasks_of(study, 1)[0]
    images.amount(task)  # draws the split, which a plan does before it times anything
    before = sorted(kept_folder(images.labelled.root).iterdir())
    rates = time_short_runs("finetune", task.config, images)
    assert rates is not None
    assert rates.step > 0
    assert rates.picture > 0
    assert rates.fixed > 0
    assert rates.disk_mb > 0
    assert rates.memory_mb is not None
    assert rates.memory_mb > 100
    assert sorted(kept_folder(images.labelled.root).iterdir()) == before
    assert not Path("runs").exists()


def test_a_short_run_that_was_killed_leaves_nothing_for_longer_than_until_the_next(
    images: Workload, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(workplace))
    monkeypatch.setattr(short_runs, "do_short_runs", print)  # in the place of hours
    left = temporary_folder() / f".part-{2**30}-{machine()}-timed-abc"
    left.mkdir()
    assert time_short_runs("finetune", FinetuneConfig(), images, limit=0) is None
    assert list(temporary_folder().iterdir()) == []
