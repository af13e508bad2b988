"""The plan of a study: every run that it is made of, with the options of each and what it waits for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal

from compare.study.config import StudyConfig
from compare.study.factors import FACTORS, Level, is_recipe_file
from compare.study.grid import Factors, combination_in_words, combinations, finetuning_options, fixed_options, inits
from compare.study.identity import run_identity
from compare.study.search_config import SearchConfig
from dermssl.errors import UserError
from dermssl.files import short_hash
from dermssl.flags import option_names, parse, parse_choice
from dermssl.splits.config import SPLIT_OPTIONS
from dermssl.yaml_words import read_words
from finetune.options.config import FinetuneConfig
from pretrain.config import PretrainConfig
from pretrain.known_methods import METHODS
from probe.config import ProbeConfig

if TYPE_CHECKING:  # they bring torch, and plans are made without pictures too
    from compare.study.images import StudyImages

Stage = Literal["pretrain", "search", "finetune", "probe"]
RunConfig = PretrainConfig | FinetuneConfig | ProbeConfig | SearchConfig
STAGES: tuple[Stage, ...] = ("pretrain", "search", "finetune", "probe")
NO_LEVELS: Factors = dict.fromkeys(FACTORS)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A run of the study: what it is in words, the options to do it with, and the runs that it waits for."""

    id: str
    """Ten hex digits: a function of its options, its images and what it needs."""
    stage: Stage
    name: str
    """What a person calls it: `finetune, unet, ssl, 10 % of labels, seed 0`."""
    factors: Mapping[str, str | int | float | None]
    """Every key of FACTORS; None where it has no level of it."""
    config: RunConfig
    needs: tuple[str, ...] = ()
    """Ids of its pretraining and of the search of its learning rate."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a task."""

    state: Literal["planned", "running", "done", "failed"] = "planned"
    folder: str = ""
    seconds: float | None = None
    error: str = ""
    attempts: int = 0
    memory_mb: float | None = None
    host: str = ""
    started: str = ""
    """UTC, ISO 8601."""
    lost: bool = False
    """Whether what did the run died, and not the run by itself: killed, out of memory, its machine gone."""
    final: bool = False
    """Whether it is no use to try again: a user's mistake."""


def tasks_of(study: StudyConfig, threads: int, images: "StudyImages | None" = None) -> list[Task]:
    """Every run of the study, in the order in which they are begun.

    Args:
        study: What is asked.
        threads: CPU threads of each run.
        images: Other images are other runs; and where the ones to pretrain on are strangers to all labelled ones, one
            pretraining serves all folds. Without them neither is known.
    """
    plan = Plan(study, threads, images)
    grid = combinations(study)
    finetunings = [plan.finetuning(factors) for factors in grid]
    return [
        *plan.pretrainings.values(),
        *plan.searches.values(),
        *finetunings,
        *(plan.probes(grid) if study.probe else []),
    ]


def pretrainings_of(study: StudyConfig, grid: Sequence[Factors]) -> list[Task]:
    """The pretrainings alone, which a look at their options asks for: the rest of a plan takes ten times as long."""
    plan = Plan(study, 1, None)
    for factors in grid:
        plan.pretraining(factors)
    return list(plan.pretrainings.values())


