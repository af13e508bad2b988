"""Lightning's Trainer as every training here uses it, with its rates, its waits and its metrics.csv."""

import logging
import math
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Never

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from dermssl.errors import UserError
from dermssl.log import is_printed
from dermssl.parallel import local_world, rank, summed, world
from dermssl.runs.costs import Spent
from dermssl.runs.folder import append_row
from dermssl.signals import between_steps, handlers_kept, is_asked, put_back, stop_that_was_heard
from dermssl.system_errors import is_of_memory, out_of_memory
from dermssl.training.checkpoint import Checkpoints, StateFile, refuse_other_state
from dermssl.training.divergence import loss_in_digits
from dermssl.training.finite import WATCHED, FiniteNumbers

EXPECTED_WARNINGS = [  # what Lightning warns of and is here on purpose
    ".*does not have many workers.*",  # views are drawn in process: on a CPU a worker takes the core that trains
    ".*number of training batches.*smaller than the logging interval.*",
    ".*GPU available but not used.*",
    ".*`LightningModule` to be in eval.*",
    ".*in eval mode at the start of training.*",  # a frozen encoder is, and an average of weights
    ".*isinstance.treespec, LeafSpec.*",  # torch's own deprecation inside Lightning
    ".*Grad strides do not match bucket view strides.*",  # those of a kernel of 1 x 1 or one channel have no order
    ".*your dataloader is not resumable.*",  # it is: it begins behind the steps that were done
]


class Progress(Callback):
    """A bar on a terminal; a line and a row in metrics.csv at the end of every epoch.

    The row holds the epoch's mean of every scalar that training steps return, the learning rate, images per second,
    seconds, the share of the time that was spent waiting for data, and what others put into `extra`. It is a part of
    the checkpoint, so that the row of an epoch that was interrupted is that of the whole epoch.

    Args:
        metrics: The file of the rows.
        batch_size: Images of a step.
        say: Where the lines go.
        total: Steps of a training whose epochs are no passes over the images: its lines count steps, and others epochs.
        tell: Gets every row as well.
    """

    def __init__(
        self,
        metrics: Path,
        batch_size: int,
        say: Callable[[str], None],
        total: int | None = None,
        tell: Callable[[Mapping[str, object]], None] | None = None,
    ) -> None:
        self.metrics, self.batch_size, self.say, self.total, self.tell = metrics, batch_size, say, total, tell
        self.first_loss: Tensor | None = None  # of the first step; of a checkpoint without it, of the step after that
        self.sums: dict[str, Tensor] = {}
        self.extra: dict[str, float] = {}
        self.steps, self.done = 0, 0  # of this epoch, those before an interruption among them
        self.waited, self.began, self.last = 0.0, 0.0, 0.0
        self.bar: tqdm[Never] | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resume in the middle of an epoch needs."""
        means = {name: summed(value) / world() for name, value in self.sums.items()}  # any number of processes goes on
        return {"sums": means, "steps": self.steps, "first_loss": self.first_loss}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on with the sums of an epoch that was interrupted."""
        self.sums, self.steps = dict(state_dict["sums"]), int(state_dict["steps"])
        self.first_loss = state_dict.get("first_loss")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clocks; the first batch is fetched after this."""
        self.done = self.steps
        self.waited, self.began = 0.0, time.perf_counter()
        self.last = self.began
        if self.bar is None and is_printed() and sys.stderr.isatty() and rank() == 0:
            self.bar = tqdm(total=self.steps_of(trainer), initial=trainer.global_step, unit="step", leave=False)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """What has gone by since the last step ended was spent on data."""
        self.waited += time.perf_counter() - self.last

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Adds the step's scalars, without asking the device for their values."""
        assert isinstance(outputs, Mapping)
        for name, value in outputs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name].to(value.device) + value if name in self.sums else value
        if self.first_loss is None:
            self.first_loss = summed(outputs["loss"].detach()) / world()
        self.steps += 1  # the last epoch may be cut short
        self.last = time.perf_counter()
        if self.bar is not None:
            self.bar.set_postfix_str(f"waiting for data {self.waited / (self.last - self.began):.0%}")
            self.bar.update()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the row and says the line; what others did between the last step and now is not counted."""
        steps, seconds = self.steps - self.done, self.last - self.began
        row: dict[str, object] = {"epoch": trainer.current_epoch}
        row |= {name: float(summed(value)) / world() / self.steps for name, value in self.sums.items()}
        row |= {
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": seconds,
            "images_per_second": steps * self.batch_size / seconds,
            "data_wait_share": self.waited / seconds,
            **self.extra,
        }
        self.sums, self.steps, self.extra = {}, 0, {}
        if rank() == 0:
            append_row(self.metrics, row)
            left = seconds / steps * (self.steps_of(trainer) - trainer.global_step)
            self.say(f"{self.position(trainer)}  {epoch_in_words(row)}  left {left:.0f} s")
            if self.tell is not None:
                self.tell(row)

    def steps_of(self, trainer: Trainer) -> int:
        """Steps of the whole training."""
        return self.total or int(trainer.estimated_stepping_batches)

    def position(self, trainer: Trainer) -> str:
        """How far the training is, by steps or by epochs: `step  400/4000`, `epoch  7/100`."""
        if self.total:
            return f"step {trainer.global_step:>{len(str(self.total))}}/{self.total}"
        return f"epoch {trainer.current_epoch + 1:>{len(str(trainer.max_epochs))}}/{trainer.max_epochs}"

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            self.bar.close()


class LastStep(Callback):
    """Ends training after `steps`, in the middle of an epoch if need be.

    Lightning's own max_steps would make a resume repeat a part of the epoch that its checkpoint ends.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Lightning looks at `should_stop` after each step and ends the epoch as it ends any other."""
        trainer.should_stop = trainer.global_step >= self.steps


