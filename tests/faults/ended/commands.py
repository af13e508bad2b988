"""Every command that works for long, made small: the same work each time in the same place, so that paths are equal."""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from small_study import small_study

import compare.run
import finetune.run
from compare.command_line import StudyCommand
from compare.commands import report_command
from compare.execution import local
from compare.study.config import StudyConfig
from dermssl.check.config import CheckConfig
from dermssl.check.run import run as check
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images, cached_masks
from dermssl.download.catalogue import MIRROR
from dermssl.download.config import Ham10000Config
from dermssl.download.run import run as download
from dermssl.flags import option_names
from finetune.options.config import FinetuneConfig
from finetune.predict.config import PredictConfig
from finetune.predict.run import predict_masks
from pretrain.known_methods import METHODS
from pretrain.run import run as pretrain
from probe.config import ProbeConfig
from probe.run import run as probe

TINY: Mapping[str, Any] = {
    "encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": 40, "threads": 1
}  # fmt: skip
OWN = {
    "queue_size": 10, "queue_from": 1, "norm_groups": 2, "hidden_dim": 32, "projection_dim": 16, "prediction_dim": 8,
    "bottleneck_dim": 16, "map_dim": 16, "prototypes": 12, "frozen_epochs": 1, "places": 8, "matches": 2,
    "local_crops": 1, "local_size": 32,
}  # fmt: skip
SCORING = ("scores.", "calibration", "masks.parquet", "model.safetensors", "seal.json", "result.json", "checkpoints")
EVERY = ("clock", "change", "byte")


@dataclass(frozen=True)
class Command:
    """Work in a folder, and how it may be interrupted."""

    name: str
    do: Callable[[Path], object]
    moments: Sequence[str] = EVERY
    within: Sequence[str] = ("",)
    """What the paths hold whose changes are moments."""
    before: Path | None = None
    """What stands in the folder before it, which is copied there."""
    most: int = 3
    """Kills in a row."""


def pretraining(data: Path, method: str) -> Callable[[Path], object]:
    recipe = METHODS[method]
    own = {name: value for name, value in OWN.items() if name in option_names(recipe)}
    small = {**TINY, **own, "epochs": 3, "batch_size": 4, "precision": "32-true", "warmup": 0.0, "save_every": 1}

    def do(place: Path, **more: Any) -> object:
        config = recipe(**{**small, "data": data, "checkpoints": place / "checkpoints", "out": place / "runs", **more})
        return pretrain(config, standing_is_fine=not more)

    return do


def finetuning(data: Path) -> Callable[[Path], object]:
    config = FinetuneConfig(**TINY, data=data, steps=6, batch_size=4, val_fraction=0.25)
    return lambda place, **more: finetune.run.run(
        replace(config, out=place / "runs", **more), standing_is_fine=not more
    )


def predicting(data: Path, model: Path) -> Callable[[Path], object]:
    options = {"model": model, "images": data / "images", "batch_size": 1, "threads": 1, "overlay": True}
    return lambda place: predict_masks(PredictConfig(**options, out=place / "masks"))


def probing(data: Path) -> Callable[[Path], object]:
    few = {name: value for name, value in TINY.items() if name != "cache_size"}
    config = ProbeConfig(**few, data=data, k=3, dense_images=(4,), umap=False, sheets=False, explorer=False,
                         val_fraction=0.34, split_seed=2)  # fmt: skip
    return lambda place, **more: probe(replace(config, out=place / "runs", **more), standing_is_fine=not more)


def caching(data: Path) -> Callable[[Path], object]:
    def do(_: Path) -> None:
        manifest = read_manifest(data)
        cached_images(manifest, 40)
        cached_masks(manifest, 40)

    return do


def fetching(address: str) -> Callable[[Path], object]:
    def do(place: Path) -> None:
        os.environ |= {MIRROR: address, "no_proxy": "*"}
        download(Ham10000Config(out=place / "ham", yes=True))

    return do


def checking(data: Path, *, fixes: bool) -> Callable[[Path], object]:
    return lambda place: check(CheckConfig(data=data, out=place / "check", fix=place / "clean" if fixes else None))


def study_in(place: Path, data: Path) -> StudyConfig:
    return small_study(place, data, jobs=2, threads=1, seed=(0, 1))


def studying(data: Path) -> Callable[[Path], object]:
    """Its slots are forks, which load no libraries; they hold one another's pipes, so that idle ones do not end."""

    def do(place: Path) -> None:
        local.SPAWN, local.FAREWELL = multiprocessing.get_context("fork"), 0.05  # type: ignore[assignment]
        compare.run.run(study_in(place, data))

    return do


def reporting(data: Path) -> Callable[[Path], object]:
    return lambda place: report_command(StudyCommand("report", study_in(place, data)))


def faulty_set(data: Path, root: Path) -> Path:
    """A set with masks of 0 and 1, a copy and a broken picture: something to mend."""
    shutil.copytree(data, root)
    for mask in sorted((root / "masks").iterdir())[:4]:
        picture = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        cv2.imwrite(str(mask), (picture > 0).astype(np.uint8))
    first, *_, last = sorted((root / "images").iterdir())
    shutil.copy(first, root / "images" / "again.png")
    last.write_bytes(last.read_bytes()[:100])
    return root


def remove(place: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(place)
