"""A short run of a kind, in a process of its own, to learn what a long one takes.

It is a true run of the command itself, with a few steps and a few pictures, in a folder that is thrown away: so its
reading, drawing, checkpoints and figures are in it, and what a run does is written down in one place only.
"""

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from compare.estimates.timings import METRICS, Rates, modification_time, rates_of, size_mb, step_seconds
from compare.estimates.work import Workload
from compare.study.plan import RunConfig
from dermssl.data.kept import kept_folder, temporary_folder
from dermssl.parts import part_prefix, sweep_parts
from dermssl.runs.seal import RESULT
from dermssl.signals import hear_from_now_on, start_deaf
from finetune.options.config import FinetuneConfig
from pretrain.config import PretrainConfig
from probe.config import ProbeConfig

LIMIT = 120.0  # seconds for one kind; where it is not enough, the steps that were done until then tell
STEPS = {"pretrain": 7, "finetune": 10}  # the first two rows are not counted: they warm up
SCORED = 8  # pictures
PROBED = (24, 32, 128)  # pictures; the first run loads libraries, the other two tell the slope
LOG, WHOLE = "timed.log", "whole.json"


def time_short_runs(stage: str, config: RunConfig, images: Workload, limit: float = LIMIT) -> Rates | None:
    """What this kind of run costs on this machine with as many threads as the run will have.

    Args:
        stage: pretrain, finetune or probe.
        config: Of one run of the kind; its weights are random ones, which cost what others cost.
        images: Of the study.
        limit: Seconds after which it is stopped.

    Returns:
        The rates; None where not even two rows of steps were done within the limit, or the run failed.
    """
    home = temporary_folder()
    sweep_parts(home)  # what a command that was killed meanwhile left
    with tempfile.TemporaryDirectory(prefix=f"{part_prefix()}timed-", dir=home) as name:
        place = Path(name)
        runs = [replace(run, out=place / "runs") for run in short_configs(config, images)]
        roots = [images.labelled.root, *([images.unlabelled.root] if stage == "pretrain" else [])]
        began = time.time()
        process = multiprocessing.get_context("spawn").Process(
            target=do_short_runs, args=(runs, place, roots), daemon=True
        )
        start_deaf(process)
        process.join(limit)
        if process.is_alive():
            process.kill()
            process.join()
            return rates_of_stopped_run(place, config, began)
        return rates_of_ended_runs(place, stage) if process.exitcode == 0 else None


def short_configs(config: RunConfig, images: Workload) -> Sequence[Any]:
    """The short runs that stand for a run with these options."""
    if isinstance(config, PretrainConfig):
        few: dict[str, Any] = {"limit": config.batch_size, "epochs": STEPS["pretrain"], "protect": None, "logger": ()}
        if config.queue_size:
            few["queue_size"] = min(config.queue_size, config.batch_size)
        return [replace(config, init="random", checkpoints=None, resume=None, on_leak="allow", **few)]
    if isinstance(config, ProbeConfig):
        return [replace(config, init="random", against="", on_leak="allow", limit=limit) for limit in PROBED]
    assert isinstance(config, FinetuneConfig)
    split = images.split(config, config.limit)
    count = len(split.train) + len(split.val)
    limit = min(count, max(2 * SCORED, round(SCORED * count / len(split.val))), 25 * SCORED)
    frozen = config.freeze and config.thaw_after is None
    return [
        replace(
            config, init="random", label_fraction=1.0, limit=limit, steps=STEPS["finetune"], epochs=None, patience=0,
            threshold_search=False, freeze=frozen, thaw_after=None, resume=None, on_leak="allow",
            lr=3e-4 if config.lr == "auto" else config.lr, logger=(),
        )
    ]  # fmt: skip


def do_short_runs(runs: Sequence[RunConfig], place: Path, roots: Sequence[Path]) -> None:
    """In the process: the runs one after the other, and how long each took, in `whole.json`."""
    log = os.open(place / LOG, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    hear_from_now_on()  # a traceback of Ctrl-C goes to the log
    use_own_cache(place / "cache", roots)
    command = command_of(runs[0])  # libraries load before the clock starts, as in a worker that goes on
    took = {}
    for config in runs:
        began = time.perf_counter()
        folder = command(config)
        took[str(folder)] = time.perf_counter() - began
    (place / WHOLE).write_text(json.dumps(took))


def command_of(config: RunConfig) -> Callable[[Any], Path]:
    """What does a run with these options, and returns its folder."""
    if isinstance(config, PretrainConfig):
        from pretrain.run import run as pretrain

        return lambda options: pretrain(options).parent
    if isinstance(config, ProbeConfig):
        from probe.run import run as probe

        return probe
    from finetune.run import run as finetune

    return finetune


def use_own_cache(home: Path, roots: Sequence[Path]) -> None:
    """Lets this process keep nothing of a data set beside what true runs keep, and yet use that."""
    caches = [kept_folder(root) for root in roots]
    os.environ["DERMSSL_CACHE"] = str(home)
    for cache, root in zip(caches, roots, strict=True):
        own = kept_folder(root)
        own.mkdir(parents=True, exist_ok=True)
        for path in cache.glob("[!.]*") if cache.is_dir() else ():
            own.joinpath(path.name).symlink_to(path.resolve())


def rates_of_ended_runs(place: Path, stage: str) -> Rates | None:
    """What runs that ended tell."""
    took = {Path(folder): float(seconds) for folder, seconds in json.loads((place / WHOLE).read_text()).items()}
    if stage != "probe":
        folder, seconds = next(iter(took.items()))
        return rates_of(folder, stage, seconds)
    (first, few, many), (loading, less, more) = took, took.values()
    step = max(0.0, more - less) / max(1, images_probed(many) - images_probed(few))
    result = json.loads((many / RESULT).read_text())
    fixed = max(0.0, loading - images_probed(first) * step)
    return Rates(fixed, 0.0, 0.0, step, result.get("memory_mb"), result.get("gpu_memory_mb"), size_mb(many))


def images_probed(folder: Path) -> int:
    """The number of images that a probe looked at."""
    return int(json.loads((folder / RESULT).read_text())["n_images"])


def rates_of_stopped_run(place: Path, config: RunConfig, began: float) -> Rates | None:
    """What the first rows of a run tell that was stopped: its steps, and that the rest takes at least what it took."""
    metrics = next(iter((place / "runs").glob(f"*/{METRICS}")), None)
    if metrics is None or isinstance(config, ProbeConfig):
        return None
    assert isinstance(config, PretrainConfig | FinetuneConfig)
    step = step_seconds(pd.read_csv(metrics), config.batch_size)
    scoring = step / config.batch_size / 3  # forward alone is a third of forward and backward
    return Rates(modification_time(metrics.parent / "config.yaml") - began, step, 0.0, scoring)
