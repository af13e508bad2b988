"""What all methods are: an encoder, what hangs on it, a step that returns a loss, and the recipe's optimiser."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, ClassVar, TypeVar

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from dermssl.training.optimise import groups, optimiser, warmup_and_cosine
from dermssl.weights.encoder import Start
from pretrain.config import PretrainConfig
from pretrain.views.batch import Batch

F = TypeVar("F", bound=Callable[..., Any])


def with_autocast_off(function: F) -> F:
    """Runs a loss on float32 tensors with autocast off: bf16 rounds a cosine similarity to 1/128."""

    @wraps(function)
    def exact(*arguments: Any, **options: Any) -> Any:
        floats = [as_float(value) for value in arguments]
        with torch.autocast(arguments[0].device.type, enabled=False):
            return function(*floats, **{name: as_float(value) for name, value in options.items()})

    return exact  # type: ignore[return-value]


in_float32 = with_autocast_off  # the name that methods of your own were written with


def as_float(value: object) -> object:
    """A tensor of half precision in float32; everything else as it is."""
    if isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16):
        return value.float()
    return value


class Method(LightningModule):
    """A network that learns without labels.

    A method sets up its heads after `super().__init__`, and answers a batch with a mapping of scalars: `loss`, which
    is minimised, and whatever is worth a column in metrics.csv. State that a resumed run needs is a persistent buffer.
    Trained is every parameter that asks for a gradient.
    """

    synced: ClassVar[bool] = True
    """Whether BatchNorm sees the images of all processes; False for methods that split the batch on purpose."""
    queues_keys: ClassVar[bool] = False
    """Whether queries meet keys of earlier batches, so that BatchNorm could give their own key away."""

    def __init__(self, start: Start, config: PretrainConfig, steps: int) -> None:
        super().__init__()
        self.encoder, self.normalise = start.encoder, start.normalise
        self.recipe, self.steps = config, steps

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Scalars of a batch, among them `loss`; a mean over this process's own images (dermssl/parallel.py)."""
        raise NotImplementedError

    @property
    def learned(self) -> nn.Module:
        """The encoder that the file gets: the one that is trained, or its slow copy where the paper judges that."""
        return self.encoder

    @property
    def slow_encoder(self) -> nn.Module | None:
        """The slow copy of the encoder, if there is one: a part of the encoder's class that no gradient moves."""
        alike = (module for module in self.modules() if type(module) is type(self.encoder))
        return next((module for module in alike if not any(p.requires_grad for p in module.parameters())), None)

    def queries_and_keys(self, views: Tensor) -> Tensor:
        """Unit queries of the first views and unit keys of the second, (2, B, D), from (2, B, 3, S, S) uint8.

        Only methods that say `queues_keys` are asked.
        """
        raise NotImplementedError

    def decoder_tensors(self) -> dict[str, Tensor]:
        """The tensors of a decoder that was trained with the encoder, as `decoder.NAME`; none by default."""
        return {}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """The recipe's optimiser, with warm-up and cosine over all steps."""
        recipe = self.recipe
        stepper = optimiser(recipe.optimiser, groups([self], recipe.weight_decay), scaled_lr(recipe))
        return warmup_and_cosine(stepper, self.steps, recipe.warmup)


def scaled_lr(config: PretrainConfig) -> float:
    """`lr` x sqrt(batch) for LARS (SimCLR, appendix B.1), lr x batch / 256 for SGD (Goyal et al. 2017), or lr."""
    match config.lr_scaling:
        case "sqrt":
            return config.lr * math.sqrt(config.batch_size)
        case "linear":
            return config.lr * config.batch_size / 256
        case "none":
            return config.lr
