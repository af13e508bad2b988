"""How fast fine-tuning is: its loop against forward and backward alone, and against smp's own example."""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.finetune import ours, roof, smp
from benchmarks.gpu.measurements import Measurement, Tell, measure_in_turn
from benchmarks.gpu.rows import Goal, Row, figure, ratios
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.turns import Turns
from benchmarks.processes import draw_jpegs

PART = "finetuning"
LOOP, WORKED, ROOF, SMP = "loop", "loop with workers", "forward and backward", "smp's example"


def measure(scale: Scale, seconds: float, tell: Tell) -> None:
    """Measures a Unet on every encoder; see `benchmarks.gpu.measurements.measure_in_turn`."""
    with tempfile.TemporaryDirectory() as place:
        data = draw_jpegs(Path(place) / "pictures", masks=True, count=scale.jpegs)
        rows = {encoder: partial(rows_of, scale, encoder, data) for encoder in scale.tuned}
        measurements = [Measurement(PART, f"unet on {encoder}", LOOP, rows[encoder]) for encoder in rows]
        measure_in_turn(measurements, seconds, tell)


def rows_of(scale: Scale, encoder: str, data: Path, until: float) -> list[Row]:
    """The rows of a Unet on one encoder; with workers is how a machine with many cores is used."""
    asked = argparse.Namespace(encoder=encoder, size=scale.tuned_side, batch=scale.tuned_batch, steps=scale.tuned_steps,
                               precision="32-true", data=data, workers=[scale.workers], own_workers=0)  # fmt: skip
    many = argparse.Namespace(**(vars(asked) | {"own_workers": scale.workers}))
    sides = {LOOP: lambda: ours(asked), WORKED: lambda: ours(many), ROOF: lambda: roof(asked), SMP: lambda: smp(asked)}
    turns = Turns(sides, scale.rounds, until, (WORKED, ROOF)).run()
    rates, workers = turns.rates, f"--workers {scale.workers}"
    where = (PART, f"unet on {encoder}, {scale.tuned_side} px, batch {scale.tuned_batch}, {asked.precision}")
    return [
        figure(where, f"loop with {workers}, images/s", rates[WORKED]),
        figure(where, "loop by default (--workers 0), images/s", rates[LOOP], None, turns.errors.get(LOOP, "")),
        figure(where, "forward and backward alone, images/s", rates[ROOF]),
        figure(where, f"loop with {workers} / forward and backward", ratios(rates, WORKED, ROOF), Goal(0.9)),
        figure(where, "loop by default / forward and backward", ratios(rates, LOOP, ROOF)),
        figure(where, f"loop with {workers} / smp's example, {scale.workers} workers", ratios(rates, WORKED, SMP), None,
               turns.errors.get(SMP, "")),
    ]  # fmt: skip
