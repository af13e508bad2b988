"""Numbers that are none stop a training at their step, and no checkpoint holds them."""

import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

from dermssl.signals import ASKING, Stopped, listening
from dermssl.training.checkpoint import Checkpoints, newest_whole, position
from dermssl.training.finite import NotFiniteError, finite
from dermssl.training.trainer import Progress, fit

BAD = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """Python hears Ctrl-C, which it does not where the tests are started in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Breaking(LightningModule):
    """A weight that follows a number, and a step at which something happens."""

    def __init__(self, kind: str = "", at: int = -1, bad: float = 0.0) -> None:
        super().__init__()
        self.weight, self.kind, self.at, self.bad = nn.Parameter(torch.ones(2)), kind, at, bad

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Tensor]:
        loss = self.weight.square().sum()
        if self.global_step == self.at:
            if self.kind == "signal":
                os.kill(os.getpid(), int(self.bad))
            elif self.kind == "loss":
                loss = loss * self.bad
            elif self.kind == "image":
                loss = (batch * self.bad * self.weight.sum()).sum() + loss
            elif self.kind == "gradient":
                self.weight.register_hook(lambda gradient: gradient * self.bad)
            elif self.kind == "weight":
                self.weight.data[1] = self.bad
        return {"loss": loss}

    def configure_optimizers(self) -> Optimizer:
        return SGD(self.parameters(), lr=0.1)


def train(module: Breaking, folder: Path, steps: int = 12) -> Breaking:
    loader: DataLoader[object] = DataLoader(torch.ones(8, 1), batch_size=2)  # type: ignore[arg-type]
    callbacks = [Progress(folder / "metrics.csv", 2, lambda _: None), Checkpoints(folder / "checkpoints", {})]
    resume = newest_whole(folder / "checkpoints")
    fit(module, loader, steps=steps, precision="32-true", callbacks=callbacks, resume=resume, slower="--lr 1")
    return module


@BAD
@pytest.mark.parametrize("kind", ["loss", "image", "gradient", "weight"])
def test_a_number_that_is_none_stops_at_its_step_and_the_last_good_state_is_kept(
    kind: str, bad: float, tmp_path: Path
) -> None:
    said = r"^divergence: at step [67] the loss.*start anew with --lr 1; the last good checkpoint stands in .*step-4$"
    with pytest.raises(NotFiniteError, match=said):
        train(Breaking(kind, 5, bad), tmp_path)
    state = torch.load(newest_whole(tmp_path / "checkpoints") or "", weights_only=True)
    assert finite(state["state_dict"].values())
    assert train(Breaking(), tmp_path).weight.tolist() == train(Breaking(), tmp_path / "unbroken").weight.tolist()


def test_a_weight_that_is_no_number_from_the_start_is_named(tmp_path: Path) -> None:
    module = Breaking()
    module.weight.data[0] = math.nan
    with pytest.raises(NotFiniteError, match="before the first step 'weight' holds what is no finite number"):
        train(module, tmp_path)


@BAD
def test_a_single_bad_number_among_many_is_found(bad: float) -> None:
    tensors = [torch.ones(100), torch.full((2, 2), 1e30), torch.ones((), dtype=torch.long), torch.empty(0)]
    assert finite(tensors)
    tensors[0][37] = bad
    assert not finite(tensors)


@pytest.mark.parametrize("at", [0, 2, 3, 4])
@pytest.mark.parametrize("number", ASKING, ids=lambda number: number.name)
def test_a_signal_ends_a_training_after_its_step_with_a_checkpoint_of_it(
    number: signal.Signals, at: int, tmp_path: Path
) -> None:
    before = [signal.getsignal(one) for one in ASKING]
    with listening("python -m test"), pytest.raises(Stopped) as stop:
        train(Breaking("signal", at, number), tmp_path)
    assert stop.value.number == number
    assert position(newest_whole(tmp_path / "checkpoints")) == at + 1
    assert [signal.getsignal(one) for one in ASKING] == before
