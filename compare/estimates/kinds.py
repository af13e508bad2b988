"""The kind of a run, on which the time of a step depends, and how much a run has to do of it."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from compare.study.plan import Task
from compare.study.search_config import SearchConfig
from dermssl import flags
from finetune.options.config import FinetuneConfig
from pretrain.config import PretrainConfig
from pretrain.known_methods import METHODS
from probe.config import ProbeConfig

# The options that time and memory depend on. Inits, seeds, rates and fractions of labels cost the same. So do losses,
# but for one: of the others the dearest, lovasz, takes a thirtieth of a step of the smallest encoder.
COSTLY = {
    "pretrain": (
        "method", "encoder", "image_size", "batch_size", "precision", "cache_size", "views", "padding", "colour",
        "look_every", "local_crops", "local_size", "queue_size", "micro_batch", "decoder", "workers", "threads",
    ),
    "finetune": (
        "encoder", "decoder", "encoder_depth", "image_size", "batch_size", "precision", "augmentation", "fit",
        "cache_size", "symmetries", "freeze", "ema", "workers", "threads",
    ),
    "probe": ("encoder", "image_size", "batch_size", "umap", "sheets", "explorer", "pairs", "threads"),
}  # fmt: skip
COSTLY_LOSS = "boundary"  # measures distances at every step, on a GPU between whole columns of pixels


class RunKind(NamedTuple):
    """Runs that take equally long a step, a row of metrics.csv and a picture."""

    stage: str
    options: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """What a person calls it: `finetune, unet on resnet18, 96 px, dice, batch 16`."""
        values = dict(self.options)
        encoder = values["encoder"].removeprefix("tu-")
        head = f"{values['decoder']} on {encoder}" if values.get("decoder") else encoder
        parts = [self.stage, values.get("method", ""), head, f"{values['image_size']} px", values.get("loss", "")]
        return ", ".join(filter(None, [*parts, f"batch {values['batch_size']}"]))


class Amount(NamedTuple):
    """How much there is to do."""

    steps: int
    """Steps of the optimiser."""
    rows: int
    """Rows of metrics.csv: at each a checkpoint is kept, and pretraining is looked at."""
    pictures: int
    """Images that are scored, or whose features are computed."""


def run_kind(stage: str, options: Mapping[str, Any]) -> RunKind:
    """The kind of a run from its options (`dermssl.flags.plain_options`); one that is not named has its default.

    Args:
        stage: pretrain, finetune or probe.
        options: All of them, or those of a run folder that an earlier version made.
    """
    standard = default_options(stage, str(options.get("method", "")))
    chosen = {name: options.get(name, standard.get(name)) for name in COSTLY[stage]}
    chosen["loss"] = COSTLY_LOSS if COSTLY_LOSS in str(options.get("loss", "")) else None
    return RunKind(stage, tuple((name, str(value)) for name, value in chosen.items() if value is not None))


def default_options(stage: str, method: str) -> Mapping[str, Any]:
    """The default of every option of a stage."""
    if stage == "pretrain":
        named = METHODS.get(method, PretrainConfig)
        config: Any = PretrainConfig if isinstance(named, str) else named
    else:
        config = {"finetune": FinetuneConfig, "probe": ProbeConfig}[stage]
    return {field.name: field.default for field in dataclasses.fields(config)}


def training_options(task: Task) -> PretrainConfig | FinetuneConfig | ProbeConfig:
    """The options of the run, or of one of the trainings that a search is made of."""
    return task.config.tuning if isinstance(task.config, SearchConfig) else task.config


def task_kind(task: Task) -> RunKind:
    """The kind of a run; of a search that of the trainings that it is made of."""
    stage = "finetune" if task.stage == "search" else task.stage
    return run_kind(stage, flags.plain_options(training_options(task)))


def repeats(task: Task) -> int:
    """How many trainings a run is: one, but for a search."""
    if not isinstance(task.config, SearchConfig):
        return 1
    config = task.config
    return len(config.seeds) * (config.trials if config.strategy == "optuna" else len(config.rates))
