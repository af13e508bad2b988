"""The learning-rate range test: a few steps at ever higher rates, and the rate that their losses speak for.

Smith 2017, Cyclical learning rates for training neural networks, https://arxiv.org/abs/1506.01186, section 3.3; with
rates that rise exponentially and the rate of the steepest descent, as in fastai (Howard and Gugger 2020,
https://arxiv.org/abs/2002.04688).
"""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from dermssl.errors import UserError
from dermssl.parallel import of_the_first, rank, summed, world
from dermssl.runs.folder import write_table
from dermssl.scores.plots import save_figure
from dermssl.training.optimise import optimiser
from dermssl.training.randomness import counter_seed
from dermssl.training.trainer import EXPECTED_WARNINGS
from finetune.training.segment import Segment
from finetune.training.training_schedule import parameter_groups

DECADE = 15  # steps
RATES = np.geomspace(1e-6, 1, 6 * DECADE + 1)
# Over two seeds, two inits and 8 or 400 images this choice moved by a factor of 2, a tenth of the minimum's rate by 25.
SMOOTHING = 4.0  # standard deviation, steps
CLEAR = 10  # times its own error that a descent must measure: noise alone reaches it in 1 of 100, real ones reach 30
TAG = 0x1E57  # sets the draws of these steps apart from those of the training

Losses = NDArray[np.float64]


def learning_rate(
    module: Segment, loader: DataLoader[object], device: torch.device, folder: Path, say: Callable[[str], None]
) -> float:
    """The rate that a range test finds for this training, from the run folder where it stands there already.

    Leaves `figures/lr_range.png` and, when all is done, `tables/lr_range.csv`: `rate`, `loss`, `smoothed` and
    `chosen`. A resumed run reads the table, so it trains with the same rate.

    Args:
        module: The training as it will begin, with `config.lr` 1; nothing of it changes.
        loader: Batches of the training, images (B, 3, S, S) and masks (B, 1, S, S), at least one.
        device: To run on.
        folder: The run folder.
        say: Where the result is told.

    Raises:
        UserError: If the loss falls at no rate.
    """
    table = folder / "tables" / "lr_range.csv"
    if not of_the_first(table.exists()):
        curve = range_test(module, loader, device)
        curve["chosen"] = curve.index == steepest(curve)
        if rank() == 0:
            save_figure(range_figure(curve), folder / "figures" / "lr_range.png")
            write_table(table, curve)
    curve = of_the_first(pd.read_csv(table) if rank() == 0 else pd.DataFrame())
    rate = float(RATES[int(curve["chosen"].argmax())])  # and not what is left of it after a CSV
    say(
        f"--lr auto: the learning rate is {rate:.2g}, where the loss fell fastest in {len(curve)} steps at rates from "
        f"{RATES[0]:g} to {curve['rate'].iloc[-1]:.2g}, on a copy of the network"
    )
    return rate


def range_test(module: Segment, loader: DataLoader[object], device: torch.device) -> pd.DataFrame:
    """`rate`, `loss` and `smoothed` of every step on a copy of `module`, until a loss is no number.

    Processes that train together take these steps together as well.

    Weights, BatchNorm and torch's random state are afterwards as they were. A loader that ends begins anew.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trial = copy.deepcopy(module).to(device).train()
        config = trial.config
        groups = parameter_groups(trial.model, config, trial.schedule, config.image_size)
        adamw = optimiser("adamw", groups, 1.0)
        batches = endless(loader)
        stepping = TrialSteps(trial)
        together = sharing_gradients(stepping) if world() > 1 else stepping

        def loss_of_next() -> Tensor:
            images, masks = (part.to(device) for part in next(batches))
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16-mixed"):
                loss: Tensor = together(images, masks)
                return loss

        with warnings.catch_warnings():
            for message in EXPECTED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            losses = sweep(adamw, loss_of_next, RATES.tolist(), config.seed)
    return pd.DataFrame({"rate": RATES[: len(losses)], "loss": losses, "smoothed": smoothed_losses(losses)})


class TrialSteps(nn.Module):
    """A training whose forward pass is the loss of a step, for DDP looks at what is called alone."""

    def __init__(self, trial: Segment) -> None:
        super().__init__()
        self.trial = trial

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Images (B, 3, S, S) and masks (B, 1, S, S) -> ()."""
        return self.trial.training_step((images, masks), 0)["loss"]


