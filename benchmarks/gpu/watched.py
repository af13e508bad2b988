"""What watches a training from within: its steps, their waiting for data, and what waits for the GPU."""

import argparse
import time
import warnings
from collections import Counter

import torch
from pytorch_lightning import Callback
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.processes import WARM, Steps

WAITING = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy")
END = "benchmarks.gpu: the last step ended"  # what the profiler itself waits for comes after it
WORD = "synchronizing CUDA operation"  # of torch's warning


class Clock(Steps, Callback):
    """Notes when each step ended, and how much of the time after the first few was spent on getting the next batch."""

    def __init__(self, asked: argparse.Namespace) -> None:
        super().__init__(asked)
        self.waited = 0.0

    def on_train_batch_start(self, *_: object) -> None:
        """What has gone by since the last step ended was spent on data."""
        if WARM <= len(self.at) < WARM + self.asked.steps:
            self.waited += time.perf_counter() - self.at[-1]

    def on_train_batch_end(self, *_: object) -> None:
        """Notes the end."""
        self.note()

    @property
    def waited_share(self) -> float:
        """The share of the time that was spent waiting for data."""
        return self.waited / (self.at[WARM + self.asked.steps - 1] - self.at[WARM - 1])


class HostSyncs(Callback):
    """Counts where the program waits for the GPU within some steps, the drawing of their views among them.

    Args:
        first: Steps before those that are looked at.
        count: Steps that are looked at; none of them may be one at which the trainer reads its flags.
    """

    def __init__(self, first: int, count: int) -> None:
        self.first, self.count, self.done = first, count, 0
        self.calls: Counter[str] = Counter()
        self.places: Counter[str] = Counter()
        activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * torch.cuda.is_available()
        self.profiler = profile(activities=activities)
        self.heard = warnings.catch_warnings(record=True)

    def on_train_batch_end(self, *_: object) -> None:
        """Begins to look when a step has ended, so that the next batch is in it as well, and stops after the last."""
        self.done += 1
        if self.done == self.first:
            self.begin()
        elif self.done == self.first + self.count:
            self.end()

    def begin(self) -> None:
        """Lets torch warn of every wait, and notes what is called."""
        self.warnings = self.heard.__enter__()
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            torch.cuda.set_sync_debug_mode("warn")
        self.profiler.start()

    def end(self) -> None:
        """Reads what was noted; the profiler's own waiting lies behind the mark."""
        with record_function(END):
            pass
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("default")
        self.profiler.stop()
        self.heard.__exit__(None, None, None)
        events = self.profiler.events() or []
        last = min((event.time_range.start for event in events if event.name == END), default=float("inf"))
        self.calls.update(event.name for event in events if event.name in WAITING and event.time_range.start < last)
        for warning in self.warnings:
            if WORD in str(warning.message):
                self.places[f"{'/'.join(warning.filename.split('/')[-3:])}:{warning.lineno}"] += 1

    @property
    def a_step(self) -> list[float]:
        """Waits a step, by the profiler or by torch's own warnings, whichever saw more; nothing without a GPU."""
        most = max(sum(self.calls.values()), sum(self.places.values())) / self.count
        return [most] if torch.cuda.is_available() else []

    @property
    def sentence(self) -> str:
        """What was called and from where; empty where nothing was."""
        if not torch.cuda.is_available():
            return "There is no GPU to wait for."
        named = [f"{name} {number}" for name, number in (*self.calls.most_common(3), *self.places.most_common(4))]
        return f"In {self.count} steps: {', '.join(named)}." if named else ""
