"""Early stopping: training ends when images that do not train are segmented no better, and the best weights are kept.

Prechelt 1998, Early stopping, but when? https://doi.org/10.1007/3-540-49430-8_3
"""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn

from dermssl.training.trainer import Progress
from dermssl.weights.loading import load_strictly
from dermssl.wording import counted
from finetune.training.segment import Segment

COLUMN = "inner_iou"  # of metrics.csv


class EarlyStopping(Callback):
    """Scores the network at the end of every epoch, keeps the best weights, and ends training after `patience` worse.

    It comes before `Progress` in the list of callbacks, and `Progress` before `Checkpoints`. A checkpoint carries the
    best weights. While the encoder is frozen and is to thaw, nothing is counted: what follows is another training.

    Args:
        score: Gives the score of a network in whatever mode, higher is better; it leaves the weights as they are.
        patience: Epochs in a row that must bring nothing better; at least 1.
        progress: Gets the score of every epoch.
        say: Where the end is told.
    """

    def __init__(
        self, score: Callable[[nn.Module], float], patience: int, progress: Progress, say: Callable[[str], None]
    ) -> None:
        self.score, self.patience, self.progress, self.say = score, patience, progress, say
        self.best, self.best_step, self.worse = -1.0, 0, 0
        self.stopped_at_step: int | None = None
        self.weights: dict[str, Tensor] = {}

    def state_dict(self) -> dict[str, Any]:
        """The best network so far and the epochs since."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "worse": self.worse,
            "stopped_at_step": self.stopped_at_step,
            "weights": dict(self.weights),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        self.best, self.best_step = float(state_dict["best"]), int(state_dict["best_step"])
        self.worse, self.stopped_at_step = int(state_dict["worse"]), state_dict["stopped_at_step"]
        self.weights = {name: tensor.cpu() for name, tensor in state_dict["weights"].items()}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Trains no further where the checkpoint is that of the end."""
        trainer.should_stop = trainer.should_stop or self.stopped_at_step is not None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Scores, keeps what is better, and stops."""
        assert isinstance(pl_module, Segment)
        inner_iou = self.score(pl_module.trained)
        pl_module.train()
        self.progress.extra[COLUMN] = inner_iou
        if inner_iou > self.best:
            self.best, self.best_step, self.worse = inner_iou, trainer.global_step, 0
            state = pl_module.trained.state_dict()
            self.weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}
        else:
            self.worse += 1
        if pl_module.frozen and pl_module.schedule.thaw is not None:
            self.worse = 0
        if self.worse >= self.patience and trainer.global_step < pl_module.schedule.steps:
            self.stopped_at_step = trainer.global_step
            trainer.should_stop = True

    def restore(self, module: Segment) -> None:
        """Puts the best weights into `module.trained`, and says so.

        Call it when training has ended: Lightning has no hook for a resume that finds training done already.
        """
        load_strictly(module.trained, self.weights, "the best weights")
        rows = counted(self.worse, "row")
        early = f"; training ended early, for the {rows} of metrics.csv after it brought nothing better"
        end = "" if self.stopped_at_step is None else early
        last = self.stopped_at_step or module.schedule.steps
        self.say(
            f"inner images: the best mean IoU is {self.best:.3f}, after step {self.best_step} of {last}, "
            f"and the weights of that step are kept{end}"
        )

    @property
    def summary(self) -> dict[str, object]:
        """For result.json: where training was ended (None where it ran to its end), and the best step and score."""
        return {"stopped_at_step": self.stopped_at_step, "best_step": self.best_step, COLUMN: self.best}
