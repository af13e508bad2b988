"""Fine-tuning from beginning to end, on sixteen drawn images of 32 px and timm's smallest encoder."""

import hashlib
import json
import os
import platform
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import finetune.run
import finetune.training.loop
from dermssl.data.manifest import read_manifest
from dermssl.data.masks import read_lesion
from dermssl.data.pixel_cache import cached_images, cached_masks
from dermssl.errors import UserError
from dermssl.runs.seal import broken, hashes
from dermssl.scores.counts import count
from dermssl.signals import Stopped, listening
from dermssl.splits.config import SplitConfig
from dermssl.splits.official import split_of
from dermssl.training.checkpoint import newest_whole, position
from dermssl.training.randomness import CountedRandomness
from dermssl.weights.encoder import start_from
from dermssl.weights.encoder_file import write_encoder_file
from dermssl.weights.tensor_file import read_tensors
from finetune.augmentation.augmented_images import AugmentedImages
from finetune.network.model_file import read_model
from finetune.options.config import FinetuneConfig
from finetune.run import run
from finetune.scoring.inference import Cut, Predictor, TorchSegmenter

pytestmark = pytest.mark.usefixtures("checkpoints_stay")

ENCODER = "tu-test_efficientnet"
PER_EPOCH, STEPS = 3, 7  # the third epoch is cut short after a step
SMALL = {
    "encoder": ENCODER, "init": "random", "image_size": 32, "cache_size": 40, "steps": STEPS, "batch_size": 4,
    "val_fraction": 0.25, "threads": 1, "lr": 3e-3, "threshold": 0.3,
}  # fmt: skip

Options = Callable[..., FinetuneConfig]


class Finished(NamedTuple):
    """A run that nothing interrupted, and the batches that it saw: a hash by step."""

    config: FinetuneConfig
    folder: Path
    batches: dict[int, str]


@pytest.fixture
def options(photographs: Path, tmp_path: Path, no_figures: None) -> Options:
    """A config with small defaults, writing below this test's own folder; figures, half of the time, are left out."""

    def made(**more: object) -> FinetuneConfig:
        place = {"data": photographs, "out": tmp_path / "runs", "checkpoints": tmp_path / "checkpoints"}
        return FinetuneConfig(**(SMALL | place | more))

    return made


