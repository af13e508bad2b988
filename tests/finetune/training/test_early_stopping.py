"""Early stopping in Lightning's loop: which weights are kept, when training ends, and that a resume knows all of it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dermssl.training.checkpoint import Checkpoints, newest_whole
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import Progress, fit
from dermssl.weights.encoder import Normalise
from finetune.network.build import assemble
from finetune.options.config import FinetuneConfig
from finetune.options.training_length import Schedule
from finetune.training.early_stopping import EarlyStopping
from finetune.training.segment import Segment

SIDE, PER_EPOCH = 32, 2
TINY = "tu-test_efficientnet"

pytestmark = pytest.mark.filterwarnings("ignore:.*in eval mode at the start of training")  # averages are

Score = Callable[[nn.Module], float]
State = dict[str, Tensor]


def squares() -> list[tuple[Tensor, Tensor]]:
    """An epoch's batches of dark squares on noise, uint8."""
    rng = torch.Generator().manual_seed(0)
    masks = torch.zeros(PER_EPOCH, 2, 1, SIDE, SIDE, dtype=torch.uint8)
    masks[..., 8:24, 8:24] = 1
    images = torch.randint(100, 255, (PER_EPOCH, 2, 3, SIDE, SIDE), dtype=torch.uint8, generator=rng)
    return list(zip(images // (1 + 2 * masks), masks, strict=True))


def segment(steps: int, thaw: int | None = None, **more: object) -> Segment:
    torch.manual_seed(0)
    config = FinetuneConfig(encoder=TINY, image_size=SIDE, lr=1e-2, **more)
    ordinary = Normalise((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Segment(assemble(TINY, "unet", {}), ordinary, config, Schedule(steps, thaw))


def scripted(scores: Sequence[float]) -> Score:
    ahead = iter(scores)
    return lambda _: next(ahead)


def training_loss(model: nn.Module) -> float:
    """A score that depends on the weights: the mean over the squares, in eval mode, of a soft agreement."""
    images, masks = squares()[0]
    with torch.inference_mode():
        found = model.eval()(images.float() / 64 - 2).sigmoid()
    return float((found * masks).sum() / (found + masks - found * masks).sum())


class Trained:
    """A training with early stopping into `folder`, and what it left."""

    def __init__(
        self,
        folder: Path,
        module: Segment,
        score: Score,
        patience: int = 2,
        *others: Callback,
        resume: Path | None = None,
    ) -> None:
        self.module, self.folder = module, folder
        self.said: list[str] = []
        progress = Progress(folder / "metrics.csv", 2, self.said.append)
        self.early = EarlyStopping(score, patience, progress, self.said.append)
        self.states: list[State] = []
        callbacks = [CountedRandomness(0), *others, self.early, progress, Checkpoints(folder / "checkpoints", {})]
        loader: DataLoader[object] = DataLoader(squares(), batch_size=None)
        steps = module.schedule.steps
        trainer = fit(module, loader, steps=steps, precision="32-true", callbacks=callbacks, resume=resume)
        self.steps = trainer.global_step
        self.early.restore(module)

    @property
    def column(self) -> list[float]:
        """The scores in metrics.csv."""
        return list(pd.read_csv(self.folder / "metrics.csv")["inner_iou"])


class Keeping(Callback):
    """Copies the weights after every step, or the average where one is kept."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {}

    def on_train_batch_start(self, trainer: object, pl_module: Segment, batch: object, batch_idx: int) -> None:
        self.states[trainer.global_step] = copied(pl_module.trained)


def copied(module: nn.Module) -> State:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def differing(module: nn.Module, state: State) -> list[str]:
    return [name for name, tensor in module.state_dict().items() if not torch.equal(tensor, state[name])]


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_training_ends_when_patience_does_and_leaves_the_best_weights(tmp_path: Path, ema: float) -> None:
    keeping = Keeping()
    scores = [0.1, 0.5, 0.5, 0.4, 0.9]
    done = Trained(tmp_path, segment(20, ema=ema), scripted(scores), 2, keeping)
    assert done.steps == 4 * PER_EPOCH  # the fifth epoch, which would have been the best, was never trained
    assert done.column == scores[:4]
    assert done.early.summary == {"stopped_at_step": 8, "best_step": 4, "inner_iou": 0.5}  # equal is not better
    assert differing(done.module.trained, keeping.states[4]) == []
    assert differing(done.module.trained, keeping.states[6])
    assert done.said[-1] == (
        "inner images: the best mean IoU is 0.500, after step 4 of 8, and the weights of that step are kept; "
        "training ended early, for the 2 rows of metrics.csv after it brought nothing better"
    )


def test_a_training_that_betters_itself_is_trained_to_its_end(tmp_path: Path) -> None:
    done = Trained(tmp_path, segment(9), scripted([0.1, 0.2, 0.1, 0.3, 0.2]), 2)
    assert done.steps == 9
    assert done.column == [0.1, 0.2, 0.1, 0.3, 0.2]  # the last epoch is cut short after a step, and is scored
    assert done.early.summary == {"stopped_at_step": None, "best_step": 8, "inner_iou": 0.3}
    assert done.said[-1] == (
        "inner images: the best mean IoU is 0.300, after step 8 of 9, and the weights of that step are kept"
    )


def test_patience_is_counted_from_the_thaw(tmp_path: Path) -> None:
    done = Trained(tmp_path, segment(20, thaw=5, freeze=True, thaw_after=1), scripted([0.5] + [0.1] * 9), 2)
    assert done.steps == 4 * PER_EPOCH  # the first epoch with the encoder is the third
    done = Trained(tmp_path / "frozen", segment(20, freeze=True), scripted([0.5] + [0.1] * 9), 2)
    assert done.steps == 3 * PER_EPOCH


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_scoring_changes_nothing_of_the_training(tmp_path: Path, ema: float) -> None:
    Trained(tmp_path, segment(6, ema=ema), training_loss, 9)
    plain = segment(6, ema=ema)
    loader: DataLoader[object] = DataLoader(squares(), batch_size=None)
    fit(plain, loader, steps=6, precision="32-true", callbacks=[CountedRandomness(0)], resume=None)
    state = torch.load(newest_whole(tmp_path / "checkpoints"), weights_only=True)["state_dict"]
    assert differing(plain, state) == []


class Interrupting(Callback):
    """Ctrl-C before a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: object, *_: object) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("step", [3, 5, 7])  # in the second, the third and the last epoch
def test_a_resumed_training_keeps_the_same_weights_and_ends_at_the_same_step(tmp_path: Path, step: int) -> None:
    def wavering() -> Score:
        """The score of the weights, made worse from some value on, so that the best is not the last."""
        return lambda model: -abs(training_loss(model) - middle)

    values: list[float] = []
    Trained(tmp_path / "first", segment(10, ema=0.5), lambda model: values.append(training_loss(model)) or 0.0, 9)
    middle = values[1]
    unbroken = Trained(tmp_path / "unbroken", segment(10, ema=0.5), wavering(), 2)
    assert unbroken.early.summary["best_step"] == 4
    assert unbroken.steps == 8
    with pytest.raises(KeyboardInterrupt):
        Trained(tmp_path / "broken", segment(10, ema=0.5), wavering(), 2, Interrupting(step))
    state = newest_whole(tmp_path / "broken" / "checkpoints")
    resumed = Trained(tmp_path / "broken", segment(10, ema=0.5), wavering(), 2, resume=state)
    assert resumed.early.summary == unbroken.early.summary
    assert resumed.column == unbroken.column
    assert differing(resumed.module, copied(unbroken.module)) == []


@pytest.mark.parametrize("scores", [[0.1, 0.5, 0.5, 0.4], [0.1, 0.5, 0.2, 0.6, 0.2]])
def test_a_training_that_had_ended_is_not_gone_on_with(tmp_path: Path, scores: list[float]) -> None:
    ended = Trained(tmp_path, segment(10), scripted(scores), 2)
    state = newest_whole(tmp_path / "checkpoints")
    again = Trained(tmp_path, segment(10), scripted([]), 2, resume=state)
    assert again.steps == ended.steps == 2 * len(scores)
    assert again.early.summary == ended.early.summary
    assert differing(again.module.trained, copied(ended.module.trained)) == []
    assert again.said[-1] == ended.said[-1]