class BetweenStepsError(Exception):
    """Training ends here, for it was asked to."""


class StopBetweenSteps(Callback):
    """Obeys a signal before the next step, where the state is whole; Lightning would swallow it, or end by exit code 0.

    It comes last in the list of callbacks.

    Args:
        checkpoints: Writes the state; None where nothing is kept.
    """

    def __init__(self, checkpoints: Checkpoints | None) -> None:
        self.checkpoints = checkpoints
        with handlers_kept() as handlers:
            self.handlers = handlers

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes back the signals that Lightning has just taken."""
        put_back(self.handlers)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Asks; processes that train together stop together, and on a GPU look at one another now and then."""
        if self.is_asked_of_any(trainer.global_step, pl_module.device):
            if self.checkpoints is not None and trainer.global_step:
                self.checkpoints.save(trainer, trainer.current_epoch)
            raise BetweenStepsError

    def is_asked_of_any(self, step: int, device: torch.device) -> bool:
        """Whether this process or one that trains with it has heard a signal."""
        if world() == 1:
            return is_asked()
        if device.type != "cpu" and step % WATCHED:
            return False
        return bool(summed(torch.tensor(float(is_asked()), device=device)) > 0)


def epoch_in_words(row: Mapping[str, object]) -> str:
    """An epoch's row for people: loss, rate, share of waiting."""
    return (
        f"loss {loss_in_digits(float(str(row['loss'])))}  {row['images_per_second']:.0f} images/s  "
        f"waiting for data {row['data_wait_share']:.0%}"
    )


def fit(
    module: LightningModule,
    loader: DataLoader[object],
    *,
    steps: int,
    precision: str,
    callbacks: Sequence[Callback],
    resume: Path | None,
    smaller: str = "--batch_size or --image_size",
    slower: str = "a lower --lr",
    idle: bool = False,
) -> Trainer:
    """Trains `module` for `steps`, from `resume` on where it is given; returns the trainer it was done with.

    A signal that asks the command to end is obeyed between two steps, and a checkpoint is written there. `idle` says
    that some parameters have no part in the loss, for which several processes would wait.

    Raises:
        UserError: If memory does not hold it; `smaller` are the options that make it need less. If it comes to what is
            no finite number; `slower` are the options to start anew with.
        Stopped: If a signal asked for it.
    """
    checkpoints = next((callback for callback in callbacks if isinstance(callback, Checkpoints)), None)
    finite = FiniteNumbers(checkpoints.folder if checkpoints is not None else None, slower)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)  # its news is not about the user's images
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        trainer = Trainer(
            max_epochs=math.ceil(steps / len(loader)),
            accelerator="auto",
            devices=local_world(),
            num_nodes=world() // local_world(),
            strategy=DDPStrategy(find_unused_parameters=idle) if world() > 1 else "auto",
            plugins=[StateFile(), *surroundings()],
            use_distributed_sampler=False,  # ours give each process its share of the same steps
            precision=precision,  # type: ignore[arg-type]
            callbacks=[finite, *callbacks, LastStep(steps), StopBetweenSteps(checkpoints)],
            logger=False,  # they get what metrics.csv gets, and may not end a training (dermssl/training/loggers.py)
            enable_checkpointing=False,  # ours are whole or absent (dermssl/training/checkpoint.py)
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        if resume is not None:
            refuse_other_state(resume, module)
        try:
            with handlers_kept(), between_steps():
                trainer.fit(module, loader, ckpt_path=resume, weights_only=True)
        except BetweenStepsError:
            raise stop_that_was_heard() from None
        except (MemoryError, RuntimeError) as error:  # torch's own of a GPU and of a CPU are RuntimeErrors
            if not is_of_memory(error):
                raise
            raise UserError(out_of_memory(error, smaller)) from error
        except SystemExit as stop:
            if not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            raise KeyboardInterrupt from None  # Lightning's answer to Ctrl-C is exit code 1 and no word
    return trainer


def surroundings() -> list[LightningEnvironment]:
    """Where Lightning is to look for other processes; a cluster's shell is not a call to train on it."""
    return [] if world() > 1 else [LightningEnvironment()]


def share_gradients_anew(trainer: Trainer, *, idle: bool) -> None:
    """Lets processes that train together share the gradients of what has begun to be trained; all must call it."""
    if isinstance(trainer.strategy, DDPStrategy):  # it knows the parameters that took gradients when it began
        trainer.strategy._ddp_kwargs["find_unused_parameters"] = idle  # Lightning has no other way to it
        trainer.strategy.model = trainer.lightning_module
        trainer.strategy.configure_ddp()


LOOK = 60.0  # seconds between two looks at the counters of energy


class Spending(Callback):
    """Counts a training's seconds and energy over all its attempts.

    Of an earlier attempt it counts what had gone by when the checkpoint was written that training goes on from. What
    that attempt did afterwards is done again and counts once; time between attempts does not count.
    """

    def __init__(self) -> None:
        self.spent = Spent()
        self.looked = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """What was spent up to now."""
        return {"seconds": self.spent.seconds, "watt_hours": self.spent.watt_hours}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.spent.add(**state_dict)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Looks at the counters now and then: those of a processor begin again at 0 after an hour."""
        if time.perf_counter() - self.looked > LOOK:
            self.looked = time.perf_counter()
            self.spent.meter.look()
