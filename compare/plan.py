"""The plan of a study: every run that it is made of, with the options of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from compare.config import StudyConfig
from dermssl.flags import parse, parse_choice
from dermssl.split_config import SPLIT_OPTIONS
from finetune.config import FinetuneConfig
from pretrain.config import PretrainConfig
from pretrain.recipes import METHODS
from probe.config import ProbeConfig

Stage = Literal["pretrain", "finetune", "probe"]
RunConfig = PretrainConfig | FinetuneConfig | ProbeConfig
STAGES: tuple[Stage, ...] = ("pretrain", "finetune", "probe")
COLUMNS = [
    "stage", "name", "hash", "state", "seconds", "init", "method", "encoder", "decoder", "label_fraction", "seed",
    "folder", "error",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run of the study: what it is in words, and the options to do it with."""

    stage: Stage
    init: str
    method: str
    encoder: str
    config: RunConfig
    decoder: str = ""
    label_fraction: float | None = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """What a person calls it: `unet, ssl, 10 % of labels, seed 0`."""
        arm = self.method if self.init == "ssl" else self.init
        share = "" if self.label_fraction is None else f"{100 * self.label_fraction:g} % of labels"
        seed = "" if self.seed is None else f"seed {self.seed}"
        return ", ".join(filter(None, [self.stage, self.decoder, arm, self.encoder, share, seed]))

    @property
    def pretrained_by(self) -> tuple[str, str] | None:
        """Method and encoder of the pretraining that this run needs, if it needs one."""
        return (self.method, self.encoder) if self.init == "ssl" and self.stage != "pretrain" else None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task."""

    state: Literal["planned", "done", "failed"] = "planned"
    folder: str = ""
    seconds: float | None = None
    error: str = ""


def tasks_of(study: StudyConfig, threads: Mapping[Stage, int]) -> list[Task]:
    """Every run of the study, in the order in which they are done."""
    return [
        *pretrainings(study, threads["pretrain"]),
        *finetunings(study, threads["finetune"]),
        *(probes(study, threads["probe"]) if study.probe else []),
    ]


def pretrainings(study: StudyConfig, threads: int) -> list[Task]:
    """One a method and encoder, done once for all decoders, fractions and seeds."""
    if "ssl" not in study.init:
        return []
    tasks = []
    for encoder in study.encoder:
        for method in study.method:
            given = [*file(study.pretrain), "--method", method, "--encoder", encoder, "--seed", str(study.seed[0])]
            config = parse_choice(METHODS, "method", "compare", given)
            folder = study.runs / "pretrain"
            config = replace(config, data=study.unlabelled, out=folder, checkpoints=None, threads=threads,
                             protect=study.data, **held_out(study))  # fmt: skip
            tasks.append(Task(stage="pretrain", init="ssl", method=method, encoder=encoder, config=config))
    return tasks


def finetunings(study: StudyConfig, threads: int) -> list[Task]:
    """Every arm in every cell; ssl stands for an encoder file that is not there yet."""
    fixed = parse(FinetuneConfig, "compare", file(study.finetune))
    tasks = []
    for encoder, decoder, fraction, seed in study.cells:
        for init, method in study.arms:
            config = replace(
                fixed,
                init=init,
                encoder=encoder,
                decoder=decoder,
                label_fraction=fraction,
                seed=seed,
                data=study.data,
                out=study.runs / "finetune",
                threads=threads,
                on_leak=study.on_leak,
            )
            words = {"init": init, "method": method, "encoder": encoder, "decoder": decoder}
            tasks.append(Task(stage="finetune", **words, label_fraction=fraction, seed=seed, config=config))
    return tasks


def probes(study: StudyConfig, threads: int) -> list[Task]:
    """One an arm and encoder."""
    fixed = parse(ProbeConfig, "compare", file(study.probe))
    return [
        Task(
            stage="probe",
            init=init,
            method=method,
            encoder=encoder,
            config=replace(
                fixed,
                init=init,
                encoder=encoder,
                data=study.data,
                out=study.runs / "probe",
                threads=threads,
                **held_out(study),
            ),
        )
        for encoder in study.encoder
        for init, method in study.arms
    ]


def held_out(study: StudyConfig) -> dict[str, Any]:
    """The split of fine-tuning, which pretraining keeps clear of and the probes score on as well."""
    fixed = parse(FinetuneConfig, "compare", file(study.finetune))
    return {name: getattr(fixed, name) for name in SPLIT_OPTIONS} | {"on_leak": study.on_leak}


def file(path: Path | None) -> list[str]:
    """The flag that reads the fixed options."""
    return [] if path is None else ["--config", str(path)]


def plan_table(tasks: Sequence[Task], outcomes: Sequence[Outcome]) -> pd.DataFrame:
    """plan.csv: a row a run with its state, in the order of the tasks."""
    rows = [
        {column: getattr(task, column, None) for column in COLUMNS}
        | vars(outcome)
        | {"hash": Path(outcome.folder).name.rpartition("-")[2]}
        for task, outcome in zip(tasks, outcomes, strict=True)
    ]
    return pd.DataFrame(rows)[COLUMNS]
