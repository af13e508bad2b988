"""Failures are planted in trainings of a few steps, and each must be called by its name; healthy ones by none."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from dermssl.data.manifest import Manifest
from dermssl.data.pixel_cache import PixelCache
from dermssl.errors import UserError
from dermssl.training.checkpoint import Checkpoints, newest_whole
from dermssl.training.device import channels_last
from dermssl.training.randomness import CountedRandomness, Order
from dermssl.training.trainer import Progress, fit
from dermssl.weights.encoder import Start
from dermssl.weights.encoder_file import EncoderCard
from pretrain.config import PretrainConfig
from pretrain.doctor.callback import Doctor
from pretrain.doctor.looks import Look, Rows
from pretrain.known_methods import METHODS, recipe_of
from pretrain.methods.method import Method
from pretrain.run import remedies_of_divergence
from pretrain.views.batch import Batch

IMAGES = 32
BRISK: dict[str, object] = {"optimiser": "adamw", "lr": 2e-3, "lr_scaling": "none", "batch_size": 8, "image_size": 32}

LARGER: dict[str, dict[str, object]] = {"spark": {"image_size": 64}}  # which hides a part of 2 x 2 patches

Builds = Callable[..., Method]
Trains = Callable[..., "Course"]


@dataclass(frozen=True)
class Album(Dataset[tuple[int, int]]):
    """Smooth pictures, of which each view shows most, a little turned; every view is a function of its counters."""

    config: PretrainConfig
    same: bool = False
    constant: bool = False

    def draw(self, rows: Rows, epoch: int = 99) -> Batch:
        """Views of these pictures."""
        pictures = torch.rand(IMAGES, 3, 7, 7, generator=torch.Generator().manual_seed(0))[rows] * 255
        pictures = pictures.mean(dim=(2, 3), keepdim=True).expand(pictures.shape) if self.constant else pictures
        local = getattr(self.config, "local_crops", 0)
        maps = torch.stack([self.map(epoch, int(row), view) for view in range(2 + local) for row in rows])
        count, size = 2 * len(rows), self.config.image_size
        views = cut(pictures.repeat(2, 1, 1, 1), maps[:count], size)
        small = cut(pictures.repeat(local, 1, 1, 1), maps[count:], self.config.local_size) if local else views[:0]  # type: ignore[attr-defined]
        return Batch(views, small, maps, torch.from_numpy(rows))

    def map(self, epoch: int, image: int, view: int) -> Tensor:
        """A turned crop of at least half of the side, (2, 3)."""
        rng = np.random.default_rng([epoch, image, 0 if self.same else view])
        side, turn = rng.uniform(0.5, 0.7), rng.uniform(-0.3, 0.3)
        turned = side * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        return torch.from_numpy(np.concatenate([turned, rng.uniform(-0.05, 0.05, (2, 1))], axis=1)).float()

    def together(self, turns: list[tuple[int, int]]) -> Batch:
        """The batch of these images."""
        return self.draw(np.array([image for _, image in turns]), turns[0][0])

    def __getitem__(self, turn: tuple[int, int]) -> tuple[int, int]:
        return turn

    def __len__(self) -> int:
        return IMAGES


def cut(pictures: Tensor, maps: Tensor, side: int) -> Tensor:
    grid = F.affine_grid(maps, [len(maps), 3, side, side], align_corners=False)
    crops = F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    return crops.byte().contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Course:
    """What a training left behind."""

    rows: pd.DataFrame
    said: list[str]
    folder: Path

    @property
    def names(self) -> set[str]:
        """The diagnoses."""
        return {line.split(": ")[1] for line in self.said if line.count(": ") > 1}


@pytest.fixture
def train(tmp_path: Path) -> Trains:
    """Trains a method for some epochs of four steps, with the doctor at its side."""

    def trained(method: Method, *, epochs: int = 2, beside: Callback | None = None, **album: bool) -> Course:
        channels_last(method)  # as every run does
        config = method.recipe
        views = Album(config, **album)
        loader = DataLoader(
            views, config.batch_size, sampler=Order(IMAGES, 0), drop_last=True, collate_fn=views.together
        )
        said: list[str] = []
        progress = Progress(tmp_path / "metrics.csv", config.batch_size, [].append)
        doctor = Doctor(config, progress, said.append, look_at(method, views))
        try:
            fit(
                method,
                loader,  # type: ignore[arg-type]
                steps=epochs * (IMAGES // config.batch_size),
                precision="32-true",
                callbacks=[
                    CountedRandomness(0), *([beside] if beside else []), doctor, progress,
                    Checkpoints(tmp_path / "checkpoints", {}),
                ],
                resume=newest_whole(tmp_path / "checkpoints"),
                slower=remedies_of_divergence(config, "32-true"),
            )  # fmt: skip
        finally:
            table = pd.read_csv(tmp_path / "metrics.csv") if (tmp_path / "metrics.csv").exists() else pd.DataFrame()
            course = Course(table, said, tmp_path)
        return course

    return trained


def look_at(method: Method, views: Album) -> Look:
    """Views alone: no labels and no masks."""
    ids = [f"picture_{row}" for row in range(IMAGES)]
    table = pd.DataFrame({"image_id": ids, "lesion_id": ids, "label": "", "mask_path": "", "problem": ""})
    card = EncoderCard(encoder="small", method="random", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    nothing = PixelCache(np.zeros(0, np.uint8), np.zeros(IMAGES, np.int64), np.zeros((IMAGES, 3), np.int64))
    return Look(Start(method.encoder, card, "0"), nothing, Manifest(Path(), table, ()), views.draw, 32, 0)


class Breaks(Callback):
    """Makes a weight no number after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            next(iter(pl_module.parameters())).data.mul_(float("nan"))


