"""How fast pretraining is: its loop against forward and backward alone, lightly's recipe and kornia's views."""

import argparse
import gc
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu.measurements import Measurement, Tell, measure_in_turn
from benchmarks.gpu.rows import Goal, Row, figure, ratios
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.turns import Side, Turns
from benchmarks.gpu.watched import Clock, HostSyncs
from benchmarks.pretrain import lightly
from benchmarks.processes import WARM, clocked, draw_jpegs
from dermssl.data.manifest import read_manifest
from dermssl.data.pixel_cache import cached_images
from dermssl.flags import option_names
from dermssl.runs.costs import peak_memory
from dermssl.system_errors import is_of_memory
from dermssl.training.device import depthwise_in_float32, prepare
from dermssl.training.randomness import CountedRandomness
from dermssl.training.trainer import Progress, fit
from dermssl.weights.encoder import start_from
from pretrain.config import PretrainConfig
from pretrain.doctor.callback import Doctor
from pretrain.known_methods import recipe_of
from pretrain.methods.method import Method
from pretrain.run import method_of, precision_of
from pretrain.views.batches import StepImages, Views, view_loader

PART = "pretraining"
LOOP, ROOF, LIGHTLY, KORNIA = "loop", "forward and backward", "lightly's recipe", "kornia's views"
PROFILED = 4  # steps that are looked at for waiting
SHARES = {"simclr": 3.0, "dino": 1.5}  # of the time; the others have 1
LEAST = 16  # images of a batch, below which no smaller one is tried


def measure(scale: Scale, seconds: float, tell: Tell) -> None:
    """Measures every method on every encoder; see `benchmarks.gpu.measurements.measure_in_turn`."""
    with tempfile.TemporaryDirectory() as place:
        data = draw_jpegs(Path(place) / "jpegs", count=scale.jpegs)
        measurements = [
            Measurement(PART, f"{method} on {encoder}", LOOP, partial(rows_of, scale, method, encoder, data),
                        SHARES.get(method, 1.0))
            for encoder in scale.pretrained
            for method in scale.methods
        ]  # fmt: skip
        measure_in_turn(measurements, seconds, tell)


def rows_of(scale: Scale, method: str, encoder: str, data: Path, until: float) -> list[Row]:
    """The rows of one method on one encoder, at the largest batch that the memory holds."""
    batch = scale.batch
    while True:
        try:
            return Setting(scale, method, encoder, data, batch).rows(until)
        except Exception as error:
            if not is_of_memory(error) or batch // 2 < LEAST:
                raise
        batch //= 2  # after the error, which holds what the device is to be freed of
        print(f"  too little memory, so batch {batch}", flush=True)
        gc.collect()
        torch.cuda.empty_cache()