def sharing_gradients(stepping: TrialSteps) -> nn.Module:
    """The steps of this process, whose gradients are the mean over all that train together."""
    return DistributedDataParallel(stepping, find_unused_parameters=stepping.trial.idles)


def endless(loader: DataLoader[object]) -> Iterator[tuple[Tensor, Tensor]]:
    """The loader's batches, over and over."""
    while True:
        yield from loader


def sweep(optimizer: Optimizer, loss_of_next: Callable[[], Tensor], rates: Sequence[float], seed: int) -> Losses:
    """The losses before each step, (len(rates),), or fewer where one is no number any more.

    Args:
        optimizer: Groups with `swept` False keep their own rate.
        loss_of_next: The loss of the next batch, a scalar to go back from.
        rates: Learning rates of the steps, one after the other; a group's own `lr` at the beginning multiplies them.
        seed: Seed of what a step draws.
    """
    shares = [group["lr"] for group in optimizer.param_groups]
    losses: list[float] = []
    for step, rate in enumerate(rates):
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = share * float(rate) if group.get("swept", True) else share
        torch.manual_seed(counter_seed(seed, TAG, step))
        loss = loss_of_next()
        of_all_images = float(summed(loss.detach())) / world()
        if not math.isfinite(of_all_images):
            break
        losses.append(of_all_images)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return np.array(losses)


def smoothed_losses(losses: Losses) -> Losses:
    """The losses under a Gaussian of four steps, which lags behind on neither side.

    What is above the first decade is cut off first: once training breaks, losses of a million would leak into the rest.
    """
    if not len(losses):
        return losses
    clipped = np.minimum(losses, losses[:DECADE].max())
    result: Losses = gaussian_filter1d(clipped, SMOOTHING, mode="nearest")
    return result


def steepest(curve: pd.DataFrame) -> int:
    """The row at which the smoothed loss falls fastest, on its way from a tenth to nine tenths of its whole fall.

    Before that only noise falls, and behind it the loss may rise and fall again in waves that are as steep.

    Raises:
        UserError: If it falls by no more than batches differ from one another.
    """
    smooth, losses = curve["smoothed"].to_numpy(np.float64), curve["loss"].to_numpy(np.float64)
    noise = np.median(np.abs(np.diff(losses[: 2 * DECADE]))) if len(losses) > 1 else 0.0  # at rates too low to learn by
    error = noise / math.sqrt(2 * math.sqrt(math.pi) * SMOOTHING)  # of the smoothed loss
    if len(smooth) < DECADE or smooth[: smooth.argmin() + 1].max() - smooth.min() <= CLEAR * error:
        raise UserError(
            f"--lr auto: the loss falls clearly at no rate from {RATES[0]:g} to {RATES[-1]:g}; "
            "give --lr a number, or a larger --batch_size"
        )
    fallen = smooth[: smooth.argmin() + 1].max() - smooth
    last = int((fallen >= 0.9 * fallen.max()).argmax())
    first = int(np.nonzero(fallen[:last] <= 0.1 * fallen.max())[0][-1])
    return first + int(np.gradient(smooth)[first : last + 1].argmin())


def range_figure(curve: pd.DataFrame) -> Figure:
    """The losses by rate, smoothed and raw, with the rate that was `chosen`."""
    rate = float(curve.loc[curve["chosen"], "rate"].iloc[0])
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.semilogx(curve["rate"], curve["loss"], ".", color="0.7", markersize=4, label="each batch")
    axis.semilogx(curve["rate"], curve["smoothed"], color="C0", linewidth=2, label="smoothed")
    axis.axvline(rate, color="C3", linestyle="--", label=f"steepest descent: {rate:.2g}")
    low, high = curve["smoothed"].min(), curve["smoothed"].max()
    axis.set_ylim(low - 0.2 * (high - low), high + 0.2 * (high - low))
    axis.set_xlabel("learning rate")
    axis.set_ylabel("training loss before the step")
    axis.set_title("Learning-rate range test, a step per rate on a copy of the network", fontsize=10)
    axis.legend(frameon=False)
    return figure
