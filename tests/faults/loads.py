"""Loads that are done in processes of their own, for `test_load`; the last line printed is what came of it, in JSON."""

import json
import os
import resource
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read as torch is loaded

import cv2
import numpy as np
import torch
from drawn_study import LIFT, Design, draw_study

from compare.command_line import StudyCommand
from compare.commands import plan_command
from compare.estimates.estimate import KindRates, keep_rates, kinds_of
from compare.estimates.timings import Rates
from compare.execution.ledger import plan_table
from compare.execution.worker import utc
from compare.page.report import write_report
from compare.status.status import show_status
from compare.study.config import StudyConfig
from compare.study.plan import Outcome, tasks_of
from dermssl import flags
from dermssl.files import write_json
from dermssl.runs.folder import write_table
from dermssl.training.trainer import Progress
from pretrain.known_methods import METHODS
from pretrain.run import run as pretrain

SIDE, WIDTH = 48, 64  # pixels: 9 kB decoded, more than all that is known of a picture takes
SMALL = {
    "encoder": "tu-test_efficientnet", "init": "random", "image_size": 32, "cache_size": SIDE, "threads": 1,
    "workers": 0, "precision": "32-true", "warmup": 0.0, "hidden_dim": 32, "projection_dim": 16,
}  # fmt: skip


def memory() -> int:
    """What the process holds for itself, bytes: mapped files, which the system may drop, are not counted."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def peak_while(work: Callable[[], object]) -> int:
    """The most that the process held while it worked, looked at twenty times a second."""
    seen, done = [memory()], threading.Event()

    def look() -> None:
        while not done.wait(0.05):
            seen.append(memory())

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return max(seen)


def draw_pictures(root: Path, count: int, distinct: int = 500) -> None:
    """A folder of pictures, few of them distinct and the others links to those."""
    draw = np.random.default_rng(0)
    (root / "images").mkdir(parents=True)
    for index in range(count):
        path = root / "images" / f"picture_{index:06d}.png"
        if index < distinct:
            few = draw.integers(60, 220, (3, 4, 3)).astype(np.uint8)
            cv2.imwrite(str(path), cv2.resize(few, (WIDTH, SIDE), interpolation=cv2.INTER_CUBIC))
        else:
            os.link(root / "images" / f"picture_{index % distinct:06d}.png", path)


def one_epoch(place: Path, count: int) -> Mapping[str, object]:
    """Manifest, pixel cache and an epoch over so many pictures."""
    draw_pictures(place / "set", count)
    config = METHODS["simclr"](**SMALL, epochs=1, batch_size=64, data=place / "set", checkpoints=None, out=place)
    return {"peak": peak_while(lambda: pretrain(config))}


def soak(place: Path, steps: int) -> Mapping[str, object]:
    """A pretraining of so many steps; what it holds, and how many files it has open, every hundred."""
    draw_pictures(place / "set", 800)
    rows: list[tuple[int, int, int]] = []
    ended = Progress.on_train_batch_end

    def looked(self: Progress, trainer: object, *more: object) -> None:
        ended(self, trainer, *more)  # type: ignore[arg-type]
        if trainer.global_step % 100 == 0:  # type: ignore[attr-defined]
            rows.append((trainer.global_step, memory(), len(os.listdir("/proc/self/fd"))))  # type: ignore[attr-defined]  # noqa: PTH208

    Progress.on_train_batch_end = looked  # type: ignore[assignment, method-assign]
    config = METHODS["simclr"](
        **SMALL, epochs=-(-steps // 200), batch_size=4, data=place / "set", checkpoints=None, out=place
    )
    pretrain(config)
    return {"rows": rows}


def large_study(place: Path, seeds: int) -> StudyConfig:
    """A study of 40 fine-tunings a seed, and as many pretrainings of four methods as seeds."""
    (place / "pretrain.yaml").write_text("init: random\nimage_size: 32\ncache_size: 40\nbatch_size: 4\n")
    (place / "finetune.yaml").write_text(
        "image_size: 32\ncache_size: 40\nsteps: 3\nbatch_size: 4\nval_fraction: 0.25\n"
    )
    methods = ("simclr", "simsiam", "byol", "barlow_twins")
    return StudyConfig(
        name="large", init=("ssl", "random"), method=methods, contrast=("simclr", "random"),
        encoder=("tu-test_efficientnet",), label_fraction=(0.25, 0.5, 0.75, 1.0), seed=tuple(range(seeds)),
        pretrainings=seeds, data=place / "set", unlabelled=place / "set", on_leak="drop", timed=False,
        pretrain=place / "pretrain.yaml", finetune=place / "finetune.yaml", out=place / "studies", runs=place / "runs",
    )  # fmt: skip


def plan(place: Path, seeds: int) -> Mapping[str, object]:
    """A plan of which every kind of run has been timed, so that costs are told as well."""
    study = large_study(place, seeds)
    tasks = tasks_of(replace(study, seed=(0,), pretrainings=1), 1)
    study.out.mkdir()
    keep_rates(study.out, {kind: KindRates(Rates(9, 0.1, 0.1, 0.1), "timed") for kind in kinds_of(tasks)})
    before = spent()
    plan_command(StudyCommand("plan", replace(study, threads=1), typed="large"))
    return {"seconds": spent() - before, "runs": len(tasks_of(study, 1))}


def status(place: Path, seeds: int) -> Mapping[str, object]:
    """A look at a study of which the first half is done, and 50 runs have been begun."""
    study = large_study(place, seeds)
    tasks, outcomes = tasks_of(study, 1), {}
    for index, task in enumerate(tasks):
        folder = place / "runs" / task.stage / task.id
        if index < len(tasks) // 2:
            folder.mkdir(parents=True)
            write_json(folder / "result.json", {"jaccard": 0.5})
            (folder / "config.yaml").write_text("")
            outcomes[task.id] = Outcome(state="done", folder=str(folder), seconds=9.0, attempts=1)
        else:
            state = "running" if index < len(tasks) // 2 + 50 else "planned"
            outcomes[task.id] = Outcome(state=state, started=utc(0) if state == "running" else "")
    study.folder.mkdir(parents=True)
    flags.write_options(study, study.folder / "study.yaml")
    write_table(study.folder / "plan.csv", plan_table(tasks, outcomes))
    before = spent()
    show_status(study.folder, once=True)
    return {"seconds": spent() - before, "runs": len(tasks)}


def report(place: Path, images: int) -> Mapping[str, object]:
    """Tables and page of 400 runs: four inits, five decoders, four label fractions, five seeds."""
    LIFT["other"] = 0.0
    design = Design(
        init=("ssl", "imagenet", "random", "other"), decoder=("unet", "fpn", "pspnet", "linknet", "manet"),
        label_fraction=(0.05, 0.1, 0.5, 1.0), seed=tuple(range(5)), images=images, masks=False,
    )  # fmt: skip
    study = draw_study(place / "study", design)
    before = spent()
    write_report(study)
    return {"seconds": spent() - before, "scores": 400 * images}


def spent() -> float:
    """Seconds of processor that this process has had: on a loaded machine the clock tells of others."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


LOADS = {work.__name__: work for work in (one_epoch, soak, plan, status, report)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    name, folder, amount = sys.argv[1:]
    print(json.dumps(LOADS[name](Path(folder), int(amount))))
