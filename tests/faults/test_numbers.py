"""NaN and infinity in loss, gradient, weights and images, at seeded steps: stopped there, the last good state kept."""

import math
from pathlib import Path

import torch
from faults.tally import generator, tallied, trials
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import DataLoader

from dermssl.errors import UserError
from dermssl.training.checkpoint import Checkpoints, newest_whole
from dermssl.training.finite import finite
from dermssl.training.trainer import Progress, fit

STEPS, KINDS, BAD = 12, ("loss", "gradient", "weight", "image"), (math.nan, math.inf, -math.inf)


class Sick(LightningModule):
    """A small network, one number of which is made none at a step."""

    def __init__(self, kind: str, at: int, bad: float, place: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
        self.kind, self.at, self.bad, self.place = kind, at, bad, place

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        struck = self.global_step == self.at
        weight = self.net[3].weight
        if struck and self.kind == "image":
            batch = batch.clone()
            batch[0, self.place % 4] = self.bad
        if struck and self.kind == "weight":
            weight.data[0, self.place] = self.bad
        if struck and self.kind == "gradient":
            weight.register_hook(lambda gradient: gradient * torch.where(torch.arange(8) == self.place, self.bad, 1.0))
        loss = self.net(batch).square().mean()
        return {"loss": loss * self.bad if struck and self.kind == "loss" else loss}

    def configure_optimizers(self) -> Optimizer:
        return AdamW(self.parameters(), lr=0.01)


def test_numbers_that_are_none(tmp_path: Path) -> None:
    draw = generator("numbers")
    with tallied("numbers") as tally:
        for trial in range(trials(whole=400, sample=16)):
            kind, bad = KINDS[int(draw.integers(len(KINDS)))], BAD[int(draw.integers(len(BAD)))]
            at, folder = int(draw.integers(4, STEPS)), tmp_path / str(trial)
            torch.manual_seed(trial)
            loader: DataLoader[object] = DataLoader(torch.randn(16, 4), batch_size=4)  # type: ignore[arg-type]
            callbacks = [Progress(folder / "metrics.csv", 4, lambda _: None), Checkpoints(folder / "checkpoints", {})]
            module = Sick(kind, at, bad, int(draw.integers(8)))
            try:
                fit(module, loader, steps=STEPS, precision="32-true", callbacks=callbacks, resume=None)
                tally.wrong.append(f"{kind} {bad} at step {at}: trained on")
            except UserError as error:
                state = torch.load(newest_whole(folder / "checkpoints") or "", weights_only=True)["state_dict"]
                good = f"step-{at // 4 * 4}"
                tally.told(str(error), f"at step {at + 1} ", good if finite(state.values()) else "a good checkpoint")