@pytest.fixture(scope="module")
def finished(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    config = FinetuneConfig(data=photographs, out=tmp_path_factory.mktemp("finished"), **SMALL)
    with pytest.MonkeyPatch.context() as patch:
        batches = note_batches(patch)
        folder = run(config)
    return Finished(config, folder, batches)


def note_batches(patch: pytest.MonkeyPatch, stop_before: int | None = None) -> dict[int, str]:
    """Writes down every batch of the coming training; Ctrl-C comes before step `stop_before`."""
    seen: dict[int, str] = {}
    original = CountedRandomness.on_train_batch_start

    def noted(self: CountedRandomness, trainer: object, module: object, batch: list[Tensor], batch_idx: int) -> None:
        if trainer.global_step == stop_before:
            raise KeyboardInterrupt
        seen[trainer.global_step] = hashlib.sha256(b"".join(part.numpy().tobytes() for part in batch)).hexdigest()
        original(self, trainer, module, batch, batch_idx)

    patch.setattr(CountedRandomness, "on_train_batch_start", noted)
    return seen


def stop(config: FinetuneConfig, step: int) -> Path:
    """Begins the run and has it interrupted before that step; returns its folder."""
    with pytest.MonkeyPatch.context() as patch:
        note_batches(patch, stop_before=step)
        with pytest.raises(KeyboardInterrupt):
            run(config)
    [folder] = config.out.iterdir()
    return folder


def result_of(folder: Path) -> dict[str, object]:
    return dict(json.loads((folder / "result.json").read_text()))


def split_file(folder: Path) -> dict[str, list[str]]:
    return dict(json.loads((folder / "split.json").read_text()))


def assert_same_end(folder: Path, other: Path) -> None:
    ours, theirs = (
        torch.load(newest_whole(place / "checkpoints"), weights_only=True)["state_dict"] for place in (folder, other)
    )
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    ours, theirs = (read_tensors(place / "model.safetensors")[1] for place in (folder, other))
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    assert pd.read_parquet(folder / "scores.parquet").equals(pd.read_parquet(other / "scores.parquet"))


def test_every_held_out_image_is_scored_at_its_native_size(finished: Finished) -> None:
    scores = pd.read_parquet(finished.folder / "scores.parquet").set_index("image_id")
    manifest = read_manifest(finished.config.data)
    known = manifest.table.set_index("image_id")
    assert sorted(scores.index) == sorted(split_of(manifest, SplitConfig(val_fraction=0.25)).val)
    assert (scores[["tp", "fp", "fn", "tn"]].sum(axis=1) == scores["width"] * scores["height"]).all()
    assert scores[["width", "height", "lesion_id"]].equals(known.loc[scores.index, ["width", "height", "lesion_id"]])
    lesion = (scores["tp"] + scores["fn"]) / (scores["width"] * scores["height"])
    assert lesion.tolist() == pytest.approx(known.loc[scores.index, "mask_area"].tolist())
    assert scores["height"].nunique() > 1


def test_the_result_sums_the_scores_up(finished: Finished) -> None:
    result, scores = result_of(finished.folder), pd.read_parquet(finished.folder / "scores.parquet")
    assert result["jaccard"] == pytest.approx(scores["jaccard"].mean())
    assert result["failure_rate"] == pytest.approx((scores["jaccard"] < 0.65).mean())
    assert (result["n_train"], result["n_val"], result["init"]) == (12, 4, "random")
    start = start_from("random", ENCODER, seed=0)
    assert result["encoder_sha256"] == start.sha256
    assert result["tensors_compared"] == len(start.encoder.state_dict())
    assert result["encoder_share_used"] == 1.0


def test_the_model_file_predicts_what_was_scored(finished: Finished) -> None:
    scores = pd.read_parquet(finished.folder / "scores.parquet")
    val = read_manifest(finished.config.data).take(scores["image_id"].tolist())
    model, card = read_model(finished.folder)
    predictor = Predictor(TorchSegmenter(model, card.normalise), card.fitted, batch_size=3)
    assert card.cut == Cut(0.3)
    sizes = list(zip(val.table["height"], val.table["width"], strict=True))
    pixels = cached_images(val, finished.config.cache_size)
    for index, probability in predictor.probabilities(lambda i: np.asarray(pixels[i]), sizes):
        found = vars(count(read_lesion(val.paths("mask_path")[index]), card.cut(probability)))
        assert found == scores.loc[index, ["tp", "fp", "fn", "tn"]].to_dict()
    assert (scores["tp"] + scores["fp"]).sum() > 0  # something was called lesion


def test_training_moved_every_weight(finished: Finished) -> None:
    start, (_, trained) = start_from("random", ENCODER, seed=0), read_tensors(finished.folder / "model.safetensors")
    before = {f"encoder.{name}": tensor for name, tensor in start.encoder.state_dict().items()}
    weights = [name for name in before if name.endswith("weight")]
    assert [name for name in weights if torch.equal(before[name], trained[name])] == []
    metrics = pd.read_csv(finished.folder / "metrics.csv")
    assert metrics["epoch"].tolist() == [0, 1, 2]
    assert np.isfinite(metrics["loss"]).all()
    assert metrics["loss"].iloc[1] < metrics["loss"].iloc[0]


def test_no_batch_is_seen_twice(finished: Finished) -> None:
    assert list(finished.batches) == list(range(STEPS))
    assert len(set(finished.batches.values())) == STEPS


def test_a_mean_is_over_the_steps_that_an_epoch_had(finished: Finished) -> None:
    loss = pd.read_csv(finished.folder / "metrics.csv")["loss"]
    assert loss.iloc[2] > 0.5 * loss.iloc[1]  # of one step; divided by an epoch's three it would be a third


def test_the_figures_open(finished: Finished) -> None:
    drawn = sorted((finished.folder / "figures").iterdir())
    names = ["augmentation", "calibration", "iou_histogram", "learning_curves", "predictions"]
    assert [path.stem for path in drawn] == names
    for path in drawn:
        with Image.open(path) as figure:
            figure.load()
            assert min(figure.size) > 300


def test_masks_are_kept_as_they_were_scored(finished: Finished) -> None:
    scores = pd.read_parquet(finished.folder / "scores.parquet")
    kept = pd.read_parquet(finished.folder / "masks.parquet")
    assert kept["image_id"].tolist() == scores["image_id"].tolist()
    for row, one in zip(scores.itertuples(), kept.itertuples(), strict=True):
        truth, prediction = (
            cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED) for png in (one.truth, one.prediction)
        )
        assert truth.shape == prediction.shape == (row.height, row.width)
        assert {*np.unique(truth), *np.unique(prediction)} <= {0, 255}
        assert (np.count_nonzero(truth), np.count_nonzero(prediction)) == (row.tp + row.fn, row.tp + row.fp)