@dataclass
class Setting:
    """A method on an encoder at a batch size, and the folder of its JPEGs."""

    scale: Scale
    method: str
    encoder: str
    data: Path
    batch: int

    def __post_init__(self) -> None:
        scale = self.scale
        recipe = recipe_of(self.method)
        own = {name: value for name, value in scale.own.items() if name in option_names(recipe)}
        options = {"encoder": self.encoder, "init": "random", "views": "imagenet", "image_size": scale.side,
                   "cache_size": scale.cache, "batch_size": self.batch, "look_every": 0}  # fmt: skip
        self.config: PretrainConfig = recipe(**(options | own))  # type: ignore[arg-type]
        self.device = prepare(0)
        start = start_from("random", self.encoder, 0)
        if self.device.type == "cpu":
            depthwise_in_float32(start.encoder)
        self.precision = precision_of(self.config, start, self.device, None)
        self.views = self.views_by(Views)
        self.module: Method = method_of(self.config, start, 10 * (WARM + scale.steps))
        self.waited: list[float] = []
        self.gigabytes = 0.0

    def views_by(self, kind: type[Views]) -> Views:
        """The views of all JPEGs, so often one after the other that no epoch ends within a turn."""
        manifest = read_manifest(self.data)
        pixels = cached_images(manifest, self.scale.cache)
        passes = -(-(WARM + max(self.scale.steps, PROFILED) + 2) * self.batch // len(manifest))
        return kind(pixels.take(list(range(len(manifest))) * passes), self.config, self.device)

    def asked(self, steps: int) -> argparse.Namespace:
        """The setting as the other benchmarks take it."""
        return argparse.Namespace(encoder=self.encoder, size=self.scale.side, batch=self.batch, steps=steps,
                                  data=self.data, workers=[self.scale.workers])  # fmt: skip

    def rows(self, until: float) -> list[Row]:
        """Takes turns, then looks at a few steps for what waits."""
        sides: dict[str, Side] = {LOOP: self.loop, ROOF: self.roof}
        if self.method == "simclr":
            sides |= {LIGHTLY: self.lightly, KORNIA: self.kornia}
        turns = Turns(sides, self.scale.rounds, until, (LOOP, ROOF)).run()
        syncs = HostSyncs(WARM, PROFILED)
        self.trained(self.views, syncs, steps=PROFILED + 1)
        return self.table(turns, syncs)

    def table(self, turns: Turns, syncs: HostSyncs) -> list[Row]:
        """Figures and goals."""
        rates = turns.rates
        where = (PART, f"{self.method} on {self.encoder}, {self.scale.side} px, batch {self.batch}, {self.precision}")
        fast = Goal(2000, stretch=3000) if self.encoder == "resnet50" and self.method == "simclr" else None
        rows = [
            figure(where, "loop, images/s (two views each)", rates[LOOP], fast),
            figure(where, "forward and backward alone, images/s", rates[ROOF]),
            figure(where, "loop / forward and backward", ratios(rates, LOOP, ROOF), Goal(0.95)),
            figure(where, "share of the time waiting for data", self.waited),
            figure(where, "waits for the GPU in a step", syncs.a_step, Goal(0, at_least=False), syncs.sentence),
            figure(where, "peak memory, GB", [self.gigabytes]),
        ]
        if self.method == "simclr":
            workers = f"{self.scale.workers} workers"
            rows += [
                figure(where, f"loop / lightly's recipe, {workers}", ratios(rates, LOOP, LIGHTLY), Goal(4),
                       turns.errors.get(LIGHTLY, "")),
                figure(where, "loop / the same loop with kornia's views", ratios(rates, LOOP, KORNIA), None,
                       turns.errors.get(KORNIA, "")),
            ]  # fmt: skip
        return rows

    def loop(self) -> float:
        """A turn of the loop of `python -m pretrain`; its waiting and memory are noted."""
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        clock = self.trained(self.views)
        peak = peak_memory()
        self.gigabytes = max(self.gigabytes, peak.get("gpu_memory_mb", peak["memory_mb"]) / 1000)
        self.waited.append(clock.waited_share)
        return clock.rate

    def trained(self, views: Views, *watching: HostSyncs, steps: int = 0) -> Clock:
        """Trains so many steps after the first few, with the callbacks of the command."""
        clock = Clock(self.asked(steps or self.scale.steps))
        with tempfile.TemporaryDirectory() as place:
            progress = Progress(Path(place) / "metrics.csv", self.batch, lambda _: None)
            callbacks = [
                CountedRandomness(0),
                Doctor(self.config, progress, lambda _: None),
                progress,
                clock,
                *watching,
            ]
            fit(self.module, view_loader(views, self.config), steps=WARM + clock.asked.steps,
                precision=self.precision, callbacks=callbacks, resume=None)  # fmt: skip
        return clock

    def roof(self) -> float:
        """A turn of forward and backward on views that lie ready: no views, no optimiser, no Lightning."""
        module = self.module.to(self.device).train()
        module.trainer = None  # that of the loop's last turn; a step counts from 0 without one
        ready = self.views[StepImages(0, np.arange(self.batch))]
        batch = type(ready)(*(part.to(self.device) for part in ready))

        def steps() -> Iterator[None]:
            while True:
                with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16-mixed"):
                    loss = module.training_step(batch, 0)["loss"]
                loss.backward()
                module.zero_grad(set_to_none=True)
                yield

        return clocked(steps(), self.asked(self.scale.steps))

    def lightly(self) -> float:
        """A turn of lightly's SimCLR, timed over whole rounds of its workers, which all begin at once."""
        workers = self.scale.workers
        asked = self.asked(2 * workers)
        asked.warm = max(WARM, workers)
        return lightly(asked)

    def kornia(self) -> float:
        """A turn of the same loop on views that kornia draws and paints."""
        from benchmarks.gpu.kornia_views import KorniaViews

        return self.trained(self.views_by(KorniaViews)).rate
