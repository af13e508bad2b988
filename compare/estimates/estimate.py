"""How long the runs of a study will take and what memory each will hold, from runs of their kind.

Finished runs on a machine like this one tell best; where there are none a short run of the kind is made and timed, and
what it told is kept in `estimates.json` beside the study folders, so that the next look is quick.
"""

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pandas as pd
import torch

from compare.estimates.kinds import RunKind, repeats, run_kind, task_kind, training_options
from compare.estimates.short_runs import LIMIT, time_short_runs
from compare.estimates.timings import METRICS, Rates, rates_of
from compare.estimates.work import Workload
from compare.study.config import StudyConfig
from compare.study.plan import RunConfig, Task
from dermssl import flags
from dermssl.files import short_hash, write_json
from dermssl.log import say
from dermssl.runs.environment import commit, processor
from dermssl.runs.seal import RESULT

KEPT = "estimates.json"
SECONDS = 300.0  # that all short runs of a plan may take together
NEWEST, ENOUGH = 300, 3  # finished runs that are looked through, and those of a kind whose median is taken


class Estimate(NamedTuple):
    """What a run will take."""

    seconds: float
    memory_mb: float | None
    gpu_memory_mb: float | None
    disk_mb: float
    source: str
    """In words: `3 finished runs`, `timed`, or another kind that it was scaled from."""


class KindRates(NamedTuple):
    """What a kind of run costs, and where that is known from."""

    rates: Rates
    source: str


def estimates(study: StudyConfig, tasks: Sequence[Task], images: Workload) -> dict[str, Estimate]:
    """An estimate for every task of which anything is known, by task id.

    Args:
        study: Its `timed` says whether short runs may be made; they take no more than five minutes together.
        tasks: Of the study, all or those that are left.
        images: Of the study.
    """
    kinds = kinds_of(tasks)
    rates_by_kind = from_finished(study, set(kinds))
    rates_by_kind |= {
        kind: kind_rates
        for kind, kind_rates in kept_rates(study.out).items()
        if kind in kinds and kind not in rates_by_kind
    }
    if study.timed:
        fresh = from_short_runs([(kind, kinds[kind]) for kind in kinds if kind not in rates_by_kind], images)
        keep_rates(study.out, fresh)
        rates_by_kind |= fresh
    rates_by_kind |= scaled_rates({kind for kind in kinds if kind not in rates_by_kind}, rates_by_kind)
    expected = {}
    for task in tasks:
        if kind_rates := rates_by_kind.get(task_kind(task)):
            rates, times = kind_rates.rates, repeats(task)
            seconds = times * rates.seconds(images.amount(task))
            expected[task.id] = Estimate(
                seconds, rates.memory_mb, rates.gpu_memory_mb, times * rates.disk_mb, kind_rates.source
            )
    return expected


def kinds_of(tasks: Iterable[Task]) -> dict[RunKind, RunConfig]:
    """Every kind once, with the options of a run of it, in the order in which they are timed while there is time.

    Stages take turns, since one of which nothing is known has no other to be scaled from; within a stage the kind of
    most runs comes first.
    """
    kinds: dict[RunKind, RunConfig] = {}
    runs: Counter[RunKind] = Counter()
    for task in sorted(tasks, key=lambda task: task.stage == "search"):
        kind = task_kind(task)
        kinds.setdefault(kind, training_options(task))
        runs[kind] += repeats(task)
    stages: Counter[str] = Counter()
    turn = {}
    for kind in sorted(kinds, key=lambda kind: -runs[kind]):
        turn[kind] = stages[kind.stage]
        stages[kind.stage] += 1
    return {kind: kinds[kind] for kind in sorted(kinds, key=lambda kind: turn[kind])}


def from_finished(study: StudyConfig, kinds: set[RunKind]) -> dict[RunKind, KindRates]:
    """What finished runs of these kinds tell, of the newest ones that were made on a machine like this."""
    rates_by_kind: dict[RunKind, list[Rates]] = {}
    lasted = seconds_in_plans(study.out)
    for stage in {kind.stage for kind in kinds}:
        ended = sorted((study.runs / stage).glob(f"*/{RESULT}"), key=lambda path: -path.stat().st_mtime)
        for folder in [path.parent for path in ended[:NEWEST] if is_complete(path.parent, stage)]:
            kind = run_kind(stage, flags.read_options(folder / "config.yaml"))
            if kind not in kinds or len(rates_by_kind.get(kind, [])) >= ENOUGH or not is_like_this_machine(folder):
                continue
            rates = rates_of(folder, stage, lasted.get(folder.name))
            rates_by_kind.setdefault(kind, []).extend([rates] if rates else [])
    return {
        kind: KindRates(median_rates(measured), f"{len(measured)} finished")
        for kind, measured in rates_by_kind.items()
        if measured
    }


