"""Pretraining, images per second: ours, lightly's SimCLR as its documentation writes it, and torchgeo's where it is.

    python -m benchmarks.pretrain
    python -m benchmarks.pretrain --encoder tu-tf_efficientnet_lite0
    python -m benchmarks.pretrain --encoder resnet50 --size 224 --batch 256 --workers 16    # where a GPU is at hand

Every run is a process of its own, so that no side inherits another's allocator or threads; the sides take turns, and
ratios are taken within a turn. All train the same encoder on the same JPEGs of 600 x 450 px, at the same batch and
size, with SimCLR's recipe of views, and are timed after the first steps. `roof` is forward and backward of ours on
tensors that lie ready: no views, no optimiser. lightly's side is its documentation's example: SimCLRTransform,
LightlyDataset, DataLoader with workers, NTXentLoss, SGD, float32; of the numbers of workers its best counts.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.processes import IMAGES, WARM, Steps, clocked, draw_jpegs, has, print_rates, turns


def main() -> None:
    asked = options()
    if asked.side:
        print(json.dumps(SIDES[asked.side](asked)))
        return
    with tempfile.TemporaryDirectory() as place:
        os.environ["DERMSSL_CACHE"] = str(Path(place) / "cache")  # among the JPEGs lightly takes it for a class
        asked.data = asked.data or draw_jpegs(Path(place) / "jpegs")
        rates = turns("benchmarks.pretrain", asked, sides_of(asked))
    print(f"{asked.encoder}, {asked.size} px, batch {asked.batch}\n")
    libraries = ["lightly", "timm", "torch", "torchvision", "pytorch-lightning"]
    print_rates(rates, "lightly", asked, libraries)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2, 8], help="of the peers")
    parser.add_argument("--views", default="imagenet", help="preset of ours")
    parser.add_argument("--data", type=Path, help="a folder of JPEGs; drawn by default")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def sides_of(asked: argparse.Namespace) -> list[str]:
    """The sides that can be run here."""
    peers = [f"lightly, {count} workers" for count in asked.workers]
    more = [f"torchgeo, {count} workers" for count in asked.workers[-1:]] if has("torchgeo") else []
    return ["ours", "roof", *peers, *more]


def ours(asked: argparse.Namespace) -> float:
    """The loop of `python -m pretrain`, with its callbacks, from a cache that stands."""
    from pytorch_lightning import Callback

    from dermssl.training.randomness import CountedRandomness
    from dermssl.training.trainer import Progress, fit
    from pretrain.doctor.callback import Doctor
    from pretrain.run import method_of
    from pretrain.views.batches import view_loader

    config, start, views, precision = prepared(asked)

    class Clock(Steps, Callback):
        """Notes when each step ended."""

        def on_train_batch_end(self, *_: object) -> None:
            self.note()

    clock = Clock(asked)
    with tempfile.TemporaryDirectory() as place:
        progress = Progress(Path(place) / "metrics.csv", config.batch_size, lambda _: None)
        doctor = Doctor(config, progress, lambda _: None)
        steps = WARM + asked.steps
        callbacks = [CountedRandomness(0), doctor, progress, clock]
        fit(method_of(config, start, steps), view_loader(views, config), steps=steps, precision=precision,
            callbacks=callbacks, resume=None)  # fmt: skip
    return clock.rate


def roof(asked: argparse.Namespace) -> float:
    """Forward and backward of ours on views that lie ready."""
    from dermssl.training.device import prepare
    from pretrain.run import method_of
    from pretrain.views.batches import StepImages

    config, start, views, precision = prepared(asked)
    device = prepare(0)
    method = method_of(config, start, 100).to(device)
    batch = views[StepImages(0, np.arange(asked.batch))]
    batch = type(batch)(*(part.to(device) for part in batch))

    def steps() -> Iterator[None]:
        while True:
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
                loss = method.training_step(batch, 0)["loss"]
            loss.backward()
            method.zero_grad(set_to_none=True)
            yield

    return clocked(steps(), asked)


def prepared(asked: argparse.Namespace) -> tuple:  # type: ignore[type-arg]
    """What a run of ours has before its training: config, encoder, views, precision."""
    from dermssl.data.manifest import read_manifest
    from dermssl.data.pixel_cache import cached_images
    from dermssl.training.device import depthwise_in_float32, prepare
    from dermssl.weights.encoder import start_from
    from pretrain.recipes import SimCLRConfig
    from pretrain.run import precision_of
    from pretrain.views.batches import Views

    config = SimCLRConfig(
        encoder=asked.encoder, init="random", views=asked.views, image_size=asked.size, batch_size=asked.batch,
        look_every=0,
    )  # fmt: skip
    device = prepare(config.threads)
    start = start_from("random", asked.encoder, 0)
    if device.type == "cpu":
        depthwise_in_float32(start.encoder)
    manifest = read_manifest(asked.data)
    pixels = cached_images(manifest, config.cache_size)
    passes = -(-(WARM + asked.steps + 2) * asked.batch // len(manifest))  # one epoch, so that none ends in between
    views = Views(pixels.take(list(range(len(manifest))) * passes), config, device)
    return config, start, views, precision_of(config, start, device, None)


def lightly(asked: argparse.Namespace) -> float:
    """SimCLR as lightly's documentation writes it: https://docs.lightly.ai/self-supervised-learning/examples/simclr.html."""
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms.simclr_transform import SimCLRTransform
    from torch import nn

    device = "cuda" if torch.cuda.is_available() else "cpu"
    backbone, width = peers_encoder(asked.encoder)
    model = nn.Sequential(backbone, nn.Flatten(), SimCLRProjectionHead(width, 512, 128)).to(device)
    dataset = LightlyDataset(str(asked.data), transform=SimCLRTransform(input_size=asked.size))
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=asked.batch, shuffle=True, drop_last=True, num_workers=asked.workers[0]
    )
    criterion = NTXentLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.06)

    def steps() -> Iterator[None]:
        while True:
            for batch in loader:
                x0, x1 = batch[0]
                loss = criterion(model(x0.to(device)), model(x1.to(device)))
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                yield

    return clocked(steps(), asked)


