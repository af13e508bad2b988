"""Fine-tuning, images per second: ours, smp's own example, and torchgeo's SemanticSegmentationTask where it is.

    python -m benchmarks.finetune
    python -m benchmarks.finetune --encoder tu-tf_efficientnet_lite0
    python -m benchmarks.finetune --encoder resnet50 --size 512 --batch 32 --workers 16    # where a GPU is at hand

Every run is a process of its own; the sides take turns, and ratios are taken within a turn. All train the same network
on the same JPEGs of 600 x 450 px with masks, at the same batch and size, and are timed after the first steps. `roof` is
forward, loss and backward of ours on tensors that lie ready: no pictures, no optimiser. smp's side is its example of
binary segmentation (PetModel on SimpleOxfordPetDataset: PIL pictures resized, no augmentation, Dice, Adam, counts of
pixels at every step, float32); torchgeo's is its task with binary cross entropy over a plain folder. Ours augments as
the preset dermoscopy says, which the others do not.
"""

import argparse
import json
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
        asked.data = asked.data or draw_jpegs(Path(place) / "pictures", masks=True)
        rates = turns("benchmarks.finetune", asked, sides_of(asked))
    print(f"unet on {asked.encoder}, {asked.size} px, batch {asked.batch}\n")
    libraries = ["segmentation-models-pytorch", "timm", "albumentations", "torch", "pytorch-lightning"]
    print_rates(rates, "smp", asked, libraries)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="32-true", help="of ours")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of the peers")
    parser.add_argument("--own_workers", type=int, default=0, help="of ours")
    parser.add_argument("--data", type=Path, help="a folder with images and masks; drawn by default")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def sides_of(asked: argparse.Namespace) -> list[str]:
    """The sides that can be run here."""
    peers = [f"smp, {count} workers" for count in asked.workers]
    more = [f"torchgeo, {count} workers" for count in asked.workers] if has("torchgeo") else []
    return ["ours", "roof", *peers, *more]


def smp(asked: argparse.Namespace) -> float:
    """The example of binary segmentation of segmentation-models-pytorch, on this folder."""
    import segmentation_models_pytorch
    from pytorch_lightning import Callback, LightningModule, Trainer

    library = segmentation_models_pytorch

    class Example(LightningModule):
        """The example's module."""

        def __init__(self) -> None:
            super().__init__()
            self.model = library.create_model("unet", encoder_name=asked.encoder, encoder_weights=None, classes=1)
            self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1))
            self.criterion = library.losses.DiceLoss(library.losses.BINARY_MODE, from_logits=True)
            self.seen: list[object] = []

        def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
            logits = self.model((batch["image"] - self.mean) / self.std)
            loss: torch.Tensor = self.criterion(logits, batch["mask"])
            found = (logits.sigmoid() > 0.5).long()
            self.seen.append(library.metrics.get_stats(found, batch["mask"].long(), mode="binary"))
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=2e-4)

    class Clock(Steps, Callback):
        """Notes when each step ended."""

        def on_train_batch_end(self, *_: object) -> None:
            self.note()

    clock = Clock(asked)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_steps=WARM + asked.steps, callbacks=[clock], **quiet)  # type: ignore[arg-type]
    trainer.fit(Example(), peers_loader(asked, "mask_with_channel"))
    return clock.rate


def torchgeo(asked: argparse.Namespace) -> float:
    """SemanticSegmentationTask of torchgeo, over the same plain folder."""
    from lightning.pytorch import Callback, Trainer
    from torchgeo.trainers import SemanticSegmentationTask

    class Clock(Steps, Callback):
        """Notes when each step ended."""

        def on_train_batch_end(self, *_: object) -> None:
            self.note()

    clock = Clock(asked)
    task = SemanticSegmentationTask(model="unet", backbone=asked.encoder, weights=None, task="binary", loss="bce")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(max_steps=WARM + asked.steps, callbacks=[clock], **quiet)  # type: ignore[arg-type]
    trainer.fit(task, peers_loader(asked, "mask"))
    return clock.rate