def test_the_split_file_says_who_trained_and_who_was_held_out(finished: Finished) -> None:
    split = split_file(finished.folder)
    lesions = read_manifest(finished.config.data).table.set_index("image_id")["lesion_id"]
    assert len(split["train"]) == 12
    assert len(split["val"]) == 4
    assert not set(lesions[split["train"]]) & set(lesions[split["val"]])
    assert split["label_fractions"] == {"0.01": 1, "0.02": 1, "0.05": 1, "0.1": 2, "0.25": 3, "0.5": 6, "1.0": 12}
    assert split["hash"] == result_of(finished.folder)["split"]


def test_resumed_training_equals_unbroken_training(
    finished: Finished, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stop(options(), step=PER_EPOCH + 1)  # in the middle of the second epoch
    assert folder.name == finished.folder.name
    batches = note_batches(monkeypatch)
    run(options(resume=folder))
    assert batches == {step: batch for step, batch in finished.batches.items() if step >= PER_EPOCH}
    assert_same_end(folder, finished.folder)
    ours, unbroken = (
        pd.read_csv(place / "metrics.csv")[["epoch", "loss", "lr"]] for place in (folder, finished.folder)
    )
    assert ours.equals(unbroken)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"step-6", "step-7"}


@pytest.mark.parametrize("chapter", ["write_model", "write_table", "draw_figures"])
def test_a_run_stopped_after_training_ends_as_if_it_had_not_been(
    finished: Finished, options: Options, chapter: str
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune.run, chapter, killed)
        with pytest.raises(KeyboardInterrupt):
            run(options())
    folder = run(options(), standing_is_fine=True)
    assert_same_end(folder, finished.folder)
    assert (folder / "masks.parquet").read_bytes() == (finished.folder / "masks.parquet").read_bytes()
    assert pd.read_csv(folder / "metrics.csv")["epoch"].tolist() == [0, 1, 2]