def peers_encoder(name: str) -> tuple[torch.nn.Module, int]:
    """The same encoder as the peers' examples build it, pooled, with random weights."""
    import timm
    import torchvision

    if name.startswith("tu-"):
        model = timm.create_model(name.removeprefix("tu-"), num_classes=0)
        return model, model.num_features
    resnet = getattr(torchvision.models, name)()
    return torch.nn.Sequential(*list(resnet.children())[:-1]), resnet.fc.in_features


def torchgeo(asked: argparse.Namespace) -> float:
    """SimCLRTask of torchgeo over a plain folder of pictures, with its own augmentation on the batch."""
    from lightning.pytorch import Callback, Trainer
    from torchgeo.trainers import SimCLRTask
    from torchvision.io import read_image

    class Folder(torch.utils.data.Dataset):  # type: ignore[type-arg]
        """Pictures as torchgeo's data sets give them."""

        def __init__(self) -> None:
            self.files = sorted(asked.data.glob("*.jpg")) * (1 + (WARM + asked.steps) * asked.batch // IMAGES)

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            return {"image": read_image(str(self.files[index])).float() / 255}

    class Clock(Steps, Callback):
        """Notes when each step ended."""

        def on_train_batch_end(self, *_: object) -> None:
            self.note()

    loader = torch.utils.data.DataLoader(Folder(), asked.batch, shuffle=True, num_workers=asked.workers[0])
    task = SimCLRTask(model=asked.encoder.removeprefix("tu-"), in_channels=3, size=asked.size)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    clock = Clock(asked)
    Trainer(max_steps=WARM + asked.steps, callbacks=[clock], **quiet).fit(task, loader)  # type: ignore[arg-type]
    return clock.rate


SIDES = {"ours": ours, "roof": roof, "lightly": lightly, "torchgeo": torchgeo}


if __name__ == "__main__":
    main()
