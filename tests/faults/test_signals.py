"""Signals at seeded steps of a training: one sentence, the signal's exit code, and the same end after all."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from faults.tally import Tally, generator, tallied, trials
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader, Sampler

from dermssl.errors import one_sentence
from dermssl.signals import ASKING
from dermssl.training.checkpoint import Checkpoints, newest_whole, position
from dermssl.training.trainer import Progress, fit

STEPS = 12


class Walk(LightningModule):
    """A weight that follows its batches; a signal comes at some place of a step."""

    def __init__(self, place: str = "", at: int = -1, number: int = 0) -> None:
        super().__init__()
        self.weight, self.place, self.at, self.number = nn.Parameter(torch.ones(2)), place, at, number

    def ask(self, place: str) -> None:
        if place == self.place and self.global_step == self.at:
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, batch: object, batch_idx: int) -> None:
        self.ask("before the step")

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        self.ask("in the step")
        return {"loss": (batch.sum() * self.weight.square()).sum()}

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        self.ask("in the optimiser")

    def on_train_epoch_end(self) -> None:
        self.ask("at the end of an epoch")

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.parameters(), lr=0.01)


PLACES = ("before the step", "in the step", "in the optimiser", "at the end of an epoch")


class Skipping(Sampler[int]):
    """The eight numbers in their order, the first time behind those that were taken before a resume."""

    def __init__(self, taken: int) -> None:
        self.taken = taken

    def __iter__(self) -> Iterator[int]:
        first, self.taken = self.taken, 0
        yield from range(first, 8)

    def __len__(self) -> int:
        return 8


def train(module: Walk, folder: Path) -> list[float]:
    taken = position(newest_whole(folder / "checkpoints")) % 4 * 2
    loader: DataLoader[object] = DataLoader(torch.arange(8.0), 2, sampler=Skipping(taken))  # type: ignore[arg-type]
    callbacks = [Progress(folder / "metrics.csv", 2, lambda _: None), Checkpoints(folder / "checkpoints", {})]
    fit(module, loader, steps=STEPS, precision="32-true", callbacks=callbacks,
        resume=newest_whole(folder / "checkpoints"))  # fmt: skip
    return module.weight.tolist()


def attempt(tally: Tally, module: Walk, folder: Path, said: pytest.CaptureFixture[str]) -> None:
    """A training that is asked to end; it says so, or the signal came when all was done."""
    try:
        with one_sentence("python -m test"):
            train(module, folder)
    except SystemExit as end:
        code = end.code
        sentence = said.readouterr().err
        assert code == 128 + module.number, (module.place, module.at, code)
        tally.told(sentence, f"stopped by {signal.Signals(module.number).name}", "go on with: python -m test")
        kept = position(newest_whole(folder / "checkpoints"))
        if kept < module.at:
            tally.wrong.append(f"{module.place} {module.at}: the checkpoint that is kept is of step {kept}")


def test_signals_at_any_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["test", "--data", "images"])
    unbroken, draw = train(Walk(), tmp_path / "unbroken"), generator("signals")
    with tallied("signals") as tally:
        for trial in range(trials(whole=300, sample=12)):
            number = ASKING[int(draw.integers(len(ASKING)))]
            place, at = PLACES[int(draw.integers(len(PLACES)))], int(draw.integers(STEPS))
            attempt(tally, Walk(place, at, number), tmp_path / str(trial), capsys)
            if train(Walk(), tmp_path / str(trial)) == unbroken:
                tally.right += 1
            else:
                tally.wrong.append(f"{number.name} {place} {at}: another end than the unbroken training's")