class Plan:
    """The tasks in the making: pretrainings and searches come up as fine-tunings need them, and are made once each."""

    def __init__(self, study: StudyConfig, threads: int, images: "StudyImages | None") -> None:
        self.study, self.threads, self.images = study, threads, images.hash if images else ""
        self.one_pool = len(study.folds_run) > 1 and images is not None and images.apart
        self.pretrainings: dict[str, Task] = {}
        self.searches: dict[str, Task] = {}
        self.recipes: dict[str, PretrainConfig] = {}
        self.ids: dict[tuple[Level, ...], str] = {}  # of pretrainings and searches, by the levels that they are of

    def task(self, stage: Stage, factors: Factors, config: RunConfig, needs: tuple[str, ...] = ()) -> Task:
        """A task with its name and id."""
        what = {"stage": stage, "options": run_identity(config), "images": self.images, "needs": sorted(needs)}
        name = f"{stage}, {combination_in_words(factors, self.study)}"
        return Task(id=short_hash(what), stage=stage, name=name, factors=factors, config=config, needs=needs)

    def pretraining(self, factors: Factors) -> tuple[str, ...]:
        """The id of the pretraining whose encoder this combination starts from; none where it starts from another."""
        study, init = self.study, factors["init"]
        if init != "ssl":
            return ()
        seed = study.seed[study.seed.index(int(factors["seed"] or 0)) % study.pretrainings]
        own = NO_LEVELS | {name: factors[name] for name in ("init", "method", "encoder", "fold")} | {"seed": seed}
        own |= {"fold": study.folds_run[0]} if self.one_pool else {}
        levels = ("pretrain", *own.values())
        if levels not in self.ids:
            config = replace(self.recipe(str(own["method"])), encoder=str(own["encoder"]), seed=seed,
                             data=study.unlabelled, protect=study.data, out=study.runs / "pretrain", checkpoints=None,
                             threads=self.threads, **split_options(study, own))  # fmt: skip
            task = self.task("pretrain", own | {"seed": seed if study.pretrainings > 1 else None}, config)
            self.ids[levels] = self.pretrainings.setdefault(task.id, task).id
        return (self.ids[levels],)

    def recipe(self, name: str) -> PretrainConfig:
        """What holds for every pretraining of that name: its files of options are read once."""
        if name not in self.recipes:
            study, word = self.study, self.study.recipes[name]
            method = method_of_recipe(word)
            files = [str(study.pretrain)] * (study.pretrain is not None) + [word] * is_recipe_file(word)
            words = ["--config", *files] * bool(files) + [f"--method={method}", f"--encoder={study.encoder[0]}"]
            others = options_of_others(study, method) - set(read_words(Path(word)) if is_recipe_file(word) else ())
            self.recipes[name] = parse_choice(METHODS, "method", "python -m pretrain", words, without=others)
            refuse_own_images(self.recipes[name], study, word)
        return self.recipes[name]

    def search(self, factors: Factors) -> tuple[str, ...]:
        """The id of the search that finds this combination's learning rate; none where it is given."""
        study = self.study
        if study.search == "none":
            return ()
        own = factors | {"seed": None, "lr": None}
        levels = ("search", *own.values())
        if levels not in self.ids:
            task = self.task("search", own, self.search_options(own), self.pretraining(own | {"seed": study.seed[0]}))
            self.ids[levels] = self.searches.setdefault(task.id, task).id
        return (self.ids[levels],)

    def search_options(self, factors: Factors) -> SearchConfig:
        """Of the search for these levels, none of which is a seed or a rate."""
        study = self.study
        first = study.search_seeds[0]
        tuning = finetuning_options(study, factors, seed=first, score_on="inner", threads=self.threads)
        trials = study.search_trials if study.search == "optuna" else len(study.search_lr)
        place = study.folder / "search"
        return SearchConfig(tuning=tuning, strategy=study.search, rates=study.search_lr, trials=trials,
                            seeds=study.search_seeds, folder=place, threads=self.threads)  # fmt: skip

    def finetuning(self, factors: Factors) -> Task:
        """One fine-tuning."""
        config = finetuning_options(self.study, factors, threads=self.threads)
        return self.task("finetune", factors, config, self.pretraining(factors) + self.search(factors))

    def probes(self, grid: list[Factors]) -> list[Task]:
        """One for each start of each encoder, of the first fold and the first pretraining."""
        study, options = self.study, parse(ProbeConfig, "python -m probe", config_flag(self.study.probe))
        first = {"fold": study.folds_run[0] if study.folds_run else None, "seed": study.seed[0]}
        used = {(combination["encoder"], combination["init"], combination["method"]) for combination in grid}
        starts = [(encoder, *start) for encoder in study.encoder for start in inits(study)]
        tasks = []
        for encoder, init, method in (start for start in starts if start in used):
            factors = NO_LEVELS | {"encoder": encoder, "init": init, "method": method}
            config = replace(options, init=init, encoder=encoder, data=study.data, out=study.runs / "probe",
                             threads=self.threads, **split_options(study, factors | first))  # fmt: skip
            tasks.append(self.task("probe", factors, config, self.pretraining(factors | first)))
        return tasks


def completed_task(task: Task, folders: Mapping[str, Path]) -> Task:
    """The task with the encoder file and the learning rate that what it needs has left.

    Args:
        task: Of the plan.
        folders: Run folder of every task that is done, by id.
    """
    config = task.config
    for need in task.needs:
        folder = folders[need]
        if (folder / "encoder.safetensors").is_file():
            config = with_options(config, init=str(folder / "encoder.safetensors"))
        else:
            config = with_options(config, lr=best_rate(folder))
    return replace(task, config=config)


def best_rate(folder: Path) -> float:
    """The learning rate that the search in `folder` found."""
    return float(json.loads((folder / "result.json").read_text(encoding="utf-8"))["best"])


def with_options(config: RunConfig, **options: Any) -> RunConfig:
    """The options with others in their place: those of the fine-tuning inside a search."""
    if isinstance(config, SearchConfig):
        return replace(config, tuning=replace(config.tuning, **options))
    return replace(config, **options)


def split_options(study: StudyConfig, factors: Factors) -> dict[str, Any]:
    """The split of a fine-tuning, which pretraining keeps clear of and the probes score on as well."""
    base = fixed_options(study)
    split = {name: getattr(base, name) for name in SPLIT_OPTIONS} | {"on_leak": study.on_leak}
    return split if factors["fold"] is None else split | {"fold": factors["fold"]}


def method_of_recipe(word: str) -> str:
    """The method that a recipe's file names, or the one that is named itself.

    Raises:
        UserError: If the file cannot be read or names no method.
    """
    if not is_recipe_file(word):
        return word
    method = " ".join(read_words(Path(word)).get("method", []))
    if not method:
        raise UserError(f"--method {word}: the recipe names no method; write `method: simclr`, or another, into it")
    return method


def refuse_own_images(recipe: PretrainConfig, study: StudyConfig, word: str) -> None:
    """Refuses a recipe that names images of its own: all pretrainings of a study see the same ones."""
    if recipe.data not in (None, study.unlabelled):
        file = f"--method {word}" if is_recipe_file(word) else f"--pretrain {study.pretrain}"
        raise UserError(
            f"{file}: names images of its own (data: {recipe.data}); a study pretrains on --unlabelled "
            f"({study.unlabelled}) alone, of which `limit` takes fewer; take `data` out of the file"
        )


def options_of_others(study: StudyConfig, method: str) -> set[str]:
    """Options that only other methods of the study have: the file of fixed options is for all of its methods."""
    methods = {method_of_recipe(word) for word in study.method}
    names = {name: set(option_names(method_options(name))) for name in methods if name in METHODS}
    return set().union(*names.values()) - names.get(method, set())


def method_options(method: str) -> type[PretrainConfig]:
    """The options of a method, imported where they stand elsewhere."""
    config = METHODS[method]
    return resolve_name(config) if isinstance(config, str) else config


def config_flag(path: Path | None) -> list[str]:
    """The flag that reads the fixed options."""
    return [] if path is None else ["--config", str(path)]
