"""What a training says and keeps of its progress."""

import tempfile
from pathlib import Path

import pandas as pd
import pytest
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from dermssl.training.checkpoint import Checkpoints, newest_whole
from dermssl.training.trainer import Progress, epoch_in_words, fit


class Line(LightningModule):
    """A weight that follows a number; steps at a rate above 2 throw it ever farther off."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.weight, self.rate = nn.Parameter(torch.ones(1)), lr

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        return {"loss": (self.weight.square() / 2).sum()}

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.parameters(), lr=self.rate)


class Trained:
    """Some steps of four an epoch, and what was said."""

    def __init__(self, folder: Path, steps: int, total: int | None = None, **options: float) -> None:
        self.said: list[str] = []
        self.progress = Progress(folder / "metrics.csv", 2, self.said.append, total)
        loader: DataLoader[object] = DataLoader(torch.zeros(8, 1), batch_size=2)  # type: ignore[arg-type]
        callbacks = [self.progress, Checkpoints(folder / "checkpoints", {})]
        resume = newest_whole(folder / "checkpoints")
        fit(Line(**options), loader, steps=steps, precision="32-true", callbacks=callbacks, resume=resume)

    @property
    def positions(self) -> list[str]:
        return [line.partition("  loss")[0] for line in self.said]


def test_one_epoch_that_was_asked_for_is_one(tmp_path: Path) -> None:
    assert Trained(tmp_path, 4).positions == ["epoch 1/1"]


def test_a_training_by_steps_says_its_steps_and_no_more_than_there_are(tmp_path: Path) -> None:
    assert Trained(tmp_path, 5, 5).positions == ["step 4/5", "step 5/5"]


def test_what_is_left_is_told_by_steps(tmp_path: Path) -> None:
    assert Trained(tmp_path, 5, 5).said[-1].endswith("left 0 s")


def test_the_first_loss_is_that_of_the_first_step(tmp_path: Path) -> None:
    trained = Trained(tmp_path, 4, lr=1e3)
    assert trained.progress.first_loss == 0.5
    assert pd.read_csv(tmp_path / "metrics.csv")["loss"].iloc[-1] > 1e6


def test_a_resumed_training_knows_its_first_loss(tmp_path: Path) -> None:
    Trained(tmp_path, 4)
    assert Trained(tmp_path, 8).progress.first_loss == 0.5


def test_a_checkpoint_without_a_first_loss_is_gone_on_from() -> None:
    progress = Progress(Path("metrics.csv"), 2, print)
    progress.load_state_dict({"sums": {}, "steps": 0})
    assert progress.first_loss is None


@pytest.mark.parametrize(
    ("loss", "words"), [(0.71234, "loss 0.7123 "), (6.638e16, "loss 6.64e+16 "), (float("nan"), "loss nan ")]
)
def test_a_loss_that_has_blown_up_is_said_by_its_magnitude(loss: float, words: str) -> None:
    row = {"loss": loss, "images_per_second": 40.0, "data_wait_share": 0.1}
    assert epoch_in_words(row).startswith(words)


def test_a_checkpoint_takes_no_way_through_a_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    Trained(tmp_path, 4)
    assert newest_whole(tmp_path / "checkpoints") is not None
