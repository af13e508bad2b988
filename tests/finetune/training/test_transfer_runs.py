"""Whole runs with the options of the transfer, on sixteen drawn images of 32 px and timm's smallest encoder."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from dermssl.data.manifest import read_manifest
from dermssl.errors import UserError
from dermssl.training.checkpoint import newest_whole
from dermssl.training.randomness import CountedRandomness
from dermssl.weights.encoder import start_from
from dermssl.weights.tensor_file import read_tensors
from finetune.options.config import FinetuneConfig
from finetune.run import run

pytestmark = pytest.mark.usefixtures("checkpoints_stay")

ENCODER = "tu-test_efficientnet"
SMALL = {
    "encoder": ENCODER, "init": "random", "image_size": 32, "cache_size": 40, "steps": 9, "batch_size": 4,
    "val_fraction": 0.25, "threads": 1, "lr": 3e-3,
}  # fmt: skip

Options = Callable[..., FinetuneConfig]


@pytest.fixture
def options(photographs: Path, tmp_path: Path, no_figures: None) -> Options:
    """A config with small defaults, writing below this test's own folder; figures, half of the time, are left out."""

    def made(**more: object) -> FinetuneConfig:
        place = {"data": photographs, "out": tmp_path / "runs", "checkpoints": tmp_path / "checkpoints"}
        return FinetuneConfig(**(SMALL | place | more))

    return made


def result_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text()))


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return dict(read_tensors(folder / "model.safetensors")[1])


def stop(config: FinetuneConfig, step: int) -> Path:
    """Begins the run and has it interrupted before that step; returns its folder."""
    original = CountedRandomness.on_train_batch_start

    def stopping(self: CountedRandomness, trainer: object, *more: object) -> None:
        if trainer.global_step == step:
            raise KeyboardInterrupt
        original(self, trainer, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountedRandomness, "on_train_batch_start", stopping)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [folder] = config.out.iterdir()
    return folder


def assert_same_end(folder: Path, other: Path) -> None:
    ours, theirs = tensors_of(folder), tensors_of(other)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert pd.read_parquet(folder / "scores.parquet").equals(pd.read_parquet(other / "scores.parquet"))
    timed = ["seconds", "images_per_second", "data_wait_share"]
    ours, theirs = (pd.read_csv(place / "metrics.csv").drop(columns=timed) for place in (folder, other))
    assert ours.equals(theirs)
    ours, theirs = result_of(folder), result_of(other)
    varying = {name for name in ours if any(cost in name for cost in ("second", "memory", "energy"))}
    assert {n: v for n, v in ours.items() if n not in varying} == {n: v for n, v in theirs.items() if n not in varying}


def test_a_frozen_run_leaves_the_encoder_as_it_was_given(options: Options) -> None:
    folder = run(options(freeze=True))
    given, found = start_from("random", ENCODER, seed=0).encoder.state_dict(), tensors_of(folder)
    assert [name for name, tensor in given.items() if not torch.equal(found[f"encoder.{name}"], tensor)] == []
    assert pd.read_csv(folder / "metrics.csv")["loss"].iloc[-1] < pd.read_csv(folder / "metrics.csv")["loss"].iloc[0]


@pytest.mark.slow
def test_a_run_with_every_option_resumes_bit_for_bit(options: Options, tmp_path: Path) -> None:
    everything = {
        "freeze": True, "thaw_after": 1, "layer_decay": 0.7, "encoder_lr": 1e-3, "ema": 0.9, "patience": 3,
        "inner_fraction": 0.2, "epochs": 3, "lr": "auto",
    }  # fmt: skip
    whole = run(options(**everything))
    assert result_of(whole)["n_train"] == 10  # twelve, but for a lesion photographed twice
    assert newest_whole(whole / "checkpoints").parent.name == "step-8"  # 3 passes over 10 images, 4 at a time
    for step in (3, 5):  # on either side of the thaw
        config = options(**everything, out=tmp_path / f"stopped-{step}")
        folder = stop(config, step)
        range_test = (folder / "tables" / "lr_range.csv").stat().st_mtime_ns
        run(options(**everything, out=config.out, resume=folder))
        assert_same_end(folder, whole)
        assert (folder / "tables" / "lr_range.csv").stat().st_mtime_ns == range_test


def test_early_stopping_never_looks_at_held_out_images_and_says_what_it_did(
    options: Options, photographs: Path
) -> None:
    folder = run(options(steps=40, patience=1, lr=0.3, warmup=0.0))  # far too high a rate to get better for long
    result, metrics = result_of(folder), pd.read_csv(folder / "metrics.csv")
    assert result["inner_iou"] == metrics["inner_iou"].max()
    assert result["stopped_at_step"] is not None
    assert result["best_step"] < result["stopped_at_step"] < 40
    assert "training ended early" in (folder / "log.txt").read_text()
    best = torch.load(newest_whole(folder / "checkpoints"), weights_only=True)["callbacks"]["EarlyStopping"]["weights"]
    assert [name for name, tensor in tensors_of(folder).items() if not torch.equal(best[name], tensor)] == []
    split = json.loads((folder / "split.json").read_text())
    assert (len(split["train"]), result["n_train"], result["n_val"]) == (12, 10, 4)
    assert len(read_manifest(photographs)) == 16


@pytest.mark.slow
def test_the_average_is_what_is_published(options: Options) -> None:
    plain, averaged = tensors_of(run(options())), tensors_of(run(options(ema=0.9)))
    assert plain.keys() == averaged.keys()
    weights = [name for name in plain if name.endswith("conv1.0.weight")]
    assert weights
    assert not any(torch.equal(plain[name], averaged[name]) for name in weights)


def test_epochs_are_passes_over_the_images_that_train(options: Options) -> None:
    folder = run(options(epochs=2))
    assert newest_whole(folder / "checkpoints").parent.name == "step-6"  # 2 passes over 12 images, 4 at a time


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (
            {"patience": 1, "label_fraction": 0.1},
            "--inner_fraction 0.1: 2 training images of one lesion",
        ),
        ({"freeze": True, "thaw_after": 3}, "--thaw_after 3: 3 passes over 12 training images are 9 steps, and train"),
    ],
)
def test_what_cannot_be_is_refused_without_a_trace(options: Options, more: dict[str, object], complaint: str) -> None:
    config = options(**more)
    with pytest.raises(UserError, match=complaint):
        run(config)
    assert not config.out.exists()