def test_a_run_that_stands_is_refused_or_returned(finished: Finished) -> None:
    written = {path: path.stat().st_mtime_ns for path in finished.folder.rglob("*") if path.name != ".lock"}
    with pytest.raises(UserError, match="a run with these very options is there already, its results are there"):
        run(finished.config)
    assert run(finished.config, standing_is_fine=True) == finished.folder
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_arms_see_the_same_batches(
    finished: Finished, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = start_from("random", ENCODER, seed=9)
    path = tmp_path / "encoder.safetensors"
    write_encoder_file(path, other.encoder.state_dict(), other.card)
    batches = note_batches(monkeypatch)
    folder = run(options(init=str(path), decoder="fpn"))
    assert folder.name != finished.folder.name
    assert batches == finished.batches
    assert result_of(folder)["encoder_sha256"] == other.sha256


def test_another_seed_sees_other_batches_and_is_scored_on_the_same_images(
    finished: Finished, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = note_batches(monkeypatch)
    folder = run(options(seed=1))
    assert not set(batches.values()) & set(finished.batches.values())
    assert split_file(folder) == split_file(finished.folder)
    ours, theirs = (read_tensors(place / "model.safetensors")[1] for place in (folder, finished.folder))
    assert not torch.equal(ours["segmentation_head.0.weight"], theirs["segmentation_head.0.weight"])


def test_fewer_labels_are_the_same_steps_on_the_head_of_the_training_images(
    finished: Finished, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[AugmentedImages] = []
    load = finetune.training.loop.augmented_loader
    noting = lambda pictures, *more: (taken.append(pictures), load(pictures, *more))[1]  # noqa: E731
    monkeypatch.setattr(finetune.training.loop, "augmented_loader", noting)
    folder = run(options(label_fraction=0.25))
    whole = split_file(finished.folder)
    head = cached_masks(read_manifest(finished.config.data).take(whole["train"][:3]), finished.config.cache_size)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(taken[0].masks, head, strict=True))
    result = result_of(folder)
    assert (result["n_train"], result["n_val"]) == (3, 4)
    ours, theirs = (pd.read_parquet(f / "scores.parquet") for f in (folder, finished.folder))
    assert ours["image_id"].tolist() == theirs["image_id"].tolist()
    assert newest_whole(folder / "checkpoints").parent.name == f"step-{STEPS}"
    assert result_of(folder)["n_train"] == split_file(folder)["label_fractions"]["0.25"] == 3


def test_a_limit_moves_no_held_out_image_into_training(finished: Finished, options: Options) -> None:
    whole, limited = split_file(finished.folder), split_file(run(options(limit=8, steps=2)))
    assert (len(limited["train"]), len(limited["val"])) == (6, 2)
    assert set(limited["train"]) < set(whole["train"])
    assert set(limited["val"]) < set(whole["val"])  # pretraining leaves these out, and no others


def test_bf16_trains_and_scores(options: Options) -> None:
    folder = run(options(precision="bf16-mixed", steps=3))
    assert np.isfinite(pd.read_csv(folder / "metrics.csv")["loss"]).all()
    assert len(pd.read_parquet(folder / "scores.parquet")) == 4


def test_init_ssl_takes_the_file_that_pretraining_left(options: Options) -> None:
    config = options(init="ssl", steps=2)
    with pytest.raises(UserError, match=f"run `python -m pretrain --method simclr --encoder {ENCODER}` first"):
        run(config)
    assert not config.out.exists()
    start = start_from("random", ENCODER, seed=5)
    card = type(start.card)(**(vars(start.card) | {"method": "simclr"}))
    write_encoder_file(config.checkpoints / "simclr" / "encoder.safetensors", start.encoder.state_dict(), card)
    folder = run(config)
    assert folder.name.startswith("unet-ssl-")
    assert result_of(folder)["encoder_sha256"] == start.sha256


def test_what_does_not_fit_is_refused_without_a_trace(options: Options) -> None:
    config = options(decoder="pan")
    with pytest.raises(UserError, match=r"--image_size 32: .* under pan takes no image so small; the next size is 128"):
        run(config)
    assert not list(config.out.iterdir())


def test_the_threshold_is_found_on_training_images_and_kept_with_the_network(
    finished: Finished, options: Options
) -> None:
    folder = run(options(threshold_search=True, inner_fraction=0.3, steps=3))
    result, curve = result_of(folder), pd.read_csv(folder / "tables" / "threshold.csv")
    assert result["n_train"] + result["n_inner"] == 12
    assert result["n_inner"] == curve["images"][0] > 0
    assert curve["jaccard"][(curve["threshold"] - result["threshold"]).abs().argmin()] == curve["jaccard"].max()
    assert read_model(folder)[1].threshold == result["threshold"]
    assert split_file(folder) == split_file(finished.folder)  # held-out images have no part in it


def test_an_augmentation_of_ones_own_is_known_by_what_it_says(options: Options, tmp_path: Path) -> None:
    for name, entry in (("a", "HorizontalFlip"), ("b", "HorizontalFlip"), ("c", "VerticalFlip")):
        (tmp_path / f"{name}.yaml").write_text(f"- {entry}: {{p: 0.5}}\n")
    one, other = (run(options(augmentation=str(tmp_path / name), steps=2)) for name in ("a.yaml", "c.yaml"))
    assert one != other
    with pytest.raises(UserError, match="a run with these very options is there already"):
        run(options(augmentation=str(tmp_path / "b.yaml"), steps=2))


def test_a_finished_run_is_sealed(finished: Finished) -> None:
    assert broken(finished.folder) == []
    tables = {"tables/calibration.csv", "tables/invented_lesions.json"}
    names = {
        "model.safetensors",
        "scores.parquet",
        "masks.parquet",
        "metrics.csv",
        "split.json",
        "config.yaml",
        "environment.json",
        "identity.json",
        "report.html",
    }
    assert set(hashes(finished.folder)) == names | tables


def test_what_a_run_has_cost_stands_in_its_result(finished: Finished) -> None:
    result, rows = result_of(finished.folder), pd.read_csv(finished.folder / "metrics.csv")
    assert 100 < float(str(result["memory_mb"])) < 20_000
    assert float(str(result["seconds"])) > rows["seconds"].sum()
    assert result["images_per_second"] == pytest.approx(rows["images_per_second"].median())
    assert result["host"] == platform.node()


@pytest.mark.slow
def test_a_resumed_run_keeps_the_sheet_and_the_count_of_its_first_attempt(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetune.run, "draw_figures", lambda *_: None)
    config = FinetuneConfig(data=photographs, out=tmp_path, **(SMALL | {"padding": "reflect"}))
    folder = stop(config, step=PER_EPOCH + 1)
    sheet, log = folder / "figures" / "augmentation.png", (folder / "log.txt").read_text()
    drawn = sheet.stat().st_mtime_ns
    monkeypatch.setattr(finetune.training.loop, "count_invented", lambda _: pytest.fail("counted again"))
    run(config, standing_is_fine=True)
    assert sheet.stat().st_mtime_ns == drawn
    [warning] = {line for line in (folder / "log.txt").read_text().splitlines() if "mirrors part of a lesion" in line}
    assert warning in log
    assert result_of(folder)["invented_lesions"]["draws"] == 256
    assert result_of(folder)["invented_lesions"]["pictures"] > 0


def test_a_size_that_does_not_divide_is_refused_with_the_next_that_do(options: Options) -> None:
    config = options(image_size=100)
    with pytest.raises(UserError, match="takes multiples of 32; the next are 96 and 128"):
        run(config)
    assert not list(config.out.iterdir())


def test_a_mistake_in_an_augmentation_is_told_before_anything_is_decoded(options: Options, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("- HorizontalFlop: {p: 0.5}\n")
    config = options(augmentation=str(tmp_path / "mine.yaml"))
    with pytest.raises(UserError, match="did you mean 'HorizontalFlip'"):
        run(config)
    assert not config.out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 4, 5])
def test_a_signal_in_the_middle_of_an_epoch_ends_in_the_same_network(
    step: int, finished: Finished, tmp_path: Path
) -> None:
    config = replace(finished.config, out=tmp_path / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CountedRandomness, "on_train_batch_end", lambda _, trainer, *__: asked_at(step, trainer))
        with listening("python -m finetune"), pytest.raises(Stopped):
            run(config)
    [folder] = config.out.iterdir()
    assert position(newest_whole(folder / "checkpoints")) == step
    run(replace(config, resume=folder))
    ended, unbroken = (load_file(place / "model.safetensors") for place in (folder, finished.folder))
    assert {name for name, tensor in unbroken.items() if not torch.equal(tensor, ended[name])} == set()


def asked_at(step: int, trainer: object) -> None:
    if trainer.global_step == step:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_a_logger_has_rows_and_figures_and_changes_nothing(finished: Finished, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = run(replace(finished.config, out=tmp_path, logger=("tensorboard",)))
    assert_same_end(finished.folder, folder)
    tags = EventAccumulator(str(folder / "tensorboard")).Reload().Tags()
    assert set(tags["scalars"]) == set(pd.read_csv(folder / "metrics.csv"))
    assert set(tags["images"]) == {f"figures/{path.stem}" for path in (folder / "figures").iterdir()}
    assert {"figures/augmentation", "figures/predictions"} <= set(tags["images"])
    assert broken(folder) == []