def is_complete(folder: Path, stage: str) -> bool:
    """Whether a run folder has all the files that are looked into: somebody may have tidied it up."""
    files = ["config.yaml", "environment.json", *(["scores.parquet"] if stage == "finetune" else [])]
    return all((folder / name).is_file() for name in [*files, *([] if stage == "probe" else [METRICS])])


def seconds_in_plans(out: Path) -> Mapping[str, float]:
    """How long each run took from its beginning to its end, as the studies there have it, by the name of its folder."""
    plans = [pd.read_csv(path) for path in out.glob("*/plan.csv")]
    rows = [plan.loc[plan["folder"].notna() & plan["seconds"].notna(), ["folder", "seconds"]] for plan in plans]
    seconds_by_folder: dict[str, float] = {}
    for folder, seconds in [pair for some in rows for pair in some.itertuples(index=False)]:
        seconds_by_folder[Path(folder).name] = max(float(seconds), seconds_by_folder.get(Path(folder).name, 0.0))
    return seconds_by_folder


def is_like_this_machine(folder: Path) -> bool:
    """Whether a run was made on a machine with this processor and as many cores, with a GPU or without as here."""
    there = json.loads((folder / "environment.json").read_text(encoding="utf-8"))
    used_gpu = "gpu_memory_mb" in json.loads((folder / RESULT).read_text(encoding="utf-8"))
    like_this = (there.get("cpu"), there.get("cores")) == (processor(), os.cpu_count())
    return like_this and used_gpu == torch.cuda.is_available()


def median_rates(measured: Sequence[Rates]) -> Rates:
    """The median of each rate; of memory the most."""
    return Rates(
        fixed=median(rates.fixed for rates in measured),
        step=median(rates.step for rates in measured),
        row=median(rates.row for rates in measured),
        picture=median(rates.picture for rates in measured),
        memory_mb=max((rates.memory_mb for rates in measured if rates.memory_mb is not None), default=None),
        gpu_memory_mb=max((rates.gpu_memory_mb for rates in measured if rates.gpu_memory_mb is not None), default=None),
        disk_mb=max(rates.disk_mb for rates in measured),
    )


def from_short_runs(kinds: Sequence[tuple[RunKind, RunConfig]], images: Workload) -> dict[RunKind, KindRates]:
    """What short runs tell, as many as the time allows; each kind that is timed is said, for it takes a while."""
    measured, began = {}, time.monotonic()
    for turn, (kind, config) in enumerate(kinds, 1):
        left = SECONDS - (time.monotonic() - began)
        if left < 20:
            break
        say(f"timing {turn} of {len(kinds)}: {kind}")
        rates = time_short_runs(kind.stage, config, images, min(LIMIT, left))
        if rates is not None:
            measured[kind] = KindRates(rates, "timed")
    return measured


def machine_hash() -> str:
    """This machine, with this code: what was timed on it holds for no other."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return short_hash([socket.gethostname(), processor(), os.cpu_count(), gpu, commit()])


def kept_rates(out: Path) -> dict[RunKind, KindRates]:
    """The rates that were timed before, on this machine with this code."""
    path = out / KEPT
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return {
        RunKind(row["stage"], tuple((name, value) for name, value in row["options"])): KindRates(
            Rates(*row["rates"]), "timed"
        )
        for row in rows
        if row["machine"] == machine_hash()
    }


def keep_rates(out: Path, fresh: Mapping[RunKind, KindRates]) -> None:
    """Adds rates that were timed now to those in estimates.json."""
    if not fresh:
        return
    path, here = out / KEPT, machine_hash()
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    new = [
        {"machine": here, "stage": k.stage, "options": k.options, "rates": kind_rates.rates}
        for k, kind_rates in fresh.items()
    ]
    write_json(path, [*rows, *new])


def scaled_rates(unknown: set[RunKind], rates_by_kind: Mapping[RunKind, KindRates]) -> dict[RunKind, KindRates]:
    """For each unknown kind the nearest of its stage, with steps and memory scaled by the pixels of a batch."""
    scaled = {}
    for kind in unknown:
        same_stage = [other for other in rates_by_kind if other.stage == kind.stage]
        if not same_stage:
            continue
        other = min(same_stage, key=lambda other: len(set(other.options) ^ set(kind.options)))
        share, rates = batch_pixels(kind) / batch_pixels(other), rates_by_kind[other].rates
        memory = None if rates.memory_mb is None else rates.memory_mb * max(1.0, share)
        gpu = None if rates.gpu_memory_mb is None else rates.gpu_memory_mb * share
        bigger = rates._replace(step=rates.step * share, memory_mb=memory, gpu_memory_mb=gpu)
        scaled[kind] = KindRates(bigger, "like another")
    return scaled


def batch_pixels(kind: RunKind) -> float:
    """The pixels of a batch, by which time and memory of a step are scaled."""
    options = dict(kind.options)
    return float(options["image_size"]) ** 2 * float(options["batch_size"])