def peers_loader(asked: argparse.Namespace, form: str) -> torch.utils.data.DataLoader:  # type: ignore[type-arg]
    """The folder as the examples read theirs: PIL pictures, resized, shuffled, with so many workers."""
    from PIL import Image

    class Folder(torch.utils.data.Dataset):  # type: ignore[type-arg]
        """Pictures with masks, as smp's SimpleOxfordPetDataset gives its own."""

        def __init__(self) -> None:
            again = 1 + (WARM + asked.steps) * asked.batch // IMAGES
            self.files = sorted((asked.data / "images").iterdir()) * again

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
            side, path = (asked.size, asked.size), self.files[index]
            image = np.array(Image.open(path).convert("RGB").resize(side, Image.Resampling.BILINEAR))
            truth = np.array(
                Image.open(asked.data / "masks" / f"{path.stem}.png").resize(side, Image.Resampling.NEAREST)
            )
            mask = torch.from_numpy((truth > 0).astype(np.float32))
            pixels = torch.from_numpy(np.moveaxis(image, -1, 0)).float()
            return {"image": pixels / 255, "mask": mask[None] if form == "mask_with_channel" else mask.long()}

    return torch.utils.data.DataLoader(
        Folder(), batch_size=asked.batch, shuffle=True, num_workers=asked.workers[0], drop_last=True
    )


def ours(asked: argparse.Namespace) -> float:
    """The loop of `python -m finetune`, with its callbacks, from a cache that stands."""
    from pytorch_lightning import Callback

    from dermssl.training.randomness import CountedRandomness
    from dermssl.training.trainer import Progress, fit
    from finetune.augmentation.augmented_images import augmented_loader
    from finetune.training.segment import Segment

    class Clock(Steps, Callback):
        """Notes when each step ended."""

        def on_train_batch_end(self, *_: object) -> None:
            self.note()

    given, ids = prepared(asked)
    clock, config = Clock(asked), given.config
    steps = WARM + asked.steps
    with tempfile.TemporaryDirectory() as place:
        progress = Progress(Path(place) / "metrics.csv", config.batch_size, lambda _: None)
        pictures = given.augmented(ids)
        long = 40 * steps  # so that no epoch ends in between
        loader = augmented_loader(pictures, config.batch_size, asked.own_workers, long)
        module = Segment(given.net.model, given.start.normalise, config, given.schedule)
        callbacks = [CountedRandomness(0), progress, clock]
        fit(module, loader, steps=steps, precision=config.precision, callbacks=callbacks, resume=None)
    return clock.rate


def roof(asked: argparse.Namespace) -> float:
    """Forward, loss and backward of ours on a batch that lies ready."""
    from finetune.augmentation.augmented_images import augmented_loader
    from finetune.training.segment import Segment

    given, ids = prepared(asked)
    batch = next(iter(augmented_loader(given.augmented(ids), asked.batch, 0, 100)))
    images, masks = (part.to(given.device) for part in batch)  # type: ignore[attr-defined]
    module = Segment(given.net.model, given.start.normalise, given.config, given.schedule).to(given.device).train()

    def steps() -> Iterator[None]:
        while True:
            halved = asked.precision == "bf16-mixed"
            with torch.autocast(given.device.type, torch.bfloat16, enabled=halved):
                loss = module.training_step((images, masks), 0)["loss"]
            loss.backward()
            module.zero_grad(set_to_none=True)
            yield

    return clocked(steps(), asked)


def prepared(asked: argparse.Namespace) -> tuple:  # type: ignore[type-arg]
    """What a run of ours has before its training, and the images that it trains on."""
    from dermssl.data.manifest import read_manifest
    from dermssl.data.pixel_cache import cached_images, cached_masks
    from dermssl.training.device import channels_last, depthwise_in_float32, prepare
    from dermssl.weights.encoder import start_from
    from finetune.network.build import build_network
    from finetune.options.config import FinetuneConfig
    from finetune.options.training_length import Schedule
    from finetune.training.loop import TrainingMaterial

    config = FinetuneConfig(
        encoder=asked.encoder, init="random", image_size=asked.size, cache_size=2 * asked.size,
        batch_size=asked.batch, steps=WARM + asked.steps, precision=asked.precision,
    )  # fmt: skip
    device = prepare(config.threads)
    start = start_from("random", asked.encoder, 0)
    net = build_network(start, config)
    channels_last(net.model)
    if device.type == "cpu" and asked.precision == "bf16-mixed":
        depthwise_in_float32(net.model)
    manifest = read_manifest(asked.data)
    caches = cached_images(manifest, config.cache_size), cached_masks(manifest, config.cache_size)
    given = TrainingMaterial(config, start, net, Schedule(config.steps), manifest, *caches, device)
    return given, manifest.table["image_id"].tolist()


SIDES = {"ours": ours, "roof": roof, "smp": smp, "torchgeo": torchgeo}


if __name__ == "__main__":
    main()