def has(name: str) -> bool:
    """Whether somebody has written the method."""
    return find_spec(recipe_of(name).MODULE.split(":")[0]) is not None


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name not in ("simclr", "moco"))) for name in METHODS if has(name)],
)
def test_a_healthy_training_gets_no_diagnosis(name: str, small_method: Builds, train: Trains) -> None:
    course = train(small_method(name, steps=8, **BRISK | LARGER.get(name, {})))
    assert course.names == set(), course.said
    assert {"gradient_norm", "step_size", "rankme", "alignment", "uniformity", "pair_loss"} <= set(course.rows)
    assert course.rows.notna().all(axis=None)


@pytest.mark.parametrize(
    ("name", "options"),
    [("moco", {"lr": 3.0, "batch_size": 16, "image_size": 32}), ("simclr", BRISK | {"lr": 0.2})],
)
def test_a_learning_rate_a_hundred_times_too_high_is_called_divergence(
    name: str, options: dict[str, object], small_method: Builds, train: Trains
) -> None:
    assert "divergence" in train(small_method(name, steps=8, **options)).names


@pytest.mark.parametrize("stopped", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_predicted_side_that_learns_as_well_is_called_collapse(
    stopped: bool, small_method: Builds, train: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SimSiam without BatchNorm on its embedding, which would only delay it by thousands of steps."""
    if not stopped:
        monkeypatch.setattr(
            "pretrain.methods.simsiam.negative_cosine", lambda p, z: -F.cosine_similarity(p, z, dim=1).mean()
        )
    method = small_method("simsiam", steps=10_000, **BRISK | {"lr": 3e-2, "warmup": 0.0, "look_every": 0})
    method.projector = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16))
    course = train(method, epochs=10)
    assert ("collapse" in course.names) == (not stopped)


def test_a_high_temperature_is_named(small_method: Builds, train: Trains) -> None:
    assert train(small_method("simclr", steps=8, temperature=10.0, **BRISK)).names == {"temperature too high"}


def test_a_slow_copy_without_momentum_is_called_a_copy(small_method: Builds, train: Trains) -> None:
    assert train(small_method("moco", steps=8, momentum=0.0, **BRISK)).names == {"copied teacher"}


def test_a_slow_copy_that_nobody_moves_is_called_frozen(
    small_method: Builds, train: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.methods.moco.follow", lambda *_: None)
    assert train(small_method("moco", steps=16, **BRISK), epochs=3).names == {"frozen teacher"}


@pytest.mark.parametrize("name", ["moco", "densecl"])
def test_keys_that_share_their_queries_statistics_are_called_a_leak(
    name: str, small_method: Builds, train: Trains
) -> None:
    assert train(small_method(name, steps=8, norm_groups=1, **BRISK)).names == {"BatchNorm leak"}


def test_groups_that_are_not_shuffled_are_called_a_leak(
    small_method: Builds, train: Trains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pretrain.methods.moco.torch.randperm", lambda count, **_: torch.arange(count))
    assert train(small_method("moco", steps=8, norm_groups=2, **BRISK)).names == {"BatchNorm leak"}


def test_two_views_that_are_one_are_named(small_method: Builds, train: Trains) -> None:
    course = train(small_method("simclr", steps=8, **BRISK), same=True)
    assert course.names == {"identical views"}
    assert course.rows["alignment"].max() < 1e-6


def test_pictures_of_one_colour_are_named(small_method: Builds, train: Trains) -> None:
    assert "constant images" in train(small_method("simclr", steps=8, **BRISK), constant=True).names


def test_a_loss_that_is_no_number_stops_at_its_step_and_names_the_last_good_checkpoint(
    small_method: Builds, train: Trains, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"at step 7 .* --lr 0.0002, .* stands in .*step-4") as stop:
        train(small_method("simclr", steps=8, **BRISK), beside=Breaks(6))
    assert "divergence" in str(stop.value)
    assert "--precision" not in str(stop.value)  # it is 32-true already
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-4"]


def test_no_checkpoint_holds_what_is_no_number(small_method: Builds, train: Trains, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint was written yet"):
        train(small_method("simclr", steps=8, **BRISK), beside=Breaks(4))
    assert list((tmp_path / "checkpoints").glob("step-*")) == []


def test_a_fatal_diagnosis_stops_on_wish_once_the_epochs_checkpoint_stands(
    small_method: Builds, train: Trains, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"identical views: .*--on_collapse warn"):
        train(small_method("simclr", steps=8, on_collapse="stop", **BRISK), same=True)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-4"]


def test_a_warning_is_said_once(small_method: Builds, train: Trains) -> None:
    said = train(small_method("simclr", steps=12, **BRISK), epochs=3, same=True).said
    assert sum("identical views" in line for line in said) == 1


@pytest.mark.parametrize("name", ["simclr", "moco"])
def test_looking_changes_no_bit_of_the_training(name: str, small_method: Builds, train: Trains, tmp_path: Path) -> None:
    looked_at, alone = (small_method(name, steps=8, look_every=every, **BRISK) for every in (1, 0))
    train(looked_at)
    shutil.rmtree(tmp_path / "checkpoints")
    train(alone)
    ours, theirs = looked_at.state_dict(), alone.state_dict()
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def test_a_resumed_training_compares_with_its_own_start(small_method: Builds, train: Trains) -> None:
    first = train(small_method("simclr", steps=8, **BRISK), epochs=1)
    second = train(small_method("simclr", steps=8, **BRISK), epochs=2)
    assert len(first.said) == 1  # the look at the start
    assert second.said == []
