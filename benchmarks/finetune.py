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
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.processes import IMAGES, WARM, Steps, clocked, draw_jpegs, has, turns


def main() -> None:
    asked = options()
    if asked.side:
        print(json.dumps(SIDES[asked.side](asked)))
        return
    from benchmarks.timing import conditions, ratio, table  # with what it imports of ours, it stays out of the peers

    with tempfile.TemporaryDirectory() as place:
        asked.data = asked.data or draw_jpegs(Path(place) / "pictures", masks=True)
        rates = turns("benchmarks.finetune", asked, sides_of(asked))
    names = list(rates)
    peer = max((name for name in names if name.startswith("smp")), key=lambda name: statistics.median(rates[name]))
    rows = [
        [name, f"{statistics.median(rates[name]):.1f}", ratio(rates, name, peer, 2), ratio(rates, name, "roof", 2)]
        for name in names
    ]
    print(f"unet on {asked.encoder}, {asked.size} px, batch {asked.batch}\n")
    print(table(["side", "images/s", f"times {peer}", "share of the roof"], rows))
    libraries = ["segmentation-models-pytorch", "timm", "albumentations", "torch", "pytorch-lightning"]
    counts = f"medians of {asked.rounds} alternating rounds of {asked.steps} steps (least to largest)"
    print(f"\n{conditions(libraries, counts)}")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="32-true", help="of ours")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2], help="of the peers")
    parser.add_argument("--data", type=Path, help="a folder with images and masks; drawn by default")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def sides_of(asked: argparse.Namespace) -> list[str]:
    """The sides that can be run here."""
    peers = [f"smp, {count} workers" for count in asked.workers]
    more = [f"torchgeo, {count} workers" for count in asked.workers] if has("torchgeo") else []
    return ["ours", "roof", *peers, *more]


def smp(asked: argparse.Namespace) -> float:
    """smp's example of binary segmentation, on this folder: https://github.com/qubvel-org/segmentation_models.pytorch."""
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
