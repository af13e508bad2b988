"""The ImageNet weights that a study starts from, and what to do where they cannot be had."""

from collections.abc import Collection, Sequence

from compare.study.config import StudyConfig
from compare.study.grid import combinations
from compare.study.plan import Task, pretrainings_of
from dermssl.errors import UserError
from dermssl.weights.hub import HUB, INSTALLED, OFFLINE, has_cached_weights, hub_is_near
from pretrain.config import PretrainConfig


def refuse_unreachable(study: StudyConfig) -> None:
    """Stops where no weights were ever fetched and none can be, before libraries that train are loaded.

    Raises:
        UserError: If the study needs some; levels that do not go together are left for others to tell.
    """
    try:
        grid = combinations(study)
        pretrainings = pretrainings_of(study, grid)
    except ValueError:
        return
    arms = {str(factors["encoder"]) for factors in grid if factors["init"] == "imagenet"}
    needed = (arms | encoders_from_imagenet(pretrainings)) - INSTALLED.keys()
    if needed and not hub_is_near() and not has_cached_weights():
        raise UserError(missing_weights(study, pretrainings, needed))


def encoders_from_imagenet(tasks: Sequence[Task]) -> set[str]:
    """Encoders of arms and of pretrainings that start from ImageNet."""
    return {encoder for task in tasks if (encoder := from_imagenet(task))}


def from_imagenet(task: Task) -> str:
    """The encoder that a run starts from ImageNet; '' where it starts elsewhere."""
    start = task.config.init if isinstance(task.config, PretrainConfig) else task.factors["init"]
    return str(task.factors["encoder"]) if start == "imagenet" else ""


def missing_weights(study: StudyConfig, tasks: Sequence[Task], absent: Collection[str]) -> str:
    """What is said of encoders whose weights cannot be had: which, and which flags do without them."""
    rest = [encoder for encoder in study.encoder if encoder not in absent] or [OFFLINE]
    return (
        f"--encoder: no weights for {', '.join(sorted(absent))} could be had from {HUB}; connect to the network once, "
        f"which keeps them, or give --encoder {' '.join(rest)}, whose weights are here, or start from none: "
        f"{' and '.join(flags_without_imagenet(study, tasks))}"
    )


def flags_without_imagenet(study: StudyConfig, tasks: Sequence[Task]) -> list[str]:
    """Flags, and lines of the file of pretraining, that make a study start from no ImageNet weights."""
    flags = []
    if "imagenet" in study.init:
        inits = [init for init in study.init if init != "imagenet"] or ["random"]
        flags.append(f"--init {' '.join(inits)}")
        if "imagenet" in study.contrast and len(inits) > 1:
            flags[0] += f" --contrast {inits[0]} {inits[1]}"
    if any(task.stage == "pretrain" and from_imagenet(task) for task in tasks):
        flags.append(f"`init: random` in {study.pretrain or 'a file for --pretrain'}")
    return flags
