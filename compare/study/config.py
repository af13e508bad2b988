"""The options of a study: the factors of its grid, what is held fixed, what it is to decide, and how it is done."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import ClassVar, Literal

from compare.study.factors import FACTORS, Arms, Level, level
from compare.study.rules import ExclusionRule, exclusion_rule
from dermssl.bounds import above_zero, at_least, processes, share, sides, whole_seeds
from dermssl.data.config import Reading
from dermssl.errors import shown
from dermssl.splits.config import OnLeak, refuse_folds
from dermssl.wording import spelling_hint
from finetune.options.augment import Padding
from finetune.options.decoder import Decoder
from finetune.options.transfer import DecoderInit

MOST_COMBINATIONS = 100_000
LONGEST_NAME = 200
WEIGHTS = ("ssl", "imagenet", "random")


@dataclass(frozen=True, kw_only=True)
class GridConfig:
    """The factors, and which of their combinations are run."""

    GROUP: ClassVar[str] = "factors"

    init: tuple[str, ...] = ("ssl", "imagenet", "random")
    """Weights to start from: ssl, imagenet, random, or encoder files."""
    method: tuple[str, ...] = ("simclr",)
    """Pretrainings behind ssl, each an arm: methods, or YAML files of recipes, which stand above --pretrain."""
    encoder: tuple[str, ...] = ("tu-tf_efficientnet_lite0",)
    """Encoders, each with every init."""
    decoder: tuple[Decoder, ...] = ("unet", "fpn")
    """Decoders, each on every encoder."""
    decoder_init: tuple[DecoderInit, ...] = ()
    """Weights that decoders start from: pretrained (with the encoder, where its file holds one) or random; by default as --finetune says."""  # noqa: E501
    loss: tuple[str, ...] = ()
    """Losses, as `python -m finetune --loss` takes them; by default the one of --finetune."""
    lr: tuple[float, ...] = ()
    """Peak learning rates of fine-tuning; by default the one of --finetune."""
    image_size: tuple[int, ...] = ()
    """Sides of the network's input, pixels; by default the one of --finetune."""
    padding: tuple[Padding, ...] = ()
    """What fills corners that a turn uncovers; by default as --finetune says."""
    augmentation: tuple[str, ...] = ()
    """Presets of augmentation, or YAML files; by default the one of --finetune."""
    label_fraction: tuple[float, ...] = (0.1, 1.0)
    """Shares of the training images whose masks are used."""
    folds: int = 0
    """Folds of a cross-validation, so that every image is scored; 0 holds out as --finetune says."""
    fold: tuple[int, ...] = ()
    """Folds that are run, counted from 0; all by default."""
    seed: tuple[int, ...] = (0, 1)
    """Seeds of fine-tuning: every arm is trained once with each of them in every setting."""
    pretrainings: int = 1
    """Pretrainings of each method on each encoder, which seeds share in turn; with one, intervals do not cover them."""
    exclude: tuple[str, ...] = ()
    """Combinations that are left out, such as 'decoder=pspnet label_fraction=0.05'."""

    def __post_init__(self) -> None:
        for factor in FACTORS:
            values = getattr(self, factor)
            wanted = "one value or more, " if getattr(GridConfig, factor) else "values, "
            if (not values and getattr(GridConfig, factor)) or len(set(values)) != len(values):
                raise ValueError(f"--{factor} needs {wanted}none of them twice; got {list(values)}")
        share(self, "label_fraction", interval="(0, 1]")
        above_zero(self, "lr")
        whole_seeds(self, "seed")
        sides(self, "image_size", least=32)
        if not 1 <= self.pretrainings <= len(self.seed):
            raise ValueError(f"--pretrainings is 1 to the number of --seed, {len(self.seed)}; got {self.pretrainings}")
        refuse_folds(self.folds)
        wrong = [fold for fold in self.fold if not 0 <= fold < self.folds]
        if wrong:
            raise ValueError(f"--fold is counted from 0 to --folds less one; got {wrong[0]} of {self.folds} folds")
        for init in self.init:
            if init not in WEIGHTS and not init.endswith(".safetensors"):
                hint = spelling_hint(init, WEIGHTS) or f"; there are {', '.join(WEIGHTS)}"
                raise ValueError(f"--init {init}: is no init and no encoder file{hint}")
        for factor, kind in (("init", "encoder file"), ("method", "recipe")):
            names = Counter(level(factor, value) for value in getattr(self, factor))
            twice = [name for name, count in names.items() if count > 1]
            if twice:
                raise ValueError(f"--{factor}: two of them would be called '{twice[0]}'; rename one {kind}")
        self.refuse_size()
        self.rules  # noqa: B018 - a wrong rule is told here

    def refuse_size(self) -> None:
        """Refuses a grid that nobody can plan, let alone run."""
        counts = {factor: len(getattr(self, factor)) or 1 for factor in FACTORS} | {"fold": len(self.folds_run) or 1}
        if prod(counts.values()) > MOST_COMBINATIONS:
            largest = max(counts, key=lambda factor: counts[factor])
            raise ValueError(
                f"--{largest} has {counts[largest]} levels, and the grid {prod(counts.values())} combinations, of "
                f"which a study holds {MOST_COMBINATIONS} at most; give fewer levels, or make several studies"
            )

    @property
    def folds_run(self) -> tuple[int, ...]:
        """The folds that are run; none without a cross-validation."""
        return self.fold or tuple(range(self.folds))

    @property
    def rules(self) -> tuple[ExclusionRule, ...]:
        """The rules that --exclude writes."""
        levels = {factor: dict.fromkeys(level(factor, one) for one in getattr(self, factor)) for factor in FACTORS}
        levels["fold"] = dict.fromkeys(level("fold", fold) for fold in self.folds_run)
        return tuple(exclusion_rule(text, levels) for text in self.exclude)


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How the learning rate of each arm is found, on training images alone."""

    GROUP: ClassVar[str] = "training"

    search: Literal["none", "grid", "optuna"] = "none"
    """Find the learning rate of each arm, in each setting and at each label fraction, before its runs: over --search_lr, or between its ends by Optuna."""  # noqa: E501
    search_lr: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    """Learning rates of the grid, or the lowest and the highest for optuna."""
    search_trials: int = 8
    """Learning rates that optuna tries for each arm; a grid tries all of --search_lr."""
    search_seeds: tuple[int, ...] = (0,)
    """Seeds that every rate is tried with; their mean on the inner images decides."""

    def __post_init__(self) -> None:
        above_zero(self, "search_lr")
        at_least(self, 1, "search_trials")
        whole_seeds(self, "search_seeds")
        if not self.search_lr or len(set(self.search_lr)) != len(self.search_lr):
            raise ValueError(f"--search_lr are rates above 0, none of them twice; got {list(self.search_lr)}")
        if self.search == "optuna" and len(self.search_lr) != 2:
            raise ValueError(f"--search_lr is the lowest and the highest rate for optuna, got {list(self.search_lr)}")
        if not self.search_seeds or len(set(self.search_seeds)) < len(self.search_seeds):
            raise ValueError(f"--search_seeds are seeds, one or more and none twice; got {list(self.search_seeds)}")


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """Where the runs are done, and how many side by side."""

    GROUP: ClassVar[str] = "machine"

    executor: Literal["local", "ray"] = "local"
    """Processes of this machine, or the machines of a Ray cluster that see the same files."""
    address: str = "auto"
    """Where the Ray cluster answers, as host:6379; auto is the one that this machine belongs to."""
    jobs: int = 0
    """Runs side by side; 0 is one a core, on GPUs --per_gpu on each, and on a cluster as many as fit."""
    threads: int = 0
    """CPU threads of each run; 0 shares the cores of this machine between the runs, and is 1 on a Ray cluster."""
    per_gpu: int = 1
    """Runs side by side on one GPU."""
    memory: float | None = None
    """GB that a run may hold before it is stopped; no limit by default."""
    budget: float | None = None
    """Hours after which no further run is started; the report is made of what is there, and the next call goes on."""
    trust: bool = False
    """Take finished runs as they are though their files were changed since."""
    timed: bool = True
    """With `plan`: time a few steps of each kind of run, some seconds each, where no finished run tells."""
    yes: bool = False
    """With `clean`: remove without asking."""
    changed: bool = False
    """With `clean`: remove finished runs whose files were changed as well."""
    kept: Path = Path("results")
    """With `keep`: folder in which the study gets a folder of its scores and facts, without weights and pictures."""
    once: bool = False
    """With `status`: print once, in place of a table that follows the study."""
    sbatch: tuple[str, ...] = ()
    """With `slurm`: options of sbatch without dashes, such as partition=gpu gres=gpu:1 time=12:00:00; `mem=` asks for none."""  # noqa: E501

    def __post_init__(self) -> None:
        processes(self, "jobs", "threads", "per_gpu")
        at_least(self, 1, "per_gpu")
        above_zero(self, "memory", "budget")
        if self.memory is not None and self.executor == "ray":
            raise ValueError("--memory is watched on this machine alone; leave it out with --executor ray")
        wrong = [word for word in self.sbatch if word.startswith("-") or word.split("=")[0] in ("array", "chdir")]
        if wrong:
            raise ValueError(f"--sbatch takes options without dashes, and array and chdir are given; got '{wrong[0]}'")


@dataclass(frozen=True, kw_only=True)
class StudyConfig(ExecutionConfig, SearchOptions, GridConfig, Reading):
    """Every level of every factor on the same images, and what follows from it.

    Runs are named by their content: what was done is never done again, here or in another study.
    """

    REST: ClassVar[str] = "study"
    USUAL: ClassVar[tuple[str, ...]] = (
        "name",
        "contrast",
        "pretrain",
        "finetune",
        "probe",
        "init",
        "method",
        "encoder",
        "decoder",
        "label_fraction",
        "seed",
        "data",
        "unlabelled",
        "search",
        "out",
        "jobs",
        "threads",
        "budget",
        "once",
        "yes",
    )
    EXAMPLES: ClassVar[tuple[str, ...]] = (
        "python -m compare plan demo",
        "python -m compare run demo --jobs 2",
        "python -m compare status demo --once",
    )

    # Where a study lies and how fast it goes is no part of what it is.
    ELSEWHERE: ClassVar[frozenset[str]] = frozenset({
        "out", "runs", "data", "masks", "lesion_value", "unlabelled",
        "executor", "address", "jobs", "threads", "per_gpu", "memory", "budget",
        "trust", "timed", "yes", "changed", "kept", "once", "sbatch",
    })  # fmt: skip

    name: str = "study"
    """What the study is called, in its report and as its folder."""
    question: str = ""
    """What the study is to answer, in a sentence for the report; made from the contrast by default."""
    arms: Arms = "init"
    """The factor whose levels are compared; the others are what they are compared under."""
    contrast: tuple[str, str] = ("ssl", "imagenet")
    """The primary question: is the first level of --arms better than the second? A method names its arm."""
    margin: float = 0.01
    """Differences of mean IoU within this count as equivalent."""
    chosen_on: tuple[int, ...] = ()
    """Folds whose images had a part in choosing what is compared; the report gives the contrasts without them too."""
    data: Path | None = None
    """Folder of images and masks. By default data/isic2018 where it exists, else the synthetic set."""
    unlabelled: Path | None = None
    """Folder of images to pretrain on. By default data/unlabelled, data/isic2018, or the synthetic set."""
    on_leak: OnLeak = "stop"
    """If held-out images, or near-duplicates of them, are trained on: stop, drop them from training, or allow it."""
    pretrain: Path | None = None
    """YAML file of fixed options of pretraining; what only some of --method have is for those."""
    finetune: Path | None = None
    """YAML file of fixed options of fine-tuning."""
    probe: Path | None = None
    """YAML file of fixed options of the probes; without one, none are made."""
    out: Path = Path("runs/compare")
    """Folder of study folders."""
    runs: Path = Path("runs")
    """Folder of the run folders of every command."""

    def __post_init__(self) -> None:
        for group in (GridConfig, SearchOptions, ExecutionConfig, Reading):
            group.__post_init__(self)
        known = self.compared
        absent = [name for name in self.contrast if contrast_level(self.arms, name) not in known]
        if absent or self.contrast[0] == self.contrast[1]:
            hint = spelling_hint(absent[0], known) if absent else ""
            given = " ".join(self.contrast)
            raise ValueError(f"--contrast names two of --{self.arms} ({', '.join(known)}); got {given}{hint}")
        if self.search != "none" and self.lr:
            raise ValueError(f"--search {self.search} finds what --lr {list(self.lr)} gives; leave one of them out")
        above_zero(self, "margin")
        self.refuse_no_fresh_fold()
        refuse_folder_name(self.name)

    def refuse_no_fresh_fold(self) -> None:
        """Refuses folds that there are not, and a choice by which no image is left to judge it."""
        wrong = [fold for fold in self.chosen_on if not 0 <= fold < self.folds]
        if wrong:
            number = f"{self.folds} folds" if self.folds else "a study without --folds"
            raise ValueError(f"--chosen_on is counted from 0 to --folds less one; got {wrong[0]} of {number}")
        if self.folds and set(self.chosen_on) == set(range(self.folds)):
            raise ValueError(f"--chosen_on names all {self.folds} folds, so no image is left to judge the choice by")

    @property
    def compared(self) -> tuple[str, ...]:
        """What --contrast may name: the levels of the factor that is compared, and the methods behind ssl."""
        levels = tuple(level(self.arms, one) for one in getattr(self, self.arms))
        return levels + tuple(self.recipes) * (self.arms == "init" and "ssl" in self.init)

    @property
    def recipes(self) -> dict[str, str]:
        """What each pretraining is called -> the method, or the file of its recipe."""
        return {level("method", method): method for method in self.method}

    @property
    def folder(self) -> Path:
        """The study folder."""
        return self.out / self.name


def refuse_folder_name(name: str) -> None:
    """Refuses a name that is no name of one folder: the study would lie elsewhere, or nowhere."""
    length = len(name.encode(errors="surrogateescape"))
    if Path(name).name != name or name in ("", "..") or "\0" in name or not 0 < length <= LONGEST_NAME:
        raise ValueError(
            f"--name is the name of one folder, without / and of {LONGEST_NAME} letters at most; got {shown(name)}; "
            "--out says where it lies"
        )


def contrast_level(arms: str, name: str) -> str:
    """A name in --contrast as its level is said: 1e-3 and 0.001 are one rate."""
    number: Level = name
    if arms in ("lr", "image_size"):
        try:
            number = float(name.removesuffix("px"))
        except ValueError:
            return name
    return level(arms, number)
